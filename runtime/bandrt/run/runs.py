"""Runs that are to be merged: their records and parts, whether they are of one kind, and whether all of them is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandrt.errors import OutputError, OutputInTheWayError
from bandrt.results.store import RUN, existing_parts, read_run
from bandrt.run.choices import differences
from bandrt.run.shard import WHOLE, Shard


@dataclass(frozen=True)
class Run:
    """A run that is to be merged.

    Attributes:
        folder: its output folder.
        record: its ``run.json``.
        parts: its parts, in order.
    """

    folder: Path
    record: Mapping[str, Any]
    parts: tuple[Path, ...]

    @property
    def options(self) -> Mapping[str, Any]:
        """Its options, by name."""
        found = self.record.get("options")
        return found if isinstance(found, Mapping) else {}

    @property
    def shard(self) -> Shard:
        """The share of its inputs that it was of."""
        return Shard.parse(str(self.options.get("shard", WHOLE)))

    @property
    def series(self) -> tuple[Any, ...]:
        """What the shards of one job array have in common; a run of all its inputs stands alone."""
        return (self.folder,) if self.shard == WHOLE else (self.shard.of, *self.record.get("inputs", ()))

    def counted(self, name: str) -> int:
        """One of its counts."""
        counts = self.record.get("counts")
        return int(counts.get(name, 0)) if isinstance(counts, Mapping) else 0


def opened(folder: Path) -> Run:
    """The run of an output folder.

    Raises:
        OutputError: ``output-not-found`` or ``run-damaged``.
    """
    parts = existing_parts(folder)
    if not (record := read_run(folder)):
        raise OutputError("run-damaged", f"{folder}: has no {RUN}, which says by which engine it was made; run again with --resume")
    return Run(folder, record, tuple(parts))


def require_same(runs: Sequence[Run]) -> None:
    """Refuse runs of different engines, or with other choices that decide the numbers or the columns.

    Raises:
        OutputInTheWayError: ``engine-differs`` or ``options-differ``.
    """
    first = runs[0]
    for run in runs[1:]:
        if different := differences(first.record, run.record, shards=False):
            raise OutputInTheWayError(
                "engine-differs" if different[0].is_of_engine else "options-differ",
                f"{run.folder}: does not belong to {first.folder}: {', '.join(map(str, different))}; merge runs of one kind alone",
            )


def lacking(runs: Sequence[Run]) -> str:
    """What the runs lack to be all that was asked for; empty if nothing."""
    for run in runs:
        if (status := run.record.get("status")) != "finished":
            return f"{run.folder}: has not finished (it is {status}); go on with it with --resume"
    series: dict[tuple[Any, ...], dict[int, Run]] = {}
    for run in runs:
        series.setdefault(run.series, {})[run.shard.number] = run
    for shards in series.values():
        first = next(iter(shards.values()))
        of = first.shard.of
        if missing := [number for number in range(1, of + 1) if number not in shards]:
            said = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            return f"shard{'s' if len(missing) > 1 else ''} {said} of {of} {'are' if len(missing) > 1 else 'is'} missing"
        if of == 1:
            continue
        found = {run.counted("found") + run.counted("elsewhere") for run in shards.values()}
        if len(found) > 1 or found != {sum(run.counted("found") for run in shards.values())}:
            return (
                f"{first.folder}: inputs have changed while its {of} shards were run, so that some may be in none of them; run"
                " each again with --resume"
            )
    return ""
