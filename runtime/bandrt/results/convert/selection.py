"""Which predictions of an output folder are converted, and their way out of it, one part in memory at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bandrt.errors import OutputError, UsageError
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_engine, part_ids, read_part
from bandrt.results.prediction import Prediction
from bandrt.results.store import existing_parts, unknown_id
from bandrt.results.texts import as_written


class Portion(NamedTuple):
    """What is wanted of one part."""

    path: Path
    ids: frozenset[str] | None
    """Which crystals; None: all."""


@dataclass(frozen=True)
class Selection:
    """Predictions by one engine.

    Attributes:
        portions: at least one, in the order of the folder.
        n_crystals: how many predictions that is.
        engine_sha256: the engine that made them.
    """

    portions: tuple[Portion, ...]
    n_crystals: int
    engine_sha256: str

    def read(self) -> Iterator[list[Prediction]]:
        """Read it, a part at a time.

        Raises:
            OutputError: ``part-damaged``.
        """
        for path, ids in self.portions:
            with undamaged():
                predictions = [_readable(p) for p in read_part(path) if ids is None or p.id in ids]
            yield predictions


def select(folder: Path, ids: Sequence[str] = ()) -> Selection:
    """Find predictions, reading no more than ids and checksums.

    Args:
        folder: the output folder.
        ids: which; none: all.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, ``unknown-id`` or ``no-predictions``.
        UsageError: ``engine-differs``.
    """
    wanted, missing = frozenset(ids), set(ids)
    portions: list[Portion] = []
    engines: dict[str, Path] = {}
    n_crystals = 0
    for path in existing_parts(folder):
        with undamaged():
            held, engine = part_ids(path), part_engine(path)
        chosen = wanted.intersection(held) if wanted else held
        if not chosen:
            continue
        engines.setdefault(engine, path)
        n_crystals += len(chosen)
        missing.difference_update(chosen)
        portions.append(Portion(path, frozenset(chosen) if wanted else None))
    if missing:
        raise unknown_id(folder, next(id for id in ids if id in missing))
    if not portions:
        raise OutputError("no-predictions", f"{folder}: holds no predictions; what became of the inputs is in its errors.jsonl")
    if len(engines) > 1:
        found = ", ".join(f"{engine[:12]} in {path.name}" for engine, path in engines.items())
        raise UsageError(
            "engine-differs",
            f"{folder}: holds predictions of several engines ({found}); one file is of one engine: give the ids of one",
        )
    return Selection(tuple(portions), n_crystals, *engines)


def _readable(prediction: Prediction) -> Prediction:
    """The same, its names as ``summary.csv`` writes them: file names may hold bytes that are no text."""
    id, path = as_written(prediction.id), as_written(prediction.path)
    return prediction if (id, path) == (prediction.id, prediction.path) else dataclasses.replace(prediction, id=id, path=path)
