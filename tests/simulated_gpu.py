"""A GPU that is none: the protocols of `bandrt.engine.device` in CUDA's order of work, and a TensorRT that is ONNX Runtime.

Work is done when it must be or as soon as it can be, which are the two ends of what a real device may do; `ORDERS` has both and
chance. Memory starts as garbage, host memory may not be touched while a copy is on its way, what was freed is gone, and a graph
holds addresses.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from bandrt.engine.device import DeviceError, OutOfDeviceMemoryError
from bandrt.manifest import Profile

ORDERS = ("late", "early", "random")
"""When work is done: only when someone waits for it; as soon as nothing it waits for is missing; or anywhere in between."""
GARBAGE = 0xA5
SCRATCH_PER_ATOM = 1024
"""Bytes that a simulated plan computes in, per padded atom."""

Step = Callable[[], None]


class SimulatedEvent:
    def __init__(self, stream: SimulatedStream) -> None:
        self._stream = stream
        self.done = False

    def synchronize(self) -> None:
        device = self._stream.device
        device.journal.append("wait")
        device.complete(self)
        device.check()


@dataclass
class Work:
    run: Step
    after: SimulatedEvent | None = None
    """Not before this event."""


class SimulatedGraph:
    def __init__(self, steps: list[Step]) -> None:
        self.steps: list[Step] | None = steps

    def close(self) -> None:
        self.steps = None


class SimulatedStream:
    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device
        self.handle = 0x1000 + len(device.streams)
        self.queue: deque[Work] = deque()
        self.captured: list[Step] | None = None

    def record(self) -> SimulatedEvent:
        event = SimulatedEvent(self)

        def arrive() -> None:
            event.done = True

        event_of = Work(arrive)
        self.queue.append(event_of)
        self.device.events[id(event)] = (event, self)
        self.device.idle_time()
        return event

    def wait(self, event: SimulatedEvent) -> None:
        self.queue.append(Work(lambda: None, after=event))
        self.device.idle_time()

    def upload(self, source: SimulatedPinned, target: SimulatedBuffer, n_bytes: int) -> None:
        self.device.journal.append("upload")
        self._copy(source, lambda: target.write(source.bytes[:n_bytes]))

    def download(self, source: SimulatedBuffer, target: SimulatedPinned, n_bytes: int) -> None:
        self.device.journal.append("download")
        target.bytes[:] = GARBAGE
        self._copy(target, lambda: target.fill(source.bytes[:n_bytes]))

    def put(self, step: Step) -> None:
        """Work that may be captured."""
        if self.captured is not None:
            self.captured.append(step)
        else:
            self.queue.append(Work(step))
            self.device.idle_time()

    def capture(self, enqueue: Step) -> SimulatedGraph:
        self.captured = []
        try:
            enqueue()
            steps = self.captured
        finally:
            self.captured = None
        self.device.captures += 1
        return SimulatedGraph(steps)

    def launch(self, graph: SimulatedGraph) -> None:
        assert graph.steps is not None, "a graph was launched after it was closed"
        self.device.launches += 1
        for step in graph.steps:
            self.put(step)

    def _copy(self, pinned: SimulatedPinned, copy: Step) -> None:
        pinned.copies += 1

        def run() -> None:
            pinned.copies -= 1
            copy()

        self.queue.append(Work(run))
        self.device.idle_time()


class SimulatedPinned:
    def __init__(self, device: SimulatedDevice, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.bytes = np.full(n_bytes, GARBAGE, np.uint8)
        self.copies = 0
        self._device = device

    @property
    def content(self) -> np.ndarray:
        assert not self.copies, "the host touches pinned memory while a copy is on its way"
        return self.bytes

    def fill(self, content: np.ndarray) -> None:
        self.bytes[: len(content)] = content

    def close(self) -> None:
        assert not self.copies, "pinned memory is freed while a copy is on its way"
        self._device.pinned_bytes -= self.n_bytes


class SimulatedBuffer:
    def __init__(self, device: SimulatedDevice, address: int, n_bytes: int) -> None:
        self.address = address
        self.n_bytes = n_bytes
        self._device = device
        self._bytes = np.full(n_bytes, GARBAGE, np.uint8)

    @property
    def bytes(self) -> np.ndarray:
        assert self.address in self._device.memory, "device memory is used after it was freed"
        return self._bytes

    def write(self, content: np.ndarray) -> None:
        self.bytes[: len(content)] = content

    def close(self) -> None:
        del self._device.memory[self.address]


@dataclass
class SimulatedDevice:
    """One simulated GPU."""

    order: str = "late"
    limit: int | None = None
    """Bytes of its memory; None: endless."""
    fails_at_run: int | None = None
    """The run of a plan, counted from 1, that breaks the device for good."""
    streams: list[SimulatedStream] = field(default_factory=list)
    memory: dict[int, SimulatedBuffer] = field(default_factory=dict)
    events: dict[int, tuple[SimulatedEvent, SimulatedStream]] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)
    """What the host asked for, in order."""
    pinned_bytes: int = 0
    captures: int = 0
    launches: int = 0
    runs: int = 0
    refused: int = 0
    """Allocations for which there was no memory."""
    broken: str = ""
    current: bool = False
    _next_address: int = 1 << 20
    _chance: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def n_bytes(self) -> int:
        return sum(buffer.n_bytes for buffer in self.memory.values())

    def make_current(self) -> None:
        self.current = True

    def stream(self) -> SimulatedStream:
        self.streams.append(SimulatedStream(self))
        return self.streams[-1]

    def allocate(self, n_bytes: int) -> SimulatedBuffer:
        assert self.current, "no device is current in this thread"
        if self.limit is not None and self.n_bytes + n_bytes > self.limit:
            self.refused += 1
            raise OutOfDeviceMemoryError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because of memory")
        buffer = SimulatedBuffer(self, self._next_address, n_bytes)
        self._next_address += -(-n_bytes // 256) * 256 + 256
        self.memory[buffer.address] = buffer
        return buffer

    def allocate_pinned(self, n_bytes: int) -> SimulatedPinned:
        self.pinned_bytes += n_bytes
        return SimulatedPinned(self, n_bytes)

    def synchronize(self) -> None:
        while self._step(self.streams):
            pass
        self.check()

    def check(self) -> None:
        if self.broken:
            raise DeviceError(self.broken)

    def at(self, address: int, n_bytes: int) -> np.ndarray:
        """Device memory by its address."""
        [buffer] = [b for b in self.memory.values() if b.address <= address and address + n_bytes <= b.address + b.n_bytes]
        return buffer.bytes[address - buffer.address :][:n_bytes]

    def complete(self, event: SimulatedEvent) -> None:
        """Do what an event needs, and no more."""
        _, stream = self.events[id(event)]
        while not event.done:
            work = stream.queue[0]
            if work.after is not None:
                self.complete(work.after)
            stream.queue.popleft()
            self._run(work)

    def idle_time(self) -> None:
        """What is done while the host does something else."""
        if self.order == "early":
            while self._step(self.streams):
                pass
        elif self.order == "random":
            for _ in range(self._chance.randrange(3)):
                self._step(self._chance.sample(self.streams, len(self.streams)))

    def _step(self, streams: list[SimulatedStream]) -> bool:
        for stream in streams:
            if stream.queue and (stream.queue[0].after is None or stream.queue[0].after.done):
                self._run(stream.queue.popleft())
                return True
        return False

    def _run(self, work: Work) -> None:
        try:
            work.run()
        except DeviceError as error:
            self.broken = str(error)


class SimulatedContext:
    """An ``IExecutionContext``: a shape, addresses, and runs."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine
        self._profile: int | None = None
        self._axes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._scratch = 0
        self._runs = 0
        self._captured = False

    def set_optimization_profile_async(self, profile: int, stream_handle: int) -> bool:
        self._profile = profile
        return profile < self._engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert not self._captured, "a context changes its shape after it was captured"
        assert self._profile is not None
        bucket = self._engine.profile.buckets[self._profile]
        fits = bucket.min_batch <= shape[0] <= bucket.max_batch
        if name != "kpoints":
            fits = fits and bucket.min_atoms <= shape[1] <= bucket.max_atoms
        if fits:
            self._axes[name] = shape
        else:
            self._engine.complain(f"{name} {shape} is not in profile {self._profile}")
        return fits

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.inputs if name not in self._axes]

    def update_device_memory_size_for_shapes(self) -> int:
        crystals, atoms = self._axes["atomic_numbers"]
        return SCRATCH_PER_ATOM * crystals * atoms

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 256 == 0
        assert size >= self.update_device_memory_size_for_shapes()
        self._scratch = memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory % 256 == 0
        self._addresses[name] = memory
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._axes:
            return self._axes[name]
        return (self._axes["atomic_numbers"][0], *self._engine.outputs[name])

    def is_stream_capturable(self, stream: int) -> bool:
        return self._engine.capturable

    def execute_async_v3(self, stream_handle: int) -> bool:
        device = self._engine.device
        [stream] = [one for one in device.streams if one.handle == stream_handle]
        if stream.captured is not None:
            assert self._runs, "a context is captured before it has run once"
            if self._engine.capture_fails:
                self._engine.complain("operation not permitted when stream is capturing")
                return False
            self._captured = True
        crystals, atoms = self._axes["atomic_numbers"]
        if self._engine.most_atoms is not None and crystals * atoms > self._engine.most_atoms:
            self._engine.complain("Error Code 2: OutOfMemory (no further information)")
            return False
        self._runs += 1
        assert set(self._addresses) == {*self._engine.inputs, *self._engine.outputs}
        addresses, scratch = dict(self._addresses), self._scratch
        stream.put(lambda: self._compute(addresses, scratch))
        return True

    def _compute(self, addresses: Mapping[str, int], scratch: int) -> None:
        device = self._engine.device
        device.runs += 1
        if device.runs == device.fails_at_run:
            raise DeviceError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")
        device.at(scratch, self.update_device_memory_size_for_shapes())[:] = GARBAGE
        feeds = {}
        for name, dtype in self._engine.inputs.items():
            axes = self._axes[name]
            n_bytes = int(np.prod(axes)) * np.dtype(dtype).itemsize
            feeds[name] = device.at(addresses[name], n_bytes).view(dtype).reshape(axes)
        for name, array in zip(self._engine.outputs, self._engine.model.run(list(self._engine.outputs), feeds), strict=True):
            flat = np.ascontiguousarray(array).view(np.uint8).ravel()
            device.at(addresses[name], len(flat))[:] = flat


