"""CIFs for tests, put together from a cell, what is said of its symmetry, and sites."""

from __future__ import annotations

from collections.abc import Sequence

COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
WITH_OCCUPANCY = (*COLUMNS, "occupancy")
WITHOUT_SYMBOL = ("label", "fract_x", "fract_y", "fract_z")

Number = float | str
"""As a number, or as it is written, such as ``3.19(1)``."""


def cif_cell(a: Number, b: Number | None = None, c: Number | None = None, *, angles: Sequence[Number] = (90, 90, 90)) -> str:
    """The six lines of a cell, Å and degrees; `b` and `c` are `a` unless they are given."""
    lengths = zip("abc", (a, a if b is None else b, a if c is None else c), strict=True)
    turned = zip(("alpha", "beta", "gamma"), angles, strict=True)
    named = [*((f"length_{axis}", length) for axis, length in lengths), *((f"angle_{axis}", angle) for axis, angle in turned)]
    return "".join(f"_cell_{name} {value}\n" for name, value in named)


def cif_sites(*rows: str, columns: Sequence[str] = COLUMNS) -> str:
    """The loop of sites, a line each."""
    return "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns) + "".join(f"{row}\n" for row in rows)
