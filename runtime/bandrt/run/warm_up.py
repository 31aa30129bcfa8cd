"""Before a run: everything compiled and captured that its batches will need, so that no crystal waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bandrt.arguments import checked_whole
from bandrt.batch import Batcher, bucket_size, most_together
from bandrt.engine.memory import Evaluator
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, parse_device, run_in_turn
from bandrt.engine.shapes import BatchShape, centred_of, choose_shape, mesh_of, most_crystals, shape_of
from bandrt.errors import UsageError
from bandrt.features import Features
from bandrt.featurized import featurize_inputs
from bandrt.files import check_file, paths_of
from bandrt.loading import load
from bandrt.manifest import Manifest
from bandrt.outcomes import outcome_of
from bandrt.predict import Engine, default_batch_size
from bandrt.results.prediction import Ticket
from bandrt.run.chunks import chunked
from bandrt.sources import Source, find


@dataclass(frozen=True)
class WarmUp:
    """What was made ready.

    Attributes:
        engine: the model file.
        device: where it runs.
        nothing: why there is nothing to make ready; None where there is.
        shapes: of batches, that were wanted.
        compiled: of them, those that were compiled now; the others had been before.
        too_large: of them, those that do not fit into memory.
        seconds: it took.
        kept: the file with what was compiled; None where there is none.
        kept_bytes: its size.
    """

    engine: Path
    device: str
    nothing: str | None = None
    shapes: int = 0
    compiled: int = 0
    too_large: int = 0
    seconds: float = 0.0
    kept: Path | None = None
    kept_bytes: int = 0


def warm_up(
    engine: Path,
    paths: Iterable[Path | str] = (),
    *,
    device: str | None = None,
    max_atoms: int | None = None,
    batch_size: int | None = None,
    on_shape: Callable[[int, int, BatchShape | None], None] = lambda done, total, shape: None,
) -> WarmUp:
    """Compile and capture what a run needs of an engine, and keep what can be kept.

    Args:
        engine: the model file.
        paths: what `infer` will be given: exactly the shapes of its batches are made ready. Nothing: every shape that batches
            may have, up to so many atoms.
        device: where it runs; None: as `infer`.
        max_atoms: of the largest crystal, without paths; None: what the engine holds.
        batch_size: crystals per run of the model; None: as `infer`.
        on_shape: called before each shape with how many are done, of how many, and which comes; at the end with None.

    Raises:
        UsageError: ``warm-up-needs-crystals``: what shapes batches have depends on the crystals, for this engine.
        OutputError: what is compiled could not be kept.
        BandrtError: as `load` and, of the paths, `find`.
    """
    with load(engine, device) as opened:
        session = opened.session
        if not isinstance(session, PlanSession) or session.kernels is None:
            return WarmUp(opened.path, session.device, nothing=_nothing(opened))
        file = session.kernels.path
        check_file(file, overwrite=True)
        size = default_batch_size(session.device) if batch_size is None else checked_whole("batch_size", batch_size, at_least=1)
        if paths := list(paths):
            shapes = shapes_of_inputs(find(paths_of(paths)), opened, size)
        else:
            shapes = shapes_up_to(session.manifest, max_atoms, size, path=opened.path)
        started, compiled, too_large = time.perf_counter(), 0, 0
        for done, shape in enumerate(shapes):
            on_shape(done, len(shapes), shape)
            try:
                compiled += session.prepare(shape)
            except OutOfMemoryError:
                too_large += 1
        on_shape(len(shapes), len(shapes), None)
        session.keep_kernels()
        seconds = time.perf_counter() - started
        kept = file if file.is_file() else None
        n_bytes = 0 if kept is None else kept.stat().st_size
        return WarmUp(opened.path, session.device, None, len(shapes), compiled, too_large, seconds, kept, n_bytes)


def shapes_up_to(manifest: Manifest, max_atoms: int | None, batch_size: int, *, path: Path) -> list[BatchShape]:
    """Every shape that batches of crystals of up to so many atoms are padded to, small ones first.

    Args:
        manifest: of a plan.
        max_atoms: of the largest crystal; None, and more than the plan holds: what it holds.
        batch_size: crystals of a batch, at most.
        path: of the plan, for messages.

    Raises:
        UsageError: ``warm-up-needs-crystals`` for a plan whose shapes also depend on meshes or numbers of neighbours.
    """
    profile = manifest.profile
    if manifest.recipe.mesh is not None or profile.max_slots is not None:
        raise UsageError(
            "warm-up-needs-crystals",
            f"{path}: batches of this engine differ in neighbours and meshes, too; name crystals such as those that will be"
            f" predicted: bandrt warm-up {path} PATH...",
        )
    largest = min((most for most in (max_atoms, profile.max_atoms) if most is not None), default=1)
    found: dict[BatchShape, None] = {}
    for atoms in range(1, largest + 1):
        together = min(batch_size, most_together(bucket_size(atoms)), most_crystals(manifest, atoms) or batch_size)
        for crystals in range(1, together + 1):
            found[choose_shape(manifest, crystals, atoms, manifest.recipe.graph.n_neighbors)] = None
    return sorted(found, key=lambda shape: (shape.padded_atoms, shape))


def shapes_of_inputs(sources: Iterator[Source], engine: Engine, batch_size: int) -> list[BatchShape]:
    """The shapes that the batches of a run over some inputs are padded to, small ones first; what cannot be used is passed over.

    Args:
        sources: the inputs, in the order of the run.
        engine: which runs nothing.
        batch_size: crystals of a batch, at most.
    """
    session = _Recorder(engine.manifest, engine.session.device)
    batcher: Batcher[Ticket, Features] = Batcher(batch_size, holds=engine.holds)

    def batches() -> Iterator[Sequence[Features]]:
        for chunk in chunked(enumerate(sources)):
            tickets = [Ticket(order, source.id, source.path) for order, source in chunk]
            done = featurize_inputs(tickets, [outcome_of(source.read) for _, source in chunk], engine.route)
            for ticket, one in done.features:
                if not engine.route.leaves(one.crystal):
                    yield from ([member for _, member in batch] for batch in batcher.add(ticket, one))
        yield from ([member for _, member in batch] for batch in batcher.flush())

    for _ in Evaluator(session).run_many(batches()):
        pass
    return sorted(session.shapes, key=lambda shape: (shape.padded_atoms, shape))


class _Recorder:
    """A session that runs nothing and notes the shapes of batches."""

    def __init__(self, manifest: Manifest, device: str) -> None:
        self.manifest = manifest
        self.device = device
        self.shapes: set[BatchShape] = set()

    def run(self, inputs: Inputs) -> Outputs:
        self.shapes.add(choose_shape(self.manifest, *shape_of(inputs), mesh_of(inputs), centred_of(inputs)))
        return {}

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        return run_in_turn(self.run, batches)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _nothing(engine: Engine) -> str:
    """Why there is nothing to make ready that a later run would find."""
    backend, device = engine.manifest.backend.name, engine.session.device
    kind, _ = parse_device(device)
    if backend == "tensorrt":
        return "a plan of full TensorRT holds its kernels; a run captures its CUDA graphs itself"
    if backend == "null":
        return "this engine computes nothing"
    if kind == "cpu":
        return "ONNX Runtime compiles nothing on the CPU"
    if kind == "cuda":
        return f"ONNX Runtime compiles nothing on {device}; a run captures its CUDA graphs itself"
    return f"{device} compiles an engine for all shapes when it is opened, as it was just now, and keeps that itself"
