"""The formula that a CIF states, beside the atoms that its symmetry makes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.readers.cif_tags import whole_of
from bandrt.readers.formulas import contradiction_of


def check_composition(formula: str, written_units: str, numbers: NDArray[np.int32], name: str) -> None:
    """Compare the atoms with the formula the file states: the only trace of a file cut at the end of a row.

    The formula is of one unit, of which the cell holds Z, or (as pymatgen writes it) of the whole cell.

    Raises:
        InputError: ``composition-mismatch``.
    """
    if found := contradiction_of(formula, Counter(numbers.tolist()), whole_of(written_units)):
        raise InputError("composition-mismatch", f"{name}: {found}")
