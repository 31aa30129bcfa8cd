"""Whether two statements of the symmetry of a crystal can both be true."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from bandrt.readers.cif_symmetry import (
    ROUNDED_TRANSLATION,
    SPECIAL_POSITION_TOLERANCE,
    Operations,
    expand,
    fits_cell,
    operation_keys,
)


def agree(
    one: Operations,
    other: Operations,
    numbers: NDArray[np.int32],
    coords: NDArray[np.float64],
    lattice: NDArray[np.float64],
    *,
    loose: bool,
) -> bool:
    """Whether two statements of the symmetry do not contradict each other.

    Args:
        one: what is exact, such as the operations that are listed.
        other: what stands beside it.
        numbers: (n_sites,) atomic numbers of the sites.
        coords: (n_sites, 3) fractional.
        lattice: (3, 3) rows, Å.
        loose: whether the other names only the group, in whichever setting.
    """
    group, other_group = _group(one), _group(other)
    if group.operations == other_group.operations:
        return True
    if len(group.operations) == len(other_group.operations):
        if group.setting is None or other_group.setting is None:  # an origin or axes of its own
            return group.classes == other_group.classes
        if loose and group.setting.number == other_group.setting.number:
            return True
    if not fits_cell(other, lattice):  # right for a primitive cell beside the name of the centred group
        centred = len(other_group.operations) > len(other_group.classes)
        return centred and len(group.operations) == len(group.classes) and group.classes == other_group.classes
    return same_atoms(expand(one, numbers, coords, lattice), expand(other, numbers, coords, lattice), lattice)


class _Group(NamedTuple):
    """What is compared of two space groups.

    Attributes:
        operations: a key of each.
        setting: the one that has exactly these operations; None for an origin or axes of their own.
        classes: determinant and trace of every operation of the point group, sorted: its kind, whatever its axes.
    """

    operations: frozenset[int]
    setting: gemmi.SpaceGroup | None
    classes: list[tuple[int, int]]


def setting_of(operations: Operations) -> gemmi.SpaceGroup | None:
    """The setting of a space group that has exactly these operations; None for an origin or axes of their own."""
    return _group(operations).setting


def _group(operations: Operations) -> _Group:
    return _group_of_bytes(operations.rotations.tobytes(), operations.translations.tobytes())


@lru_cache(maxsize=1024)
def _group_of_bytes(rotations: bytes, translations: bytes) -> _Group:
    """The same for operations that are not hashed as arrays."""
    turns, shifts = np.frombuffer(rotations).reshape(-1, 3, 3), np.frombuffer(translations).reshape(-1, 3)
    keys = frozenset(operation_keys(turns.reshape(-1, 9), shifts).tolist())
    point_group = np.unique(turns, axis=0)
    determinants = np.rint(np.linalg.det(point_group)).astype(int).tolist()
    traces = np.rint(np.trace(point_group, axis1=1, axis2=2)).astype(int).tolist()
    return _Group(keys, _setting(turns, shifts), sorted(zip(determinants, traces, strict=True)))


def _setting(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> gemmi.SpaceGroup | None:
    shifts = translations * gemmi.Op.DEN
    if np.abs(shifts - np.rint(shifts)).max() > ROUNDED_TRANSLATION * gemmi.Op.DEN:
        return None
    group = []
    for rotation, shift in zip(rotations, shifts, strict=True):
        operation = gemmi.Op()
        operation.rot = (rotation * gemmi.Op.DEN).astype(int).tolist()
        operation.tran = (np.rint(shift).astype(int) % gemmi.Op.DEN).tolist()
        group.append(operation)
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(group))


def same_atoms(
    some: tuple[NDArray[np.int32], NDArray[np.float64]],
    others: tuple[NDArray[np.int32], NDArray[np.float64]],
    lattice: NDArray[np.float64],
) -> bool:
    """Whether two lists are of the same atoms, to within `SPECIAL_POSITION_TOLERANCE`."""
    (numbers, coords), (other_numbers, other_coords) = some, others
    if len(numbers) != len(other_numbers):
        return False
    for number, position in zip(other_numbers, other_coords, strict=True):
        offset = coords[numbers == number] - position
        offset -= np.rint(offset)
        if not len(offset) or np.linalg.norm(offset @ lattice, axis=1).min() > SPECIAL_POSITION_TOLERANCE:
            return False
    return True
