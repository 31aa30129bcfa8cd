"""The layer that calls CUDA, on a stand-in for cuda-core whose memory is the host's and whose calls fit the real signatures."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandrt.engine.cuda_device import CudaDevice, CudaStream, device_error
from bandrt.engine.device import DeviceError, OutOfDeviceMemoryError
from bandrt.errors import MissingPackageError


def real_cuda_core() -> ModuleType | None:
    """The installed cuda-core; it can be imported without a driver."""
    try:
        return importlib.import_module("cuda.core")
    except ImportError:
        return None


REAL = real_cuda_core()


def like(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks what stands in for a function of cuda-core: where that is installed, every call must fit its signature."""

    def mark(stand_in: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if REAL is not None:
                real: Any = REAL
                for part in name.split("."):
                    real = getattr(real, part)
                if callable(real):
                    inspect.signature(real).bind(*args, **kwargs)
            return stand_in(*args, **kwargs)

        called.stands_for = name  # type: ignore[attr-defined]
        return called

    return mark


class Memory:
    """Host memory that stands for a ``Buffer``."""

    live = 0

    def __init__(self, size: int) -> None:
        Memory.live += 1
        self.array = np.zeros(size, np.uint8)
        self.handle = self.array.ctypes.data
        self.size = size

    @like("Buffer.close")
    def close(self, stream: Any = None) -> None:
        Memory.live -= 1


class View:
    def __init__(self, address: int, size: int) -> None:
        self.address, self.size = address, size

    @like("Buffer.copy_to")
    def copy_to(self, dst: View, *, stream: Any) -> None:
        assert self.size == dst.size
        stream.put(lambda: ctypes.memmove(dst.address, self.address, self.size))


class Stream:
    def __init__(self) -> None:
        self.handle = id(self)
        self.builder: Builder | None = None
        self.done: list[str] = []

    def put(self, work: Callable[[], Any]) -> None:
        if self.builder is not None:
            self.builder.work.append(work)
        else:
            work()

    @like("Stream.record")
    def record(self) -> Any:
        self.done.append("record")
        return SimpleNamespace(sync=lambda: self.done.append("sync"))

    @like("Stream.wait")
    def wait(self, event: Any) -> None:
        self.done.append("wait")

    @like("Stream.sync")
    def sync(self) -> None: ...

    @like("Stream.create_graph_builder")
    def create_graph_builder(self) -> Builder:
        return Builder(self)


class Builder:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.work = stream, []

    @like("graph.GraphBuilder.begin_building")
    def begin_building(self, mode: str) -> None:
        self.stream.builder = self

    @like("graph.GraphBuilder.end_building")
    def end_building(self) -> None:
        self.stream.builder = None

    @like("graph.GraphBuilder.complete")
    def complete(self) -> Graph:
        return Graph(self.work)


class Graph:
    def __init__(self, work: list[Callable[[], Any]]) -> None:
        self.work = work

    @like("graph.Graph.launch")
    def launch(self, stream: Stream) -> None:
        for one in self.work:
            one()

    @like("graph.Graph.close")
    def close(self) -> None:
        self.work = []


class Device:
    @like("Device.set_current")
    def set_current(self) -> None: ...

    @like("Device.create_stream")
    def create_stream(self) -> Stream:
        return Stream()

    @like("Device.sync")
    def sync(self) -> None: ...


class DevicePool:
    limit = 1 << 20

    def __init__(self, device: Device) -> None: ...

    @like("DeviceMemoryResource.allocate")
    def allocate(self, size: int, *, stream: Stream) -> Memory:
        if size > self.limit:
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory")
        return Memory(size)


class PinnedPool:
    @like("LegacyPinnedMemoryResource.allocate")
    def allocate(self, size: int) -> Memory:
        return Memory(size)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    """A device on the stand-in."""
    core = ModuleType("cuda.core")
    core.__dict__.update(
        Device=lambda index: Device(),
        DeviceMemoryResource=DevicePool,
        LegacyPinnedMemoryResource=PinnedPool,
        Buffer=SimpleNamespace(from_handle=like("Buffer.from_handle")(View)),
    )
    package = ModuleType("cuda")
    package.core = core  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "cuda.core", core)
    return CudaDevice(0, extra="tensorrt")


def test_bytes_go_to_the_device_and_back(device: CudaDevice) -> None:
    stream = device.stream()
    there, back, middle = device.allocate_pinned(64), device.allocate_pinned(64), device.allocate(64)
    there.content[:] = np.arange(64)
    stream.upload(there, middle, 48)
    other = device.stream()
    other.wait(stream.record())
    other.download(middle, back, 64)
    other.record().synchronize()
    device.synchronize()
    np.testing.assert_array_equal(back.content, [*range(48), *[0] * 16])
    live = Memory.live
    for buffer in (there, back, middle):
        buffer.close()
    assert Memory.live == live - 3


def test_captured_work_is_done_when_it_is_launched(device: CudaDevice) -> None:
    stream = device.stream()
    there, back, middle = device.allocate_pinned(8), device.allocate_pinned(8), device.allocate(8)
    stream.upload(there, middle, 8)
    graph = stream.capture(lambda: stream.download(middle, back, 8))
    there.content[:] = 7
    stream.upload(there, middle, 8)
    assert not back.content.any()
    stream.launch(graph)
    assert back.content.tolist() == [7] * 8
    graph.close()


def test_a_capture_that_fails_is_ended(device: CudaDevice) -> None:
    stream = device.stream()

    def fails() -> None:
        raise DeviceError("not permitted")

    with pytest.raises(DeviceError, match="not permitted"):
        stream.capture(fails)
    assert stream._stream.builder is None


def test_memory_that_is_not_there_is_its_own_error(device: CudaDevice) -> None:
    device.make_current()
    with pytest.raises(OutOfDeviceMemoryError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        device.allocate(1 << 21)
    device.allocate(1 << 10)


def test_whatever_cuda_raises_is_a_device_error(device: CudaDevice) -> None:
    class Broken:
        handle = 1

        def record(self) -> None:
            raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: while executing\na kernel")

    with pytest.raises(DeviceError, match=r"ILLEGAL_ADDRESS: while executing$") as caught:
        CudaStream(Broken()).record()
    assert not isinstance(caught.value, OutOfDeviceMemoryError)
    assert isinstance(device_error("Error Code 2: OutOfMemory (Requested size was 8 bytes.)"), OutOfDeviceMemoryError)


def test_a_missing_cuda_core_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'bandrt\[tensorrt-rtx\]'"):
        CudaDevice(0, extra="tensorrt-rtx")


@pytest.mark.skipif(REAL is None, reason="cuda-core is not installed")
def test_every_name_of_the_stand_in_is_one_of_cuda_core() -> None:
    stand_ins = [kind for kind in globals().values() if inspect.isclass(kind) and kind.__module__ == __name__]
    names = [one.stands_for for kind in stand_ins for one in vars(kind).values() if hasattr(one, "stands_for")]
    assert len(names) >= 14
    for name in ["Device", "DeviceMemoryResource", "LegacyPinnedMemoryResource", "Buffer.handle", "Stream.handle", *names]:
        found: Any = REAL
        for part in name.split("."):
            assert hasattr(found, part), f"cuda-core has no {name}"
            found = getattr(found, part)
