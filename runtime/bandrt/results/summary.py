"""The summary of a prediction: what a table of many crystals says of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from bandrt.results.prediction import Prediction
from bandrt.results.query import ColumnKind

COLUMNS = (
    "id", "path", "formula", "space_group", "n_atoms", "band_gap_ev", "direct_gap_ev", "is_metal", "is_direct", "vbm_ev", "cbm_ev",
    "warnings",
)  # fmt: skip
UNCERTAINTY_COLUMN = "uncertainty_ev"
"""Last column of the summary of an engine that estimates it; columns that are kept of the inputs stand after it."""
RESERVED = frozenset((
    *COLUMNS, UNCERTAINTY_COLUMN, "space_group_symbol", "scheme", "energies", "frac_kpoints", "kpoint_distance", "labels",
    "label_indices", "lattice", "atomic_numbers", "frac_coords", "p_match", "out",
    "cif_file",
))  # fmt: skip
"""Names of columns that tables of results have, so that none of an input may be kept under them."""

_FIRST = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a text gets an apostrophe before: what spreadsheets compute, and an apostrophe, so that it can be taken off again."""

KINDS: Mapping[str, ColumnKind] = {
    "id": "text",
    "path": "text",
    "formula": "text",
    "space_group": "number",
    "n_atoms": "number",
    "band_gap_ev": "number",
    "direct_gap_ev": "number",
    "is_metal": "truth",
    "is_direct": "truth",
    "vbm_ev": "number",
    "cbm_ev": "number",
    "warnings": "words",
    UNCERTAINTY_COLUMN: "number",
}
"""What a query may ask of each column."""


class Summary(TypedDict):
    """Values by column, in their order; energies in eV, None where there is none: band edges of metals, an error not estimated."""

    id: str
    """Name of the input, unique within a run."""
    path: str
    """Where it was read; empty for an object in memory."""
    formula: str
    """Reduced formula."""
    space_group: int
    """1 to 230."""
    n_atoms: int
    """Atoms in the standard primitive cell."""
    band_gap_ev: float
    """Fundamental gap, eV; 0 for a metal."""
    direct_gap_ev: float
    """Smallest distance between the halves at one k-point of the path, eV; 0 for a metal."""
    is_metal: bool
    """Whether the halves overlap or a band crosses zero by more than the tolerance."""
    is_direct: bool
    """Whether both band edges lie at one k-point, to within 0.1 meV between direct gap and gap; false for a metal."""
    vbm_ev: float | None
    """Valence-band maximum, eV."""
    cbm_ev: float | None
    """Conduction-band minimum, eV."""
    warnings: tuple[str, ...]
    """Codes of what the model has not seen or does not describe, e.g. ``magnetic:Fe``."""
    uncertainty_ev: float | None
    """Mean absolute error to expect of the energies, eV, nan where warnings leave none; only from engines that estimate it."""


def summary(prediction: Prediction) -> Summary:
    """Sum up one crystal."""
    bands = prediction.band_structure
    return {
        "id": prediction.id,
        "path": prediction.path,
        "formula": bands.crystal.formula,
        "space_group": bands.space_group,
        "n_atoms": bands.crystal.n_atoms,
        "band_gap_ev": bands.band_gap,
        "direct_gap_ev": bands.direct_gap,
        "is_metal": bands.is_metal,
        "is_direct": bands.is_direct,
        "vbm_ev": None if bands.vbm is None else bands.vbm.energy,
        "cbm_ev": None if bands.cbm is None else bands.cbm.energy,
        "warnings": prediction.warnings,
        "uncertainty_ev": prediction.uncertainty_ev,
    }


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by column as JSON can say them: null for what is no finite number, a list for several texts."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def summary_header(keep: Sequence[str] = (), *, uncertainty: bool) -> list[str]:
    """The first line of ``summary.csv``.

    Args:
        keep: columns of the inputs that stand after ours.
        uncertainty: whether the engine estimates it.
    """
    return [*COLUMNS, *((UNCERTAINTY_COLUMN,) if uncertainty else ()), *map(cell_of, keep)]


def kept_cells(kept: Mapping[str, str], keep: Sequence[str]) -> list[str]:
    """The cells of columns that are kept; what an input lacks is empty."""
    return [cell_of(kept.get(name, "")) for name in keep]


def summary_row(prediction: Prediction, keep: Sequence[str] = ()) -> list[str]:
    """One line of ``summary.csv``; band edges of metals are empty, and the uncertainty is there if the engine gave it.

    Args:
        prediction: the crystal.
        keep: columns of the inputs that stand after ours.
    """
    values = summary(prediction)
    columns = COLUMNS if prediction.uncertainty_ev is None else (*COLUMNS, UNCERTAINTY_COLUMN)
    own = [written(values[column]) for column in columns]  # type: ignore[literal-required]
    return [*own, *kept_cells(prediction.kept, keep)]


def written(value: str | int | float | tuple[str, ...] | None) -> str:
    """A value as a cell of a table."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6f}"
        case tuple():
            return ";".join(value)
        case str():
            return cell_of(value)
        case _:
            return str(value)


def words_of(cell: str) -> tuple[str, ...]:
    """The words of a cell that `written` has made of them."""
    return tuple(cell.split(";")) if cell else ()


def cell_of(text: str) -> str:
    """A text as a cell of a table: spreadsheets compute what begins with one of ``= + - @``, so an apostrophe stands before it."""
    return f"'{text}" if text.startswith(_FIRST) else text


def text_of(cell: str) -> str:
    """The text that `cell_of` has written."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FIRST) else cell
