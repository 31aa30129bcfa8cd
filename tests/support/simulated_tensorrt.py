"""A TensorRT that is ONNX Runtime, on the GPU of `simulated_gpu`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from enum import IntFlag
from types import SimpleNamespace
from typing import Any

import numpy as np

from bandrt.contract import TENSORS
from bandrt.engine.plan.device import DeviceError
from bandrt.manifest import Profile
from tests.support.simulated_gpu import GARBAGE, SCRATCH_PER_ATOM, SimulatedDevice


class Diagnostics(IntFlag):
    """As in TensorRT-RTX 1.7: bits, of which `Runtime.get_engine_validity` gives a mask."""

    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    OLD_CUDA_DRIVER = 4
    OLD_CUDA_RUNTIME = 8
    INSUFFICIENT_GPU_MEMORY = 16
    MALFORMED_ENGINE = 32
    CUDA_ERROR = 64


class SimulatedCache:
    """An ``IRuntimeCache``: shapes that are compiled, by their profile and axes."""

    begins = b"cache of sm89\n"
    """What it is checked by, as the real one is by driver and GPU."""

    def __init__(self) -> None:
        self.shapes: set[str] = set()

    def serialize(self) -> memoryview:
        return memoryview(self.begins + "\n".join(sorted(self.shapes)).encode())

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(self.begins):
            return False
        self.shapes |= set(filter(None, blob[len(self.begins) :].decode().split("\n")))
        return True


class SimulatedConfig:
    """An ``IRuntimeConfig``."""

    dynamic_shapes_kernel_specialization_strategy: Any = None
    cache: SimulatedCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        pass

    def create_runtime_cache(self) -> SimulatedCache:
        return SimulatedCache()

    def set_runtime_cache(self, cache: SimulatedCache) -> bool:
        self.cache = cache
        return True


class SimulatedContext:
    """An ``IExecutionContext``: a shape, addresses, and runs."""

    def __init__(self, engine: SimulatedEngine, cache: SimulatedCache | None = None) -> None:
        self._engine = engine
        self._cache = cache
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
        fewest = 0 if TENSORS[name].dims[0] == "C" else bucket.min_batch
        fits = fewest <= shape[0] <= bucket.max_batch
        if "N" in TENSORS[name].dims:
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
        stream = device.stream_of(stream_handle)
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
        self._compile()
        self._runs += 1
        assert set(self._addresses) == {*self._engine.inputs, *self._engine.outputs}
        addresses, scratch = dict(self._addresses), self._scratch
        itself = weakref.proxy(self)  # a graph does not keep its context, and must not outlive it
        stream.put(lambda: itself._compute(addresses, scratch))
        return True

    def _compile(self) -> None:
        shape = f"{self._profile} {sorted(self._axes.items())}"
        if self._cache is not None and shape not in self._cache.shapes:
            self._cache.shapes.add(shape)
            self._engine.compiled.append(self._axes["atomic_numbers"])

    def _compute(self, addresses: Mapping[str, int], scratch: int) -> None:
        device = self._engine.device
        device.runs += 1
        if device.runs == device.fails_at_run:
            raise DeviceError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")
        device.at(scratch, self.update_device_memory_size_for_shapes())[:] = GARBAGE
        feeds: dict[str, np.ndarray] = {}
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
        self.compiled: list[tuple[int, ...]] = trt.compiled
        self.model = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        types = {"tensor(int32)": np.int32, "tensor(float)": np.float32, "tensor(bool)": np.bool_}
        self.inputs = {one.name: types[one.type] for one in self.model.get_inputs()}
        self.outputs = {one.name: tuple(one.shape[1:]) for one in self.model.get_outputs()}
        self.num_io_tensors = len(self.inputs) + len(self.outputs)
        self.num_optimization_profiles = len(self.profile.buckets)

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        bucket = self.profile.buckets[profile]
        return SCRATCH_PER_ATOM * bucket.max_batch * bucket.max_atoms

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = [*self.inputs, *self.outputs]
        return names[index]

    def get_tensor_mode(self, name: str) -> object:
        return self._trt.TensorIOMode.INPUT if name in self.inputs else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> object:
        kinds = {np.int32: self._trt.DataType.INT32, np.float32: self._trt.DataType.FLOAT, np.bool_: self._trt.DataType.BOOL}
        return kinds[self.inputs[name]] if name in self.inputs else self._trt.DataType.FLOAT

    def create_runtime_config(self) -> SimulatedConfig:
        return SimulatedConfig()

    def create_execution_context(self, how: Any) -> SimulatedContext:
        return SimulatedContext(self, how.cache if isinstance(how, SimulatedConfig) else None)


def simulated_tensorrt(device: SimulatedDevice, profile: Profile, *, version: str, valid: bool = True) -> SimpleNamespace:
    """What stands in for the module ``tensorrt`` or ``tensorrt_rtx``; a plan is the ONNX file it would have been built from."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def get_engine_validity(self, content: bytes) -> tuple[str, int]:
            return ("VALID", 0) if valid else ("INVALID", Diagnostics.UNSUPPORTED_CC | Diagnostics.OLD_CUDA_DRIVER)

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
        compiled=[],
        Runtime=Runtime,
        ILogger=ILogger,
        EngineValidity=SimpleNamespace(INVALID="INVALID"),
        EngineInvalidityDiagnostics=Diagnostics,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="USER_MANAGED"),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="EAGER"),
        TensorIOMode=SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT"),
        DataType=SimpleNamespace(FLOAT="FLOAT", INT32="INT32", BOOL="BOOL"),
    )
    return trt
