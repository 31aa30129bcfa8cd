"""Batches that do not fit into memory are halved, for any session; what was too large once is not tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bandrt.batch import alike, bucket_size, pad
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, Session
from bandrt.engine.shapes import most_crystals
from bandrt.errors import EngineError

if TYPE_CHECKING:
    from bandrt.features import Features
    from bandrt.manifest import Manifest

CrystalOutputs = Outputs | EngineError
"""The outputs of one crystal by name, without the axis of the batch, or why there are none: ``out-of-memory`` for a crystal that
does not fit even alone, ``too-many-neighbors`` for one that has more than a plan takes."""


class MemoryLimits:
    """How many crystals of a size fit, as far as is known: what was too many once is too many for larger crystals, too."""

    def __init__(self) -> None:
        self._most: dict[int, int] = {}

    def most(self, n_atoms: int) -> int | None:
        """Crystals of this size that may be tried together; None: any number."""
        known = list(self._most.items())  # other threads may add to it
        return min((most for size, most in known if size <= bucket_size(n_atoms)), default=None)

    def too_many(self, crystals: int, n_atoms: int) -> None:
        """Remember that so many crystals of a size did not fit: half of them may be tried."""
        self._most[bucket_size(n_atoms)] = max(1, crystals // 2)


class _Batch:
    """A batch that came in, and what is known of its crystals."""

    def __init__(self, crystals: Sequence[Features], manifest: Manifest) -> None:
        max_slots = manifest.profile.max_slots
        slots = [one.neighbor_index.shape[1] for one in crystals]
        self.rows: list[CrystalOutputs] = [too_many_neighbors(n, max_slots) if max_slots and n > max_slots else {} for n in slots]
        taken = [place for place, row in enumerate(self.rows) if not isinstance(row, EngineError)]
        kinds = [[taken[i] for i in kind] for kind in alike([crystals[place] for place in taken], manifest)]
        self.kinds = [[crystals[place] for place in kind] for kind in kinds]
        """The crystals that the engine takes, those together that it takes together."""
        self.places = deque(place for kind in kinds for place in kind)
        """Of the rows that are not known yet, in the order of these crystals."""
        self.on_their_way: deque[Sequence[Features]] = deque()

    def add(self, rows: Iterable[CrystalOutputs]) -> None:
        for row in rows:
            self.rows[self.places.popleft()] = row


class Evaluator:
    """Evaluates crystals with a session, in batches no larger than the engine and the memory take."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limits = MemoryLimits()

    def run_many(self, batches: Iterable[Sequence[Features]]) -> Iterator[list[CrystalOutputs]]:
        """Evaluate batches, lazily and in order.

        Args:
            batches: crystals of similar size side by side.

        Yields:
            For each batch, a row for each of its crystals.

        Raises:
            EngineError: ``engine-failed``, after the batches that were evaluated before.
        """
        started: deque[_Batch] = deque()

        def pieces() -> Iterator[Inputs]:
            for crystals in batches:
                batch = _Batch(crystals, self._session.manifest)
                started.append(batch)
                for kind in batch.kinds:
                    for piece in self._pieces(kind):
                        batch.on_their_way.append(piece)
                        yield pad(piece)

        for outputs in self._session.run_many(pieces()):
            batch = next(one for one in started if one.on_their_way)
            piece = batch.on_their_way.popleft()
            batch.add(self._halves(piece, outputs) if isinstance(outputs, OutOfMemoryError) else rows_of(outputs, len(piece)))
            while started and not started[0].places:
                yield started.popleft().rows
        for batch in started:  # of which no crystal could be evaluated
            yield batch.rows

    def _pieces(self, crystals: Sequence[Features]) -> Iterator[Sequence[Features]]:
        """Cut a batch into pieces that the engine takes and that may fit."""
        n_atoms = max((one.crystal.n_atoms for one in crystals), default=0)
        start = 0
        while start < len(crystals):
            limits = (most_crystals(self._session.manifest, n_atoms), self._limits.most(n_atoms))  # may change meanwhile
            end = start + min((limit for limit in limits if limit), default=len(crystals))
            yield crystals[start:end]
            start = end

    def _halves(self, crystals: Sequence[Features], error: OutOfMemoryError) -> list[CrystalOutputs]:
        """Evaluate crystals that did not fit together."""
        if len(crystals) == 1:
            return [error]
        self._limits.too_many(len(crystals), max(one.crystal.n_atoms for one in crystals))
        rows: list[CrystalOutputs] = []
        for piece in self._pieces(crystals):  # of half the size at most, from now on
            try:
                rows.extend(rows_of(self._session.run(pad(piece)), len(piece)))
            except OutOfMemoryError as again:
                rows.extend(self._halves(piece, again))
        return rows


def too_many_neighbors(found: int, allowed: int) -> EngineError:
    """The error of a crystal that has more neighbour slots than a plan."""
    message = f"an atom has {found} neighbours, this plan holds at most {allowed}; run the ONNX engine instead"
    return EngineError("too-many-neighbors", message)


def rows_of(outputs: Outputs, crystals: int) -> list[CrystalOutputs]:
    """The outputs of a batch, crystal by crystal."""
    return [{name: array[index] for name, array in outputs.items()} for index in range(crystals)]
