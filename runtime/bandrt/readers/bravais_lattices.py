"""Lattice vectors by the number ``ibrav``, as Quantum ESPRESSO defines them.

Source: https://www.quantum-espresso.org/Doc/INPUT_PW.html#ibrav
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_B, _C, _COS_BC, _COS_AC, _COS_AB = "b", "c", "cos_bc", "cos_ac", "cos_ab"
_NEEDS: dict[int, tuple[str, ...]] = {
    **dict.fromkeys((1, 2, 3, -3), ()),
    **dict.fromkeys((4, 6, 7), (_C,)),
    **dict.fromkeys((5, -5), (_COS_AB,)),
    **dict.fromkeys((8, 9, -9, 91, 10, 11), (_B, _C)),
    **dict.fromkeys((12, 13), (_B, _C, _COS_AB)),
    **dict.fromkeys((-12, -13), (_B, _C, _COS_AC)),
    14: (_B, _C, _COS_BC, _COS_AC, _COS_AB),
}
"""Which parameters beside a the lattice of each number has."""


class BravaisParameters(NamedTuple):
    """Lengths of the conventional cell, in Å, and cosines of its angles; 0 for what is not given."""

    a: float
    b: float
    c: float
    cos_bc: float
    cos_ac: float
    cos_ab: float


def lattice_vectors(ibrav: int, parameters: BravaisParameters) -> NDArray[np.float64]:
    """Lattice vectors of the primitive cell, (3, 3) rows, Å.

    Raises:
        ValueError: there is no such number, a parameter is missing or impossible, or one is given that means nothing with it.
    """
    if ibrav not in _NEEDS:
        raise ValueError(f"ibrav = {ibrav} is no lattice; 0, {', '.join(map(str, _NEEDS))} are")
    _check(ibrav, parameters)
    a, b, c, cos_bc, cos_ac, cos_ab = parameters
    sin_ac, sin_ab = math.sqrt(1.0 - cos_ac**2), math.sqrt(1.0 - cos_ab**2)
    match ibrav:
        case 1:
            rows = [[a, 0, 0], [0, a, 0], [0, 0, a]]
        case 2:
            rows = [[-a / 2, 0, a / 2], [0, a / 2, a / 2], [-a / 2, a / 2, 0]]
        case 3:
            rows = [[a / 2, a / 2, a / 2], [-a / 2, a / 2, a / 2], [-a / 2, -a / 2, a / 2]]
        case -3:
            rows = [[-a / 2, a / 2, a / 2], [a / 2, -a / 2, a / 2], [a / 2, a / 2, -a / 2]]
        case 4:
            rows = [[a, 0, 0], [-a / 2, a * math.sqrt(3) / 2, 0], [0, 0, c]]
        case 5 | -5:
            rows = _trigonal(a, cos_ab, along_z=ibrav == 5)
        case 6:
            rows = [[a, 0, 0], [0, a, 0], [0, 0, c]]
        case 7:
            rows = [[a / 2, -a / 2, c / 2], [a / 2, a / 2, c / 2], [-a / 2, -a / 2, c / 2]]
        case 8:
            rows = [[a, 0, 0], [0, b, 0], [0, 0, c]]
        case 9:
            rows = [[a / 2, b / 2, 0], [-a / 2, b / 2, 0], [0, 0, c]]
        case -9:
            rows = [[a / 2, -b / 2, 0], [a / 2, b / 2, 0], [0, 0, c]]
        case 91:
            rows = [[a, 0, 0], [0, b / 2, -c / 2], [0, b / 2, c / 2]]
        case 10:
            rows = [[a / 2, 0, c / 2], [a / 2, b / 2, 0], [0, b / 2, c / 2]]
        case 11:
            rows = [[a / 2, b / 2, c / 2], [-a / 2, b / 2, c / 2], [-a / 2, -b / 2, c / 2]]
        case 12:
            rows = [[a, 0, 0], [b * cos_ab, b * sin_ab, 0], [0, 0, c]]
        case -12:
            rows = [[a, 0, 0], [0, b, 0], [c * cos_ac, 0, c * sin_ac]]
        case 13:
            rows = [[a / 2, 0, -c / 2], [b * cos_ab, b * sin_ab, 0], [a / 2, 0, c / 2]]
        case -13:
            rows = [[a / 2, b / 2, 0], [-a / 2, b / 2, 0], [c * cos_ac, 0, c * sin_ac]]
        case _:
            height = 1.0 + 2.0 * cos_bc * cos_ac * cos_ab - cos_bc**2 - cos_ac**2 - cos_ab**2
            if not height > 0.0:
                raise ValueError("no cell has these three angles")
            y = (cos_bc - cos_ac * cos_ab) / sin_ab
            rows = [[a, 0, 0], [b * cos_ab, b * sin_ab, 0], [c * cos_ac, c * y, c * math.sqrt(height) / sin_ab]]
    return np.array(rows, dtype=np.float64)


def _trigonal(a: float, cosine: float, *, along_z: bool) -> list[list[float]]:
    """Rhombohedral vectors with the axis along z, or along (1, 1, 1)."""
    x, y, z = math.sqrt((1.0 - cosine) / 2.0), math.sqrt((1.0 - cosine) / 6.0), math.sqrt((1.0 + 2.0 * cosine) / 3.0)
    if along_z:
        return [[a * x, -a * y, a * z], [0.0, 2.0 * a * y, a * z], [-a * x, -a * y, a * z]]
    u, v = (z - 2.0 * math.sqrt(2.0) * y) * a / math.sqrt(3.0), (z + math.sqrt(2.0) * y) * a / math.sqrt(3.0)
    return [[u, v, v], [v, u, v], [v, v, u]]


def _check(ibrav: int, parameters: BravaisParameters) -> None:
    values, needed = parameters._asdict(), _NEEDS[ibrav]
    for name, value in values.items():
        is_length = len(name) == 1
        if is_length and (name == "a" or name in needed) and not value > 0.0:
            raise ValueError(f"ibrav = {ibrav} needs {name}, celldm({'abc'.index(name) + 1}) or {name.upper()}, above 0")
        if not is_length and not abs(value) < 1.0:
            raise ValueError(f"{name} is {value:g}, which is no cosine of an angle in a cell")
        if name == "a" or name in needed or not value or (is_length and math.isclose(value, parameters.a, rel_tol=1e-9)):
            continue
        if not (ibrav == 4 and name == _COS_AB and math.isclose(value, -0.5, abs_tol=1e-6)):
            raise ValueError(f"{name} = {value:g} means nothing with ibrav = {ibrav}; remove it, or choose another ibrav")
    if ibrav in (5, -5) and not values[_COS_AB] > -0.5:
        raise ValueError(f"{_COS_AB} is {values[_COS_AB]:g}; a rhombohedral cell needs more than -0.5")