class SimulatedEngine:
    """An ``ICudaEngine`` whose plan is an ONNX file."""

    capturable = True
    capture_fails = False
    most_atoms: int | None = None
    """A run of more padded atoms finds no memory when it is enqueued."""

    def __init__(self, trt: SimpleNamespace, content: bytes, complain: Callable[[str], None]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._trt = trt
        self.device: SimulatedDevice = trt.device
        self.profile: Profile = trt.profile
        self.complain = complain
        self.model = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        types = {"tensor(int32)": np.int32, "tensor(float)": np.float32, "tensor(bool)": np.bool_}
        self.inputs = {one.name: types[one.type] for one in self.model.get_inputs()}
        self.outputs = {one.name: tuple(one.shape[1:]) for one in self.model.get_outputs()}
        self.num_io_tensors = len(self.inputs) + len(self.outputs)
        self.num_optimization_profiles = len(self.profile.buckets)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> str:
        return self._trt.TensorIOMode.INPUT if name in self.inputs else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> str:
        kinds = {np.int32: self._trt.DataType.INT32, np.float32: self._trt.DataType.FLOAT, np.bool_: self._trt.DataType.BOOL}
        return kinds[self.inputs[name]] if name in self.inputs else self._trt.DataType.FLOAT

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(
            set_execution_context_allocation_strategy=lambda strategy: None,
            create_runtime_cache=lambda: "cache",
            set_runtime_cache=lambda cache: True,
        )

    def create_execution_context(self, how: Any) -> SimulatedContext:
        return SimulatedContext(self)


def simulated_tensorrt(device: SimulatedDevice, profile: Profile, *, version: str, valid: bool = True) -> SimpleNamespace:
    """What stands in for the module ``tensorrt`` or ``tensorrt_rtx``; a plan is the ONNX file it would have been built from."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def get_engine_validity(self, content: bytes) -> tuple[str, list[str]]:
            return ("VALID", []) if valid else ("INVALID", ["UNSUPPORTED_CC"])

        def deserialize_cuda_engine(self, content: bytes) -> SimulatedEngine | None:
            if not content.startswith(b"\x08"):
                self._logger.log(1, "Serialization assertion failed.")
                return None
            return SimulatedEngine(trt, content, lambda message: self._logger.log(1, message))

    class ILogger:
        ERROR = 1

    trt = SimpleNamespace(
        __version__=version,
        device=device,
        profile=profile,
        Runtime=Runtime,
        ILogger=ILogger,
        EngineValidity=SimpleNamespace(INVALID="INVALID"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="USER_MANAGED"),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="EAGER"),
        TensorIOMode=SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        DataType=SimpleNamespace(FLOAT="FLOAT", INT32="INT32", BOOL="BOOL"),
    )
    return trt
