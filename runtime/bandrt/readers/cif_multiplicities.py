"""How many atoms a CIF says that each of its sites stands for, beside what its symmetry makes of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.readers.cif_sites import Sites, place_of
from bandrt.readers.cif_symmetry import Operations, multiplicities
from bandrt.readers.cif_tags import whole_of

_LARGEST = 999
"""No site stands for more atoms, nor has a symmetry of higher order, even in a cell of several primitive ones."""


def check_multiplicities(sites: Sites, operations: Operations, lattice: NDArray[np.float64], name: str) -> None:
    """Compare what each site says with the symmetry.

    The dictionary means the atoms in the cell; some programs write the order of the site symmetry instead, or the atoms in the
    primitive cell, or in the hexagonal one of a rhombohedral group. Where a file lists all atoms, each may carry the
    multiplicity of the site that it is of. A column of ones says nothing.

    Raises:
        InputError: ``contradicting-symmetry``.
    """
    if not sites.multiplicities or set(sites.multiplicities) <= {"1", "?", "."}:
        return
    said = [whole_of(token) for token in sites.multiplicities]
    known = [site for site, count in enumerate(said) if 1 <= count <= _LARGEST]
    if not known:
        return
    stated = np.array([said[site] for site in known])
    if not (stated > 1).any() or _lists_all(stated, sites.atomic_numbers[known]):
        return
    found = multiplicities(operations, sites.frac_coords[known], lattice)
    orders = len(operations.rotations) // np.maximum(found, 1)
    centring = int((operations.rotations == np.eye(3)).all(axis=(1, 2)).sum())
    of_hexagonal_cell = 3 if centring == 1 and len(operations.rotations) % 3 == 0 else 1
    if any((stated == meant).all() for meant in (found, orders, found / centring, found * of_hexagonal_cell)):
        return
    wrong = int(np.flatnonzero(stated != found)[0])
    raise InputError(
        "contradicting-symmetry",
        f"{name}: {place_of(sites.labels, known[wrong])} says that it stands for {stated[wrong]} atoms, the symmetry makes"
        f" {found[wrong]} of it; remove what is wrong",
    )


def _lists_all(stated: NDArray[np.int64], numbers: NDArray[np.int32]) -> bool:
    """Whether the atoms of each element come in as many rows as they say, or a multiple."""
    rows = Counter(zip(numbers.tolist(), stated.tolist(), strict=True))
    return all(count % multiplicity == 0 for (_, multiplicity), count in rows.items())
