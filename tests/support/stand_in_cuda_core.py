"""What stands in for cuda-core: its memory is the host's, work is done at once, and every call must fit the real signature.

Signatures are compared where cuda-core is installed; it needs no driver for that.
"""

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
        self.stream = stream
        self.work: list[Callable[[], object]] = []

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
    properties = SimpleNamespace(memory_pools_supported=True)
    memory_resource: Any = None
    """What a device without pools allocates with."""

    @like("Device.set_current")
    def set_current(self) -> None: ...

    @like("Device.create_stream")
    def create_stream(self) -> Stream:
        return Stream()


class DevicePool:
    limit = 1 << 20

    def __init__(self, device: Device, options: Any) -> None: ...

    @like("DeviceMemoryResource.allocate")
    def allocate(self, size: int, *, stream: Stream) -> Memory:
        if size > self.limit:
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory")
        return Memory(size)


class PinnedPool:
    @like("LegacyPinnedMemoryResource.allocate")
    def allocate(self, size: int) -> Memory:
        return Memory(size)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import cuda.core`` give the stand-in."""
    core = ModuleType("cuda.core")
    core.__dict__.update(
        Device=lambda index: Device(),
        DeviceMemoryResource=DevicePool,
        DeviceMemoryResourceOptions=SimpleNamespace,
        LegacyPinnedMemoryResource=PinnedPool,
        Buffer=SimpleNamespace(from_handle=like("Buffer.from_handle")(View)),
    )
    package = ModuleType("cuda")
    package.core = core  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "cuda.core", core)
