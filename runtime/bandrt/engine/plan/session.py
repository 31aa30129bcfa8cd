"""A session that runs a TensorRT plan: one program for every shape it meets, batches on their way two at a time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import numpy as np

from bandrt.contract import DTYPES, require_names
from bandrt.engine.plan.compiled import Kernels
from bandrt.engine.plan.device import Device, DeviceError, OutOfDeviceMemoryError
from bandrt.engine.plan.lane import RUNS_BEFORE_CAPTURE, Flight, Lane, Pools, Streams
from bandrt.engine.plan.runnable import Runnable
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs
from bandrt.engine.shapes import (
    BatchShape,
    Layout,
    centred_of,
    choose_shape,
    input_axes,
    mesh_of,
    shape_of,
    without_centres,
)
from bandrt.errors import EngineError
from bandrt.manifest import Manifest

MOST_PROGRAMS = 64
"""Shapes that stay ready; of more than these, the one that was not needed for longest is given up."""
IN_FLIGHT = 2
"""Batches on the GPU at once: one that computes, one that is copied."""


class Program:
    """A plan made ready for one shape: memory to compute in, and a lane for each batch that is on its way at once."""

    def __init__(self, plan: Runnable, manifest: Manifest, shape: BatchShape, streams: Streams, pools: Pools) -> None:
        self._plan = plan
        self._manifest = manifest
        self._shape = shape
        self._streams = streams
        self._pools = pools
        self._lanes: list[Lane] = []
        axes = input_axes(manifest, shape)
        self._context = plan.context(shape.profile, axes, streams.compute)
        self._inputs = Layout.of(axes, DTYPES)
        self._outputs = Layout.of({name: self._context.shape(name) for name in manifest.outputs}, DTYPES)
        self._scratch = pools.scratch.take(self._context.scratch_bytes)

    def free_lane(self) -> Lane:
        """A lane with nothing on its way, a new one if need be."""
        for lane in self._lanes:
            if lane.flight is None:
                return lane
        context = self._context
        if self._lanes:
            context = self._plan.context(self._shape.profile, input_axes(self._manifest, self._shape), self._streams.compute)
        self._lanes.append(Lane(context, self._inputs, self._outputs, self._scratch, self._pools))
        return self._lanes[-1]

    @property
    def flights(self) -> list[Flight]:
        """What is on its way."""
        return [lane.flight for lane in self._lanes if lane.flight is not None]

    @property
    def n_captured(self) -> int:
        """Lanes whose work is a CUDA graph."""
        return sum(lane.is_captured for lane in self._lanes)

    def close(self) -> None:
        """Give everything back; it must be idle."""
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        self._pools.scratch.give_back(self._scratch)


class PlanSession:
    """A plan on a GPU.

    Outputs do not depend on what a batch is padded to. A batch that does not fit into memory is refused with an error that says so;
    the session goes on. Several threads may call it: batches are sent by one of them at a time, and each waits for its own.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        plan: Runnable,
        device: Device,
        *,
        name: str,
        budget: int | None = None,
        kernels: Kernels | None = None,
        streams: Streams | None = None,
        shared: Any = None,
    ) -> None:
        """Take a plan that is loaded.

        Args:
            path: its file, for messages.
            manifest: of the plan.
            plan: the loaded plan.
            device: the GPU it is loaded on.
            name: ``cuda:N``, or what else it is called in ``--device``.
            budget: bytes of the device for batches; None: what there is.
            kernels: where what the plan compiles is kept; None: nowhere.
            streams: of the device; None: new ones.
            shared: a reentrant lock that is held, by this session and others, whenever it asks CUDA for anything, waiting included;
                None: it has one of its own, and waits without it.

        Raises:
            EngineError: ``engine-mismatch`` when the plan is not what its manifest says.
            ManifestError: the manifest lists no band energies.
        """
        self._path = path
        self._manifest = manifest
        self._plan: Runnable | None = plan
        self._device = device
        self._name = name
        self._streams = streams or Streams.of(device)
        self._pools = Pools.of(device, budget=budget)
        self._programs: OrderedDict[BatchShape, Program] = OrderedDict()
        self._kernels = kernels if plan.compiles else None
        self.compiling: str | None = None
        """The shape that is being compiled, which takes seconds, for people; None while nothing is."""
        self._lock = shared or RLock()
        """Of programs, pools and lanes; reentrant, since a stream that nobody reads to its end may be collected anywhere."""
        self._waits_alone = shared is not None
        self._abandoned: deque[Flight] = deque()
        """Of such streams, where another thread had the lock, which may wait for the very thread that collects."""
        self._compare_with_manifest(plan)

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed."""
        return self._manifest

    @property
    def device(self) -> str:
        """Where it runs: ``cuda:N``."""
        return self._name

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch; see `bandrt.engine.session.Session.run`."""
        [outputs] = self.run_many([inputs])
        if isinstance(outputs, OutOfMemoryError):
            raise outputs
        return outputs

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Evaluate batches, the copies of each while another computes; see `bandrt.engine.session.Session.run_many`."""
        ahead: deque[Flight | OutOfMemoryError] = deque()
        failure: EngineError | None = None
        try:
            for inputs in batches:
                try:
                    ahead.append(self._start(inputs))
                except EngineError as error:  # first what was sent before it
                    failure = error
                    break
                while len(ahead) >= IN_FLIGHT:
                    yield self._landed(ahead.popleft())
            while ahead:
                yield self._landed(ahead.popleft())
        finally:
            self._abandoned.extend(flight for flight in ahead if isinstance(flight, Flight))
            if self._abandoned and self._lock.acquire(blocking=False):
                try:
                    self._settle_abandoned()
                finally:
                    self._lock.release()
        if failure is not None:
            raise failure

    @property
    def kernels(self) -> Kernels | None:
        """What is compiled and kept; None where the plan compiles nothing when it runs."""
        return self._kernels

    @property
    def n_captured(self) -> int:
        """How often the plan is captured as a CUDA graph: once for every batch of a shape that was on its way at once."""
        with self._lock:
            return sum(program.n_captured for program in self._programs.values())

    @property
    def uses_graphs(self) -> bool:
        """Whether runs are CUDA graphs, captured here or by ONNX Runtime, rather than kernels sent one by one."""
        return self.n_captured > 0 or (self._plan is not None and self._plan.captures_itself)

    def give_up_capture(self) -> None:
        """Run kernel by kernel what is not captured yet: slower, and as right."""
        with self._lock:
            if self._plan is not None:
                self._plan.give_up_capture()

    def prepare(self, shape: BatchShape) -> bool:
        """Make everything ready that batches of a shape need: kernels, and the captured graph.

        Returns:
            Whether it had to be compiled.

        Raises:
            EngineError: ``engine-failed``, or ``out-of-memory`` for a shape that does not fit.
        """
        is_new = self._kernels is not None and not self._kernels.has(shape)
        inputs = {name: np.zeros(axes, DTYPES[name]) for name, axes in input_axes(self._manifest, shape).items()}
        for _ in range(RUNS_BEFORE_CAPTURE + 1):
            self.run(inputs)
        return is_new

    def keep_kernels(self) -> None:
        """Write what was compiled; see `bandrt.engine.plan.compiled`."""
        with self._lock:
            self._device.make_current()
            self._keep(now=True)

    def close(self) -> None:
        """Free the model."""
        with self._lock:
            try:
                self._device.make_current()
                self._device.synchronize()
            except DeviceError:
                return  # a device that has failed keeps what it has until the process ends
            self._keep(now=True)
            for program in self._programs.values():
                for flight in program.flights:
                    flight.settle()
                program.close()
            self._programs.clear()
            self._abandoned.clear()
            self._plan = None
            self._pools.device.trim()
            self._pools.pinned.trim()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _start(self, inputs: Inputs) -> Flight | OutOfMemoryError:
        crystals, atoms, slots = shape_of(inputs)
        shape = choose_shape(self._manifest, crystals, atoms, slots, mesh_of(inputs), centred_of(inputs))
        inputs = without_centres(inputs, shape)
        with self._lock:
            again = False
            while True:
                try:
                    self._device.make_current()
                    self._settle_abandoned()
                    with self._told(shape):
                        return self._program(shape).free_lane().start(inputs, crystals, self._streams)
                except OutOfDeviceMemoryError as error:
                    reason = str(error)  # the error itself would keep alive what was begun
                except DeviceError as error:
                    raise self._failed(error, f"{crystals} crystals of up to {atoms} atoms") from error
                if not self._make_room(shape, again=again):
                    return OutOfMemoryError.of_batch(self._name, crystals, atoms, reason=reason)
                again = True

    def _settle_abandoned(self) -> None:
        while self._abandoned:
            self._abandoned.popleft().settle()  # at once where it has ended, as all have of a closed session

    def _landed(self, flight: Flight | OutOfMemoryError) -> Outputs | OutOfMemoryError:
        if isinstance(flight, OutOfMemoryError):
            return flight
        try:
            self._device.make_current()
            if not self._waits_alone:
                flight.wait()  # without the lock: others may send meanwhile
            with self._lock:
                outputs = flight.outputs()
                self._keep(now=False)
                return outputs
        except OutOfDeviceMemoryError as error:
            return OutOfMemoryError(f"{self._name} ran out of memory ({error})")
        except DeviceError as error:
            raise self._failed(error, "a batch") from error

    @contextmanager
    def _told(self, shape: BatchShape) -> Iterator[None]:
        """Say that a shape is compiled, while it is, and remember it."""
        if self._kernels is None or self._kernels.has(shape):
            yield
            return
        self.compiling = f"{shape.crystals} crystals of {shape.atoms} atoms"
        try:
            yield
            self._kernels.add(shape)
        finally:
            self.compiling = None

    def _keep(self, *, now: bool) -> None:
        if self._kernels is not None and self._plan is not None:
            self._kernels.keep(self._plan.compiled, now=now)

    def _program(self, shape: BatchShape) -> Program:
        if shape not in self._programs:
            if len(self._programs) >= MOST_PROGRAMS:
                self._give_up_one(shape)
            assert self._plan is not None, "the session is closed"
            self._programs[shape] = Program(self._plan, self._manifest, shape, self._streams, self._pools)
        self._programs.move_to_end(shape)
        return self._programs[shape]

    def _make_room(self, shape: BatchShape, *, again: bool) -> bool:
        """Do without something, so that a batch of this shape may fit; whether there was anything.

        What is not lent goes back to the driver, since TensorRT takes memory of its own. `again`, that is not enough: it may be
        what the attempt before has left.
        """
        if self._pools.device.trim() and not again:
            return True
        if self._give_up_one(shape):
            self._pools.device.trim()
            return True
        flights = [flight for program in self._programs.values() for flight in program.flights]
        for flight in flights:  # its outputs wait in the host's memory from now on, and its lane is free
            flight.settle()
        return bool(flights)

    def _give_up_one(self, but: BatchShape) -> bool:
        """Give up the program that was not needed for longest; whether there was one to give up."""
        for shape, program in self._programs.items():
            if shape != but and not program.flights:
                del self._programs[shape]
                program.close()
                return True
        return False

    def _failed(self, error: DeviceError, what: str) -> EngineError:
        return EngineError("engine-failed", f"{self._path}: {self._name} failed on {what} ({error})")

    def _compare_with_manifest(self, plan: Runnable) -> None:
        manifest, found = self._manifest, plan.tensors()
        require_names(manifest, name=str(self._path))
        expected = {name: (name in manifest.inputs, DTYPES[name]) for name in (*manifest.inputs, *manifest.outputs)}
        if found != expected or plan.n_profiles != len(manifest.profile.buckets):
            raise EngineError(
                "engine-mismatch",
                f"{self._path}: the plan has the tensors {_listed(found)} and {plan.n_profiles} optimisation profiles, its"
                f" manifest says {_listed(expected)} and {len(manifest.profile.buckets)}",
            )


def _listed(tensors: Mapping[str, tuple[bool, str]]) -> str:
    return ", ".join(f"{name} ({'in' if is_input else 'out'}, {kind})" for name, (is_input, kind) in sorted(tensors.items()))
