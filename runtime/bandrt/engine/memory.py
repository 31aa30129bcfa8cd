"""Batches that do not fit into memory are halved, for any session; what was too large once is not tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bandrt.batch import bucket_size, pad
from bandrt.engine.session import Inputs, OutOfMemoryError, Session
from bandrt.engine.shapes import most_crystals

if TYPE_CHECKING:
    from bandrt.features import Features

Row = NDArray[Any] | OutOfMemoryError
"""Band energies of a crystal, (n_bands, n_kpoints) in eV, or why even it alone did not fit."""


class MemoryLimits:
    """How many crystals of a size fit, as far as is known: what was too many once is too many for larger crystals, too."""

    def __init__(self) -> None:
        self._most: dict[int, int] = {}

    def most(self, n_atoms: int) -> int | None:
        """Crystals of this size that may be tried together; None: any number."""
        return min((most for size, most in self._most.items() if size <= bucket_size(n_atoms)), default=None)

    def too_many(self, crystals: int, n_atoms: int) -> None:
        """Remember that so many crystals of a size did not fit: half of them may be tried."""
        self._most[bucket_size(n_atoms)] = max(1, crystals // 2)


@dataclass
class _Batch:
    """One batch that came in, and what has become of its crystals."""

    crystals: Sequence[Features]
    rows: list[Row] = field(default_factory=list)


class Evaluator:
    """Evaluates crystals with a session, in batches no larger than the engine and the memory take."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limits = MemoryLimits()

    def run_many(self, batches: Iterable[Sequence[Features]]) -> Iterator[list[Row]]:
        """Evaluate batches, lazily and in order.

        Args:
            batches: crystals of similar size side by side.

        Yields:
            For each batch, a row for each of its crystals.

        Raises:
            EngineError: ``engine-failed``, after the batches that were evaluated before.
        """
        waiting: deque[tuple[_Batch, Sequence[Features]]] = deque()
        started: deque[_Batch] = deque()

        def parts() -> Iterator[Inputs]:
            for crystals in batches:
                batch = _Batch(crystals)
                started.append(batch)
                for part in self._parts(crystals):
                    waiting.append((batch, part))
                    yield pad(part)

        for outputs in self._session.run_many(parts()):
            batch, part = waiting.popleft()
            batch.rows.extend(self._halves(part, outputs) if isinstance(outputs, OutOfMemoryError) else outputs["band_energies"])
            while started and len(started[0].rows) == len(started[0].crystals):
                yield started.popleft().rows

    def _parts(self, crystals: Sequence[Features]) -> Iterator[Sequence[Features]]:
        """Cut a batch into pieces that the engine takes and that may fit."""
        n_atoms = max(one.crystal.n_atoms for one in crystals)
        start = 0
        while start < len(crystals):
            limits = (most_crystals(self._session.manifest, n_atoms), self._limits.most(n_atoms))  # may change meanwhile
            end = start + min((limit for limit in limits if limit), default=len(crystals))
            yield crystals[start:end]
            start = end

    def _halves(self, crystals: Sequence[Features], error: OutOfMemoryError) -> list[Row]:
        """Evaluate crystals that did not fit together."""
        if len(crystals) == 1:
            return [error]
        self._limits.too_many(len(crystals), max(one.crystal.n_atoms for one in crystals))
        rows: list[Row] = []
        for part in self._parts(crystals):  # of half the size at most, from now on
            try:
                rows.extend(self._session.run(pad(part))["band_energies"])
            except OutOfMemoryError as again:
                rows.extend(self._halves(part, again))
        return rows
