"""The tables of the page: what each column is called and holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.quoting import printable
from bandrt.results.prediction import Failure
from bandrt.results.summary import KINDS, UNCERTAINTY_COLUMN
from bandrt.screening.shortlist import DECIMALS, P_MATCH
from bandrt.screening.table import SummaryTable

Shown = Literal["text", "number", "truth", "words"]
_TITLES: Mapping[str, str] = {
    "path": "file",
    "space_group": "space group",
    "n_atoms": "atoms",
    "band_gap_ev": "gap (eV)",
    "direct_gap_ev": "direct gap (eV)",
    "is_metal": "metal",
    "is_direct": "direct",
    "vbm_ev": "VBM (eV)",
    "cbm_ev": "CBM (eV)",
    UNCERTAINTY_COLUMN: "expected error (eV)",
    P_MATCH: "p_match",
}
"""What columns are called, where not by their name."""
_FIRST = (
    "id", P_MATCH, "formula", "band_gap_ev", "direct_gap_ev", "is_metal", "is_direct", UNCERTAINTY_COLUMN, "warnings",
    "space_group", "n_atoms", "vbm_ev", "cbm_ev",
)  # fmt: skip
"""Our columns, in the order of the page; those that were kept follow, then the path."""
_OF_INSULATORS = ("band_gap_ev", "direct_gap_ev", "is_direct")
"""What a metal has not."""
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
"""What a browser takes for a number, too."""


class Column(NamedTuple):
    """One column: its values are what JSON can say, None where there is none."""

    name: str
    """As in ``summary.csv``."""
    title: str
    kind: Shown
    decimals: int | None
    """As numbers are shown; None: as they are."""
    sorts_as_number: bool
    """Whether its texts are all numbers."""
    values: Sequence[Any]


def table_columns(table: SummaryTable, p_match: NDArray[np.float64] | None = None) -> list[Column]:
    """Every column of ``summary.csv``.

    Args:
        table: the summary.
        p_match: (n,) the probability that each crystal is what is wanted, nan where there is none; None: nothing is wanted.

    Raises:
        OutputError: ``summary-damaged``.
    """
    is_metal = table.values("is_metal")
    order = [name for name in (*_FIRST, *table.kept, "path") if name in table.columns or (name == P_MATCH and p_match is not None)]
    columns = []
    for name in order:
        values = p_match.round(DECIMALS).tolist() if name == P_MATCH and p_match is not None else table.values(name)
        if name in _OF_INSULATORS:
            values = [None if metal else value for value, metal in zip(values, is_metal, strict=True)]
        columns.append(_column(name, values))
    return columns


def failure_columns(failures: Sequence[Failure]) -> list[Column]:
    """Every failure, with what was kept of its input."""
    own = {name: [getattr(one, name) for one in failures] for name in ("id", "code", "stage", "message", "path")}
    kept = {
        name if name not in own else f"{name} (kept)": [one.kept.get(name) or None for one in failures]
        for name in dict.fromkeys(name for one in failures for name in one.kept)
    }
    path = {"path": own.pop("path")}
    return [_column(name, values, kind="text") for name, values in {**own, **kept, **path}.items()]


def _column(name: str, values: Sequence[Any], *, kind: Shown | None = None) -> Column:
    if kind is None:
        meant = "number" if name == P_MATCH else KINDS.get(name, "cell")
        kind = "text" if meant == "cell" else meant
    if kind == "number":
        values = [None if value is None or not math.isfinite(value) else value for value in values]
    elif kind == "text":
        values = [None if value is None else printable(str(value)) for value in values]
    decimals = 3 if kind == "number" and any(isinstance(value, float) for value in values) else None
    numeric = kind == "number" or (kind == "text" and name not in KINDS and _are_numbers(values))
    return Column(printable(name), _TITLES.get(name, printable(name)), kind, decimals, numeric, values)


def _are_numbers(texts: Sequence[str | None]) -> bool:
    """Whether texts, such as those of a column that was kept, are numbers all, missing ones aside."""
    there = [text for text in texts if text is not None]
    return bool(there) and all(map(_NUMBER.fullmatch, there))
