"""What a plan needs of a GPU: memory on both sides, streams, events, copies and captured graphs, and nothing else.

Everything that decides something stands above these protocols, so that it is tested without a GPU; `bandrt.engine.plan.cuda_device`
is the only module that calls CUDA. As in CUDA, work on a stream happens later and in order, an event marks a place in a stream,
and what the device does to memory is only certain once the host has waited for an event behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DeviceError(Exception):
    """The device, its driver or the library that runs on it reports an error."""


class OutOfDeviceMemoryError(DeviceError):
    """There is not as much memory as was asked for; the device goes on working."""


class DeviceBuffer(Protocol):
    """Memory of the device."""

    @property
    def address(self) -> int:
        """Where it begins."""

    @property
    def n_bytes(self) -> int:
        """How large it is."""

    def close(self) -> None:
        """Give it back."""


class HostBuffer(Protocol):
    """Page-locked memory of the host, which the device reads and writes while the host does something else."""

    @property
    def n_bytes(self) -> int:
        """How large it is."""

    @property
    def content(self) -> NDArray[np.uint8]:
        """(n_bytes,) its bytes, to read or write while no copy is on its way."""

    def close(self) -> None:
        """Give it back."""


class Event(Protocol):
    """A place in a stream."""

    def synchronize(self) -> None:
        """Wait until the device has come here.

        Raises:
            DeviceError: something before it has failed.
        """


class Graph(Protocol):
    """Work that was captured once, and is started again as one."""

    def close(self) -> None:
        """Give it back."""


class Stream(Protocol):
    """Work that the device does in order."""

    @property
    def handle(self) -> int:
        """The address of its ``CUstream``."""

    def record(self) -> Event:
        """Mark the present end of the stream."""

    def wait(self, event: Event) -> None:
        """Let what follows on this stream begin after an event of another."""

    def upload(self, source: HostBuffer, target: DeviceBuffer, n_bytes: int) -> None:
        """Copy the first bytes of host memory to the device, later."""

    def download(self, source: DeviceBuffer, target: HostBuffer, n_bytes: int) -> None:
        """Copy the first bytes of device memory to the host, later."""

    def capture(self, enqueue: Callable[[], None]) -> Graph:
        """Record what `enqueue` puts on this stream, instead of doing it."""

    def launch(self, graph: Graph) -> None:
        """Put captured work on this stream."""


class Device(Protocol):
    """One GPU."""

    def make_current(self) -> None:
        """Let what the calling thread does go to this device."""

    def stream(self) -> Stream:
        """A new stream."""

    def allocate(self, n_bytes: int) -> DeviceBuffer:
        """Memory of the device, aligned to 256 bytes.

        Raises:
            OutOfDeviceMemoryError: there is no more.
        """

    def allocate_pinned(self, n_bytes: int) -> HostBuffer:
        """Page-locked memory of the host.

        Raises:
            OutOfDeviceMemoryError: there is no more.
        """

    def synchronize(self) -> None:
        """Wait until nothing is on its way on any of its streams."""
