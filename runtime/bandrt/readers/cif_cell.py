"""The unit cell of a CIF."""

from __future__ import annotations

import math

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.limits import MAX_VECTOR, WRONG
from bandrt.readers.cif_tags import cif_number
from bandrt.readers.cif_text import has_atoms

VOLUME_TOLERANCE = 0.1
"""How far, relative to the volume that the file states, that of its cell may be from it."""
_COSINES = {90.0: 0.0, 120.0: -0.5, 60.0: 0.5}  # exact, so that right angles stay right


def cell_of(block: cif.Block, name: str) -> tuple[list[float], list[float]]:
    """Cell lengths in Å and angles in degrees.

    Raises:
        InputError: ``not-a-crystal``, ``cif-incomplete`` or ``bad-lattice``.
    """
    values = []
    for item in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        value = block.find_value(f"_cell_{item}") or block.find_value(f"_cell.{item}")
        if value is None:
            if not has_atoms(block):
                raise InputError("not-a-crystal", f"{name}: no unit cell and no atom sites in it")
            raise InputError("cif-incomplete", f"{name}: _cell_{item} is missing")
        values.append(cif_number(value))
        if not math.isfinite(values[-1]):
            raise InputError("bad-lattice", f"{name}: _cell_{item} is {value!r}, a number is needed")
    return values[:3], values[3:]


def lattice_of(lengths: list[float], angles: list[float], name: str) -> NDArray[np.float64]:
    """Lattice vectors in rows, Å: a along x, b in the xy plane.

    Raises:
        InputError: ``bad-lattice``.
    """
    a, b, c = lengths
    cos_alpha, cos_beta, cos_gamma = (_COSINES.get(angle, math.cos(math.radians(angle))) for angle in angles)
    sin_gamma = math.sqrt(max(0.0, 1.0 - cos_gamma**2))
    squared = 1.0 - cos_alpha**2 - cos_beta**2 - cos_gamma**2 + 2.0 * cos_alpha * cos_beta * cos_gamma
    if min(lengths) <= 0.0 or min(angles) <= 0.0 or max(angles) >= 180.0 or squared <= 0.0 or sin_gamma == 0.0:
        raise InputError("bad-lattice", f"{name}: no cell has lengths {lengths} Å with angles {angles}°")
    if max(lengths) > MAX_VECTOR:
        raise InputError("lattice-too-large", f"{name}: a cell of {lengths} Å, at most {MAX_VECTOR:g} Å is taken; {WRONG}")
    x, y = cos_beta, (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    return np.array([[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [c * x, c * y, c * math.sqrt(squared) / sin_gamma]])


def check_volume(lattice: NDArray[np.float64], written: str, name: str) -> None:
    """Compare the volume of the cell with the one that the file states, which says nothing if it is no number.

    Raises:
        InputError: ``bad-lattice``.
    """
    stated, volume = cif_number(written), float(lattice[0, 0] * lattice[1, 1] * lattice[2, 2])
    if stated > 0.0 and not abs(volume - stated) <= VOLUME_TOLERANCE * stated:
        raise InputError(
            "bad-lattice",
            f"{name}: the cell has {volume:.4g} Å^3, the file states {stated:.4g} Å^3; mend what is wrong, or remove _cell_volume",
        )
