"""A GPU that is none: the protocols of `bandrt.engine.plan.device` in CUDA's order of work.

Work is done when it must be or as soon as it can be, which are the two ends of what a real device may do; `ORDERS` has both and
chance. Memory starts as garbage, host memory may not be touched while a copy is on its way, what was freed is gone, and a graph
holds addresses. Calls may come from several threads, as with a real driver, and a device is current in a thread.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from bandrt.engine.plan.device import DeviceError, OutOfDeviceMemoryError

ORDERS = ("late", "early", "random")
"""When work is done: only when someone waits for it; as soon as nothing it waits for is missing; or anywhere in between."""
GARBAGE = 0xA5
SCRATCH_PER_ATOM = 1024
"""Bytes that a simulated plan computes in, per padded atom."""

Step = Callable[[], None]
P = ParamSpec("P")
R = TypeVar("R")
One = TypeVar("One", bound=Any)


def one_at_a_time(method: Callable[Concatenate[One, P], R]) -> Callable[Concatenate[One, P], R]:
    """A method of a device, or of what belongs to one, that holds the lock of its device."""

    @wraps(method)
    def locked(self: One, /, *args: P.args, **kwargs: P.kwargs) -> R:
        device = self if isinstance(self, SimulatedDevice) else self.device
        device.disturbed += device.captured_by not in (None, threading.get_ident())
        with device.lock:
            found: R = method(self, *args, **kwargs)
            return found

    return locked


class SimulatedEvent:
    def __init__(self, stream: SimulatedStream) -> None:
        self._stream = stream
        self.done = False

    def synchronize(self) -> None:
        self._stream.device.wait_for(self)


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

    @one_at_a_time
    def record(self) -> SimulatedEvent:
        event = SimulatedEvent(self)

        def arrive() -> None:
            event.done = True

        event_of = Work(arrive)
        self.queue.append(event_of)
        self.device.events[id(event)] = (event, self)
        self.device.idle_time()
        return event

    @one_at_a_time
    def wait(self, event: SimulatedEvent) -> None:
        self.queue.append(Work(lambda: None, after=event))
        self.device.idle_time()

    @one_at_a_time
    def upload(self, source: SimulatedPinned, target: SimulatedBuffer, n_bytes: int) -> None:
        self.device.journal.append("upload")
        self._copy(source, lambda: target.write(source.bytes[:n_bytes]))

    @one_at_a_time
    def download(self, source: SimulatedBuffer, target: SimulatedPinned, n_bytes: int) -> None:
        self.device.journal.append("download")
        target.bytes[:] = GARBAGE
        self._copy(target, lambda: target.fill(source.bytes[:n_bytes]))

    @one_at_a_time
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

    @one_at_a_time
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
    captured_by: int | None = None
    """The thread that captures in a mode in which no other may ask for anything."""
    disturbed: int = 0
    """How often another asked nevertheless."""
    broken: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _current: threading.local = field(default_factory=threading.local)
    _next_address: int = 1 << 20
    _chance: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def n_bytes(self) -> int:
        return sum(buffer.n_bytes for buffer in self.memory.values())

    def make_current(self) -> None:
        self._current.here = True

    @one_at_a_time
    def stream(self) -> SimulatedStream:
        self.streams.append(SimulatedStream(self))
        return self.streams[-1]

    def stream_of(self, handle: int) -> SimulatedStream:
        [stream] = [one for one in self.streams if one.handle == handle]
        return stream

    @one_at_a_time
    def allocate(self, n_bytes: int) -> SimulatedBuffer:
        assert hasattr(self._current, "here"), "no device is current in this thread"
        if self.limit is not None and self.n_bytes + n_bytes > self.limit:
            self.refused += 1
            raise OutOfDeviceMemoryError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because of memory")
        buffer = SimulatedBuffer(self, self._next_address, n_bytes)
        self._next_address += -(-n_bytes // 256) * 256 + 256
        self.memory[buffer.address] = buffer
        return buffer

    @one_at_a_time
    def allocate_pinned(self, n_bytes: int) -> SimulatedPinned:
        self.pinned_bytes += n_bytes
        return SimulatedPinned(self, n_bytes)

    @one_at_a_time
    def synchronize(self) -> None:
        while self._step(self.streams):
            pass
        self.check()

    def check(self) -> None:
        if self.broken:
            raise DeviceError(self.broken)

    @one_at_a_time
    def at(self, address: int, n_bytes: int) -> np.ndarray:
        """Device memory by its address."""
        [buffer] = [b for b in self.memory.values() if b.address <= address and address + n_bytes <= b.address + b.n_bytes]
        return buffer.bytes[address - buffer.address :][:n_bytes]

    @one_at_a_time
    def wait_for(self, event: SimulatedEvent) -> None:
        """What the host does when it waits."""
        if not event.done:
            self.journal.append("wait")
        self.complete(event)
        self.check()

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
