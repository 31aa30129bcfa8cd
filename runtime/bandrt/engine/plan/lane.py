"""Lanes: all that one batch needs on its way over the GPU, so that two batches of one shape can be on their way at once.

A lane has its own execution context, its own buffers on both sides and its own captured graph, since a graph holds addresses.
What a context computes in is shared: contexts run one after another on the same stream.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from bandrt.engine.plan.device import Device, DeviceBuffer, DeviceError, Event, Graph, HostBuffer, OutOfDeviceMemoryError, Stream
from bandrt.engine.plan.pool import Pool, Shared
from bandrt.engine.plan.runnable import RunnableContext
from bandrt.engine.session import Inputs, Outputs
from bandrt.engine.shapes import Layout

RUNS_BEFORE_CAPTURE = 1
"""The first run makes a context ready, and cannot be part of a graph."""


@dataclass(frozen=True)
class Streams:
    """Where the three steps of every batch happen."""

    upload: Stream
    compute: Stream
    download: Stream

    @classmethod
    def of(cls, device: Device) -> Streams:
        """Three new streams."""
        return cls(device.stream(), device.stream(), device.stream())


@dataclass(frozen=True)
class Pools:
    """Where the buffers come from."""

    device: Pool[DeviceBuffer]
    pinned: Pool[HostBuffer]
    scratch: Shared[DeviceBuffer]
    """What contexts compute in, one after another."""

    @classmethod
    def of(cls, device: Device, *, budget: int | None) -> Pools:
        """Empty pools; `budget` bytes of the device at most, None: what there is."""
        on_device = Pool(device.allocate, budget=budget)
        return cls(on_device, Pool(device.allocate_pinned), Shared(on_device))


class Lane:
    """The way of one batch at a time."""

    def __init__(self, context: RunnableContext, inputs: Layout, outputs: Layout, scratch: DeviceBuffer, pools: Pools) -> None:
        """Borrow the buffers.

        Args:
            context: ready for the shape.
            inputs: how its inputs lie in memory.
            outputs: how its outputs do.
            scratch: memory to compute in, lent by the caller.
            pools: of the rest of the memory.

        Raises:
            OutOfDeviceMemoryError: there is not enough; nothing stays borrowed.
        """
        self._context = context
        self._inputs, self._outputs = inputs, outputs
        self._pools = pools
        self._on_device: list[DeviceBuffer] = []
        self._pinned: list[HostBuffer] = []
        self._graph: Graph | None = None
        self._runs = 0
        self.flight: Flight | None = None
        """The batch that is on its way."""
        try:
            for layout in (inputs, outputs):
                self._on_device.append(pools.device.take(layout.n_bytes))
                self._pinned.append(pools.pinned.take(layout.n_bytes))
            addresses = inputs.addresses(self._on_device[0].address) | outputs.addresses(self._on_device[1].address)
            context.bind(addresses, scratch)
        except BaseException:
            self.close()
            raise

    @property
    def is_captured(self) -> bool:
        """Whether its work is a CUDA graph."""
        return self._graph is not None

    def start(self, arrays: Inputs, crystals: int, streams: Streams) -> Flight:
        """Send a batch on its way; the lane must be free.

        Args:
            arrays: the inputs.
            crystals: rows of the outputs that mean something.
            streams: where to put the work.

        Raises:
            DeviceError: the device refuses.
        """
        assert self.flight is None, "a lane takes one batch at a time"
        self._inputs.write(self._pinned[0].content, arrays)
        streams.upload.upload(self._pinned[0], self._on_device[0], self._inputs.n_bytes)
        try:
            streams.compute.wait(streams.upload.record())
            self._compute(streams.compute)
            streams.download.wait(streams.compute.record())
            streams.download.download(self._on_device[1], self._pinned[1], self._outputs.n_bytes)
            self.flight = Flight(self, streams.download.record(), crystals)
        except BaseException:  # what has begun must end before the buffers are anyone's, also when an interrupt comes
            with suppress(DeviceError):
                for stream in (streams.upload, streams.compute, streams.download):
                    stream.record().synchronize()
            raise
        return self.flight

    def land(self, event: Event, crystals: int) -> Outputs:
        """Wait for the batch that is on its way, and take its outputs; the lane is free again, also if it failed."""
        try:
            event.synchronize()
            return self._outputs.read(self._pinned[1].content, crystals)
        finally:
            self.flight = None

    def close(self) -> None:
        """Give everything back; nothing may be on its way."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        while self._on_device:
            self._pools.device.give_back(self._on_device.pop())
        while self._pinned:
            self._pools.pinned.give_back(self._pinned.pop())

    def _compute(self, stream: Stream) -> None:
        if self._runs == RUNS_BEFORE_CAPTURE and self._graph is None and self._context.can_be_captured(stream):
            self._graph = self._captured(stream)
        if self._graph is None:
            self._context.enqueue(stream)
        else:
            stream.launch(self._graph)
        self._runs += 1

    def _captured(self, stream: Stream) -> Graph | None:
        try:
            return stream.capture(lambda: self._context.enqueue(stream))
        except OutOfDeviceMemoryError:
            raise
        except DeviceError as error:  # slower, and as right
            logging.getLogger(__name__).warning("runs without CUDA graphs: %s", error)
            self._context.give_up_capture()
            return None


class Flight:
    """A batch on its way; its outputs can be asked for once or more.

    Only `wait` may be called while other threads use the session.
    """

    def __init__(self, lane: Lane, arrived: Event, crystals: int) -> None:
        self._lane = lane
        self._arrived = arrived
        self._crystals = crystals
        self._end: Outputs | DeviceError | None = None

    def wait(self) -> None:
        """Wait until it is over; what has come of it is told by `outputs`."""
        with suppress(DeviceError):
            self._arrived.synchronize()

    def settle(self) -> Outputs | DeviceError:
        """Wait until it is over, and keep what has come of it, for whoever asks; its lane is free."""
        if self._end is None:
            try:
                self._end = self._lane.land(self._arrived, self._crystals)
            except DeviceError as error:
                self._end = error
        return self._end

    def outputs(self) -> Outputs:
        """The outputs by name, as soon as they are there.

        Raises:
            DeviceError: something on its way has failed.
        """
        end = self.settle()
        if isinstance(end, DeviceError):
            raise end
        return end
