"""A GPU through ``cuda-core``: the one module that calls CUDA, kept so thin that nothing in it decides anything.

Written against cuda-core 1.2, which tests run over a driver without a GPU; it has never run on one.
Source: nvidia.github.io/cuda-python/cuda-core.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.engine.plan.device import DeviceBuffer, DeviceError, Event, Graph, HostBuffer, OutOfDeviceMemoryError
from bandrt.engine.session import tells_of_memory
from bandrt.errors import MissingPackageError


class CudaDevice:
    """A CUDA device."""

    def __init__(self, index: int, *, extra: str) -> None:
        """Start to use a GPU.

        Args:
            index: its number.
            extra: what installs cuda-core together with the backend that asks, for the message if it is missing.

        Raises:
            MissingPackageError: cuda-core is not installed.
            DeviceError: the GPU does not start.
        """
        try:
            import cuda.core
        except ImportError as error:
            raise MissingPackageError("cuda-core", extra, "running on a GPU") from error
        with cuda_errors():
            self._device: Any = cuda.core.Device(index)
            self._device.set_current()
            self._device_memory: Any = self._pool()
            self._host_memory: Any = cuda.core.LegacyPinnedMemoryResource()
            self._allocations: Any = self._device.create_stream()
            self._streams: list[Any] = [self._allocations]

    def make_current(self) -> None:
        """See `bandrt.engine.plan.device.Device`."""
        with cuda_errors():
            self._device.set_current()

    def stream(self) -> CudaStream:
        """See `bandrt.engine.plan.device.Device`."""
        with cuda_errors():
            self._streams.append(self._device.create_stream())
            return CudaStream(self._streams[-1])

    def allocate(self, n_bytes: int) -> CudaBuffer:
        """See `bandrt.engine.plan.device.Device`; synchronous, so that the memory may be used on any stream."""
        with cuda_errors():
            buffer = self._device_memory.allocate(n_bytes, stream=self._allocations)
            self._allocations.sync()
            return CudaBuffer(buffer, n_bytes, self._allocations)

    def allocate_pinned(self, n_bytes: int) -> PinnedBuffer:
        """See `bandrt.engine.plan.device.Device`."""
        with cuda_errors():
            return PinnedBuffer(self._host_memory.allocate(n_bytes), n_bytes)

    def synchronize(self) -> None:
        """See `bandrt.engine.plan.device.Device`; what others do on the GPU is not waited for."""
        with cuda_errors():
            for stream in self._streams:
                stream.sync()

    def _pool(self) -> Any:
        """A memory pool of our own, whose release threshold is 0: what is freed goes back to the driver, and TensorRT may have it.

        The pool that a device has by default is set by cuda-core to keep all it ever got. Some virtual GPUs have no pools at all.
        """
        import cuda.core

        if not self._device.properties.memory_pools_supported:
            return self._device.memory_resource
        return cuda.core.DeviceMemoryResource(self._device, cuda.core.DeviceMemoryResourceOptions())


class CudaBuffer:
    """Device memory from a stream-ordered pool."""

    def __init__(self, buffer: Any, n_bytes: int, stream: Any) -> None:
        self.buffer = buffer
        self.address = int(buffer.handle)
        self.n_bytes = n_bytes
        self._stream = stream

    def close(self) -> None:
        """See `bandrt.engine.plan.device.DeviceBuffer`; a pool releases what it holds when a stream is synchronised."""
        with cuda_errors():
            self.buffer.close()
            self._stream.sync()


class PinnedBuffer:
    """Page-locked host memory."""

    def __init__(self, buffer: Any, n_bytes: int) -> None:
        self.buffer = buffer
        self.n_bytes = n_bytes
        self.content: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_uint8 * n_bytes).from_address(int(buffer.handle)))

    def close(self) -> None:
        """See `bandrt.engine.plan.device.HostBuffer`."""
        with cuda_errors():
            self.buffer.close()


class CudaEvent:
    """A recorded event."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def synchronize(self) -> None:
        """See `bandrt.engine.plan.device.Event`."""
        with cuda_errors():
            self.event.sync()


class CudaGraph:
    """An instantiated CUDA graph."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def close(self) -> None:
        """See `bandrt.engine.plan.device.Graph`."""
        with cuda_errors():
            self.graph.close()


class CudaStream:
    """A stream that does not synchronise with the default stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.handle = int(stream.handle)

    def record(self) -> CudaEvent:
        """See `bandrt.engine.plan.device.Stream`."""
        with cuda_errors():
            return CudaEvent(self._stream.record())

    def wait(self, event: Event) -> None:
        """See `bandrt.engine.plan.device.Stream`."""
        assert isinstance(event, CudaEvent)
        with cuda_errors():
            self._stream.wait(event.event)

    def upload(self, source: HostBuffer, target: DeviceBuffer, n_bytes: int) -> None:
        """See `bandrt.engine.plan.device.Stream`."""
        assert isinstance(source, PinnedBuffer)
        assert isinstance(target, CudaBuffer)
        self._copy(int(source.buffer.handle), target.address, n_bytes)

    def download(self, source: DeviceBuffer, target: HostBuffer, n_bytes: int) -> None:
        """See `bandrt.engine.plan.device.Stream`."""
        assert isinstance(source, CudaBuffer)
        assert isinstance(target, PinnedBuffer)
        self._copy(source.address, int(target.buffer.handle), n_bytes)

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """See `bandrt.engine.plan.device.Stream`."""
        with cuda_errors():
            builder = self._stream.create_graph_builder()
            builder.begin_building("relaxed")
            try:
                enqueue()
            except BaseException:
                with suppress(Exception):  # what failed may have made the capture invalid; it, and not this, is the reason
                    builder.end_building()
                raise
            builder.end_building()
            return CudaGraph(builder.complete())

    def launch(self, graph: Graph) -> None:
        """See `bandrt.engine.plan.device.Stream`."""
        assert isinstance(graph, CudaGraph)
        with cuda_errors():
            graph.graph.launch(self._stream)

    def _copy(self, source: int, target: int, n_bytes: int) -> None:
        from cuda.core import Buffer

        with cuda_errors():  # views of the same size: `copy_to` copies whole buffers
            Buffer.from_handle(source, n_bytes).copy_to(Buffer.from_handle(target, n_bytes), stream=self._stream)


@contextmanager
def cuda_errors() -> Iterator[None]:
    """Turn what cuda-core raises into our two errors."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:  # cuda-core's own classes are private
        raise device_error(str(error) or type(error).__name__) from error


def device_error(message: str) -> DeviceError:
    """The error that a message of CUDA or TensorRT stands for."""
    first = message.strip().splitlines()[0]
    return OutOfDeviceMemoryError(first) if tells_of_memory(message) else DeviceError(first)
