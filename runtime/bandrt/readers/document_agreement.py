"""What a document of JSON says twice, of its cell and of its positions: refused where it is not the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.quoting import quoted
from bandrt.readers.cartesian import fractional

AGREEMENT = 0.01
"""Å: two ways in which a document says the same may differ by so much, as they are rounded."""
ANGLE_AGREEMENT = 0.1
"""Degrees: the same for angles of the cell."""
VOLUME_TOLERANCE = 0.01
"""The same for its volume, relative to it."""
ANGLES = ("alpha", "beta", "gamma")
"""Opposite to which vector they are."""


def check_cell(lattice: NDArray[np.float64], lengths: Sequence[Any], angles: Sequence[Any], name: str) -> None:
    """Refuse lengths and angles of a cell that are not those of its vectors; those that are None say nothing.

    Raises:
        InputError: ``contradicting-document``.
    """
    for axis, vector, length in zip("abc", lattice, lengths, strict=False):
        if length is not None and not abs(float(np.linalg.norm(vector)) - float(length)) <= AGREEMENT:
            raise contradiction(f"{axis} is {quoted(length)}, its vector is {np.linalg.norm(vector):.6g} Å long", name)
    for opposite, (title, stated) in enumerate(zip(ANGLES, angles, strict=False)):
        one, other = (vector / np.linalg.norm(vector) for vector in np.delete(lattice, opposite, axis=0))
        found = math.degrees(math.acos(max(-1.0, min(1.0, float(one @ other)))))
        if stated is not None and not abs(found - float(stated)) <= ANGLE_AGREEMENT:
            raise contradiction(f"{title} is {quoted(stated)}, the vectors are at {found:.6g}°", name)


def check_volume(volume: float, stated: Any, name: str) -> None:
    """Refuse a volume of a cell that is not that of its vectors; None says nothing.

    Raises:
        InputError: ``contradicting-document``.
    """
    if stated is not None and not abs(abs(float(stated)) - volume) <= VOLUME_TOLERANCE * volume:
        raise contradiction(f"volume is {quoted(stated)}, the vectors span {volume:.6g} Å^3", name)


def check_positions(crystal: Crystal, stated: Sequence[Any], name: str) -> None:
    """Refuse Cartesian positions that are not the fractional ones, up to lattice translations.

    Raises:
        InputError: ``contradicting-document``.
    """
    given = [place for place, xyz in enumerate(stated) if xyz is not None]
    if not given:
        return
    offset = fractional(np.array([stated[place] for place in given], dtype=np.float64), crystal.lattice, name=name)
    offset -= crystal.frac_coords[given]
    apart = np.linalg.norm((offset - np.rint(offset)) @ crystal.lattice, axis=1)
    wrong = int(apart.argmax())
    if apart[wrong] > AGREEMENT:
        raise contradiction(f"abc and xyz of site {given[wrong] + 1} are {apart[wrong]:.3g} Å apart", name)


def contradiction(found: str, name: str) -> InputError:
    """The error for what is said twice, and not the same."""
    return InputError("contradicting-document", f"{name}: {found}; mend or remove the one that is wrong")
