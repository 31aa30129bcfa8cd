"""The summaries of a run as columns: a hundred thousand crystals are read in half a second, without their bands."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.domain import NO_INFERENCE
from bandrt.errors import OutputError, UsageError
from bandrt.results.counted import counted_lines
from bandrt.results.prediction import Failure
from bandrt.results.query import ColumnKind, Query, Value, columns_of
from bandrt.results.store import SUMMARY, existing_parts, read_run
from bandrt.results.summary import COLUMNS, KINDS, UNCERTAINTY_COLUMN, text_of, words_of
from bandrt.screening.criteria import Criteria, elements_of
from bandrt.screening.features import PredictedGaps
from bandrt.sources.tables import csv_rows

WHOLE = frozenset({"space_group", "n_atoms"})
"""Columns of whole numbers."""


@dataclass(frozen=True, eq=False)
class SummaryTable:
    """Predictions of a run.

    Attributes:
        folder: the output folder.
        columns: the cells of each column as they stand in ``summary.csv``, by name, in its order; n each.
        n_failed: inputs without a prediction.
        notes: what has to be known of it, for people.
    """

    folder: Path
    columns: Mapping[str, Sequence[str]]
    n_failed: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns["id"])

    @property
    def ids(self) -> list[str]:
        """Of the crystals, as the parts have them."""
        return list(map(text_of, self.columns["id"]))

    def only(self, chosen: NDArray[np.bool_]) -> SummaryTable:
        """The same with those crystals alone that are chosen, (n,)."""
        rows = np.flatnonzero(chosen).tolist()
        return replace(self, columns={name: [cells[row] for row in rows] for name, cells in self.columns.items()})

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns that were kept of the inputs."""
        return tuple(name for name in self.columns if name not in KINDS)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """What a query may ask of each column."""
        return {name: KINDS.get(name, "cell") for name in (*KINDS, *self.kept)}

    @property
    def predicted(self) -> PredictedGaps:
        """The predictions, as a calibration takes them."""
        uncertainty = self.columns.get(UNCERTAINTY_COLUMN)
        return PredictedGaps(
            gap_ev=self._numbers("band_gap_ev"),
            direct_gap_ev=self._numbers("direct_gap_ev"),
            is_metal=self._truths("is_metal"),
            uncertainty_ev=np.full(len(self), np.nan) if uncertainty is None else self._numbers(UNCERTAINTY_COLUMN),
            warnings=np.array(self.columns["warnings"], dtype=np.str_),
        )

    def require_predicted(self) -> None:
        """Refuse what no model has predicted.

        Raises:
            UsageError: ``null-engine``.
        """
        if any(NO_INFERENCE in words_of(cell) for cell in self.columns["warnings"]):
            raise UsageError(
                "null-engine",
                f"{self.folder}: is of the engine null, which computes nothing: there is nothing to choose or show",
            )

    def considered(self, criteria: Criteria, query: Query | None) -> NDArray[np.bool_]:
        """Which crystals are what is wanted as far as it is known of them: all but what their labels decide, (n,)."""
        chosen = np.ones(len(self), np.bool_)
        if criteria.max_atoms is not None:
            chosen &= self._numbers("n_atoms") <= criteria.max_atoms
        if criteria.space_groups:
            number = self._numbers("space_group")
            chosen &= np.any([(number >= low) & (number <= high) for low, high in criteria.space_groups], axis=0)
        if criteria.elements or criteria.exclude:
            wanted, unwanted = frozenset(criteria.elements), frozenset(criteria.exclude)
            found = map(elements_of, self.columns["formula"])
            chosen &= np.fromiter((wanted <= one and unwanted.isdisjoint(one) for one in found), np.bool_, len(self))
        if query is not None:
            asked = columns_of(query)
            for row in np.flatnonzero(chosen).tolist():
                chosen[row] = query.matches({name: self.value(name, row) for name in asked})
        return chosen

    def as_predicted(self, criteria: Criteria) -> NDArray[np.bool_]:
        """Which crystals are predicted to be what is wanted of their labels, (n,)."""
        chosen, gap = np.ones(len(self), np.bool_), self._numbers("band_gap_ev")
        if criteria.gap is not None:
            low, high = criteria.gap
            chosen &= (gap >= low) & (gap <= high)
        if criteria.direct is not None:
            chosen &= ~self._truths("is_metal") & (self._truths("is_direct") == criteria.direct)
        return chosen

    def value(self, name: str, row: int) -> Any:
        """A cell as what it stands for, None where it is missing: number, truth, text, or words of ``warnings``."""
        cell = self.columns[name][row] if name in self.columns else ""
        return self._meant(name, [cell])[0]

    def values(self, name: str) -> list[Any]:
        """All cells of a column as what they stand for; see `value`."""
        return self._meant(name, self.columns[name])

    def _meant(self, name: str, cells: Sequence[str]) -> list[Any]:
        kind = KINDS.get(name, "cell")
        try:
            return [int(cell) for cell in cells] if name in WHOLE else [_meant(cell, kind) for cell in cells]
        except ValueError as error:
            raise _damaged(self.folder, f"column {name}: {error}") from error

    def _numbers(self, name: str) -> NDArray[np.float64]:
        try:
            return np.array(self.columns[name], dtype=np.str_).astype(np.float64)
        except ValueError as error:
            raise _damaged(self.folder, f"column {name}: {error}") from error

    def _truths(self, name: str) -> NDArray[np.bool_]:
        return np.array([cell == "true" for cell in self.columns[name]], np.bool_)


