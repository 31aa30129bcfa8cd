"""Which lines of ``summary.csv`` and ``errors.jsonl`` count, and whether all are there, for those who read them without the bands.

A line is appended when its result comes, and one that it replaces is taken out when the run puts its lines in order. Until then
the parts decide, as they do for `bandrt.results.store.read`: of several lines of one crystal the last counts, if a part holds the
crystal, and a failure counts if none does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bandrt.errors import OutputError
from bandrt.quoting import counted
from bandrt.results.damage import UnreadablePartError, undamaged
from bandrt.results.parts import part_ids
from bandrt.results.prediction import Failure
from bandrt.results.store import ERRORS, RUN, SUMMARY, existing_parts, read_errors, unfinished

_REMEDY = "if the folder is a copy, copy it anew, else run again with --resume"


class CountedLines(NamedTuple):
    """The results of a run that its two tables tell of."""

    rows: list[int]
    """Which lines of the summary, in their order."""
    failures: list[Failure]
    """Inputs without a prediction."""


def counted_lines(folder: Path, record: Mapping[str, Any], ids: Sequence[str]) -> CountedLines:
    """Leave out lines of results that were replaced since, and require that none is missing of a finished run.

    Args:
        folder: the output folder.
        record: its ``run.json``, read before the summary: a run that has finished in between has more lines.
        ids: of each line of the summary.

    Raises:
        OutputError: ``summary-damaged`` or ``errors-damaged`` where a finished run counts others; ``errors-unreadable``; where
            parts decide, ``part-damaged``, ``part-unreadable`` or ``part-version``.
    """
    row_of = {id: row for row, id in enumerate(ids)}  # the last of each
    failures = read_errors(folder)
    if _is_doubtful(record, row_of, len(ids), failures):
        held = _ids_in_parts(folder)
        row_of = {id: row for id, row in row_of.items() if id in held}
    require_all_predictions(folder, record, len(row_of))
    failures = [failure for failure in failures if failure.id not in row_of]
    require_all_failures(folder, record, len(failures))
    return CountedLines(sorted(row_of.values()), failures)


def require_all_predictions(folder: Path, record: Mapping[str, Any], n: int) -> None:
    """Refuse a summary of which lines are missing, or that is of another run.

    Raises:
        OutputError: ``summary-damaged``.
    """
    _require_all(
        "summary-damaged", folder / SUMMARY, counted(n, "prediction"), n, _total(record, "predicted"), "makes it from the parts"
    )


def require_all_failures(folder: Path, record: Mapping[str, Any], n: int) -> None:
    """Refuse a record of the failures of which lines are missing, or that is of another run.

    Raises:
        OutputError: ``errors-damaged``.
    """
    _require_all(
        "errors-damaged", folder / ERRORS, counted(n, "failure"), n, _total(record, "failed"), "tries again what has no result"
    )


def _require_all(code: str, table: Path, found: str, n: int, total: int | None, remedy: str) -> None:
    """Refuse a table of n results where a finished run counts another number of them."""
    if total not in (None, n):
        raise OutputError(code, f"{table}: has {found} that count, where {RUN} says {total:,}; {_REMEDY}, which {remedy}")


def _total(record: Mapping[str, Any], of: str) -> int | None:
    """How many results a finished run counts; None where it has not finished, or says nothing of it."""
    counts = record.get("counts")
    if record.get("status") != "finished" or not isinstance(counts, Mapping):
        return None
    total = counts.get(f"total_{of}")
    return total if isinstance(total, int) else None


def _is_doubtful(record: Mapping[str, Any], row_of: Mapping[str, int], n_lines: int, failures: Sequence[Failure]) -> bool:
    """Whether some lines may be of results that were replaced: the run goes on or was stopped, if only while it sorted them."""
    total = _total(record, "predicted")
    return (
        bool(unfinished(record))
        or len(row_of) < n_lines
        or any(failure.id in row_of for failure in failures)
        or (total is not None and len(row_of) > total)
    )


def _ids_in_parts(folder: Path) -> Collection[str]:
    """The crystals that parts hold; one that a run has emptied meanwhile holds none."""
    held: set[str] = set()
    for path in existing_parts(folder):
        with undamaged():
            try:
                held.update(part_ids(path))
            except UnreadablePartError:
                if path.exists():
                    raise
    return held
