"""How much of what an engine computes is padding, of batches that a run has made or would make.

A run that is only tried out reads its inputs and finds their primitive cells, whose sizes decide which crystals share a batch; it
makes no features, opens no engine and needs no GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from bandrt.batch import Batcher
from bandrt.crystal import Crystal
from bandrt.engine.shapes import holds, padded_atoms
from bandrt.errors import InputError
from bandrt.manifest import Manifest
from bandrt.outcomes import outcome_of
from bandrt.routes import Route
from bandrt.run.chunks import Chunk, chunked
from bandrt.run.workers import WorkerDied, WorkerPool
from bandrt.sources import Source
from bandrt.symmetry.standard_cell import StandardCell, standardize_many
from bandrt.watch import watched

CHUNKS_PER_WORKER = 3
"""Chunks in flight for each worker."""
ADVICE = "nothing was written"
"""What to do when a worker died."""


@dataclass
class Padding:
    """Atoms in batches, and what they were padded to.

    Attributes:
        atoms: of the crystals.
        padded_atoms: padding included.
        inputs: that were looked at, whether or not they can be used; counted in a dry run alone.
        largest: name and atoms of the largest crystal that the engine itself predicts; found in a dry run alone.
    """

    atoms: int = 0
    padded_atoms: int = 0
    inputs: int = 0
    largest: tuple[str, int] = ("", 0)

    def add(self, manifest: Manifest, crystals: Sequence[tuple[int, bool]]) -> None:
        """Count a batch, given as in `bandrt.engine.shapes.padded_atoms`."""
        self.atoms += sum(n_atoms for n_atoms, _ in crystals)
        self.padded_atoms += padded_atoms(manifest, crystals)

    @property
    def ratio(self) -> float | None:
        """How many times the atoms are computed, 1 without padding, to three digits; None where there is no batch."""
        return round(self.padded_atoms / self.atoms, 3) if self.atoms else None


class _Sized(NamedTuple):
    """All of a crystal that decides on its batch."""

    atomic_numbers: range
    """As long as those of its primitive cell."""
    is_centred: bool
    lane: bool
    """Whether the engine hands it over."""
    id: str


def padding_of(
    sources: Iterable[Source],
    manifest: Manifest,
    other: Manifest | None,
    *,
    batch_size: int,
    max_atoms: int | None,
    workers: int,
    timeout: float,
) -> Padding:
    """Find out what batches of a run would be padded to; inputs that cannot be used are passed over.

    Args:
        sources: in the order of the run.
        manifest: of the engine.
        other: of the engine that it hands crystals over to, if it does.
        batch_size: crystals per run of the engine.
        max_atoms: of the largest primitive cell for which there shall be memory; None: any.
        workers: processes that read; 0 works in this one.
        timeout: seconds after which a crystal is given up, with those that are read together with it.
    """
    manifests = {False: manifest, True: manifest if other is None else other}
    batcher: Batcher[None, _Sized] = Batcher(batch_size, holds=lambda size, lane: holds(manifests[lane], size))
    padding = Padding()

    def count(batches: Sequence[Sequence[tuple[None, _Sized]]]) -> None:
        for batch in batches:
            padding.add(manifests[batch[0][1].lane], [(len(one.atomic_numbers), one.is_centred) for _, one in batch])

    def numbered() -> Iterator[tuple[int, Source]]:
        for order, source in enumerate(sources):
            padding.inputs += 1
            yield order, source

    size = partial(_sized, route=Route.to(manifest, other), memory_atoms=max_atoms)
    with WorkerPool(workers, ahead=CHUNKS_PER_WORKER, advice=ADVICE, timeout=timeout) as pool:
        for found in pool.map(size, chunked(numbered()), rescue=_given_up):
            for one in found:
                if not one.lane and len(one.atomic_numbers) > padding.largest[1]:
                    padding.largest = one.id, len(one.atomic_numbers)
                count(batcher.add(None, one, lane=one.lane))
    count(batcher.flush())
    return padding


def _sized(chunk: Chunk, route: Route, memory_atoms: int | None) -> list[_Sized]:
    """Read some sources and find the sizes of their primitive cells; runs in a worker."""
    crystals = [(source.id, outcome_of(source.read)) for _, source in watched(chunk)]
    read = [(one, route.leaves(one), id) for id, one in crystals if isinstance(one, Crystal)]
    found: list[_Sized | None] = [None] * len(read)
    for lane in (False, True):
        way = (route.other or route) if lane else route
        places = [place for place, (_, away, _) in enumerate(read) if away is lane]
        cells = standardize_many([read[place][0] for place in places], way.recipe.symmetry, names=[""] * len(places))
        for place, cell in zip(places, cells, strict=True):
            if not isinstance(cell, InputError) and _fits(cell, way.max_atoms, memory_atoms):
                found[place] = _Sized(range(cell.crystal.n_atoms), cell.twice_centre is not None, lane, read[place][2])
    return [one for one in found if one is not None]


def _fits(cell: StandardCell, *limits: int | None) -> bool:
    return all(limit is None or cell.crystal.n_atoms <= limit for limit in limits)


def _given_up(chunk: Chunk, death: WorkerDied) -> list[_Sized]:
    """Nothing is known of crystals that a worker died at."""
    return []