def read_summary(folder: Path) -> SummaryTable:
    """Read ``summary.csv`` of an output folder: the predictions that count, see `bandrt.results.counted`.

    Raises:
        OutputError: as `read_results`.
    """
    return read_results(folder)[0]


def read_results(folder: Path) -> tuple[SummaryTable, list[Failure]]:
    """Read ``summary.csv`` and ``errors.jsonl`` of an output folder; a line that a killed run left unfinished is passed over.

    Raises:
        OutputError: ``output-not-found`` or ``run-damaged``; ``summary-damaged`` where there is none, it is not one, or lines are
            missing; ``errors-damaged`` or ``errors-unreadable``; where a run has not finished, ``part-damaged``,
            ``part-unreadable`` or ``part-version``.
    """
    existing_parts(folder)
    path, record = folder / SUMMARY, read_run(folder)
    try:
        finished = b"".join(path.read_bytes().rpartition(b"\n")[:2])
        header, *cells = filter(None, csv_rows(io.StringIO(finished.decode("utf-8"), newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(folder, str(error)) from error
    if missing := [name for name in COLUMNS if name not in header]:
        raise _damaged(folder, f"it has no column {missing[0]}")
    if any(len(row) != len(header) for row in cells):
        raise _damaged(folder, f"its rows are not all of {len(header)} columns")
    place = header.index("id")
    rows, failures = counted_lines(folder, record, [text_of(row[place]) for row in cells])
    by_column = list(zip(*(cells[row] for row in rows), strict=True)) or [()] * len(header)
    return SummaryTable(folder, dict(zip(map(text_of, header), by_column, strict=True)), len(failures)), failures


def _damaged(folder: Path, why: str) -> OutputError:
    again = "run again with --resume, which makes it from the parts"
    return OutputError("summary-damaged", f"{folder / SUMMARY}: cannot be read ({why}); {again}")


def _meant(cell: str, kind: ColumnKind) -> Value | tuple[str, ...]:
    match kind:
        case "words":
            return words_of(cell)
        case "cell":
            return text_of(cell) or None
        case _ if not cell:
            return None
        case "number":
            return float(cell)
        case "truth":
            return cell == "true"
        case _:
            return text_of(cell)
