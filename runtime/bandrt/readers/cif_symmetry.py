"""Symmetry operations of a CIF and what they make of its sites."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import metric_difference

SPECIAL_POSITION_TOLERANCE = 0.1
"""Å: images of one site nearer than this are one atom on a special position written with few digits (0.33 for 1/3)."""
SAME_SITE_TOLERANCE = 0.01
"""Å: two rows of one species nearer than this are one atom that the file lists although symmetry makes it."""
METRIC_TOLERANCE = 0.01
"""How far, as `metric_difference` counts, an operation may change the cell (cells are written with few digits)."""
ROUNDED_TRANSLATION = 4e-4
"""Fraction of a cell: a translation nearer than this to a multiple of 1/24 or a coarser fraction is that fraction."""
_TERM = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)?(?:/(\d+))?\*?([xyz])?", re.IGNORECASE)
_TIME_REVERSAL = re.compile(r",\s*[+-]?1?\s*$")
_KEY_STEP = 1e-6
_KEY_SHIFT = np.array([0.31830988618, 0.36787944117, 0.57721566490])
"""Irrational, so that no coordinate a person writes lies on the border between two keys."""


class Operations(NamedTuple):
    """Space-group operations x' = R x + t on fractional coordinates in columns.

    Attributes:
        rotations: (n_ops, 3, 3) float64, of whole numbers.
        translations: (n_ops, 3) float64.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]


IDENTITY = Operations(np.eye(3)[None], np.zeros((1, 3)))


@lru_cache(maxsize=4096)
def _parse_row(expression: str) -> tuple[list[float], float]:
    """One coordinate of an operation, e.g. ``-y+1/2``: its row of the rotation and its translation."""
    row, shift, end = [0.0, 0.0, 0.0], Fraction(0), 0
    while end < len(expression):
        match = _TERM.match(expression, end)
        if match is None or match.end() == end or (match[2] is None and match[4] is None) or (end and not match[1]):
            raise ValueError(expression)
        value = Fraction(match[2] or 1) / Fraction(match[3] or 1) * (-1 if match[1] == "-" else 1)
        if match[4]:
            row["xyz".index(match[4].lower())] += float(value)
        else:
            simple = value.limit_denominator(24)
            shift += simple if abs(value - simple) < ROUNDED_TRANSLATION else value  # 0.3333 stands for 1/3, 6/805 for itself
        end = match.end()
    return row, float(shift)


@lru_cache(maxsize=1024)
def parse_operations(triplets: tuple[str, ...]) -> Operations:
    """Operations from CIF triplets, ``-y+1/2, x, z``.

    Raises:
        ValueError: a triplet cannot be read, or together they are not a group (a list that was cut short).
    """
    operations = _parse_all(triplets)
    if not is_group(operations):
        raise ValueError(f"the {len(triplets)} symmetry operations are not a group; the list may be cut short")
    return operations


def _parse_all(triplets: tuple[str, ...]) -> Operations:
    """Operations that need not be a group."""
    rotations, translations = [], []
    for triplet in triplets:
        try:
            parts = [_parse_row(part) for part in re.sub(r"[\s'\";]", "", triplet).split(",")]
        except (ValueError, ZeroDivisionError, OverflowError):
            parts = []
        if len(parts) != 3:
            raise ValueError(f"symmetry operation {triplet!r} cannot be read")
        rotations.append([row for row, _ in parts])
        translations.append([shift for _, shift in parts])
        if not _turns_a_lattice(rotations[-1]):
            raise ValueError(f"symmetry operation {triplet!r} leaves no lattice as it is")
    return Operations(np.array(rotations), np.array(translations))


def _turns_a_lattice(rows: list[list[float]]) -> bool:
    """Whether a matrix is of whole numbers and keeps volumes; ``x,x,z`` and ``x/2,y,z`` do not."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    volume = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return abs(volume) == 1.0 and all(value.is_integer() for row in rows for value in row)


def is_group(operations: Operations) -> bool:
    """Whether every product of two operations is, up to a lattice translation, one of them."""
    rotations, translations = operations
    if len(rotations) == 1:
        return bool((rotations[0] == np.eye(3)).all() and not (translations[0] % 1.0).any())
    flat = rotations.reshape(-1, 3)  # (3 n_ops, 3)
    products = (flat @ rotations.transpose(1, 0, 2).reshape(3, -1)).reshape(-1, 3, len(rotations), 3)  # a, i, b, k
    shifts = (flat @ translations.T).reshape(-1, 3, len(rotations)).transpose(0, 2, 1) + translations[:, None]  # a, b, i

    known = np.sort(operation_keys(rotations.reshape(-1, 9), translations))
    keys = operation_keys(products.transpose(0, 2, 1, 3).reshape(-1, 9), shifts.reshape(-1, 3))
    return bool((known[np.searchsorted(known, keys).clip(max=len(known) - 1)] == keys).all())


def operation_keys(matrices: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.int64]:
    """One whole number for each operation, the same for translations that differ by a lattice vector; (n,)."""
    wrapped = np.floor((shifts + _KEY_SHIFT) % 1.0 * 1e4).astype(np.int64)
    signs = (matrices + 1.0).astype(np.int64) @ 3 ** np.arange(9)
    return np.asarray(((signs * 10**4 + wrapped[:, 0]) * 10**4 + wrapped[:, 1]) * 10**4 + wrapped[:, 2])


def magnetic_operations(triplets: tuple[str, ...], centrings: tuple[str, ...]) -> Operations:
    """Operations of a magnetic space group on the atoms, ``-y, x, z+1/2, -1``: with time reversal left out.

    Raises:
        ValueError: one cannot be read, or together they are not a group.
    """
    turns, shifts = (
        _parse_all(tuple(_TIME_REVERSAL.sub("", triplet) for triplet in given)) for given in (triplets, centrings or ("x,y,z",))
    )
    rotations = np.concatenate([turns.rotations] * len(shifts.rotations))
    translations = np.concatenate([turns.translations + shift for shift in shifts.translations])
    _, first = np.unique(operation_keys(rotations.reshape(-1, 9), translations), return_index=True)
    operations = Operations(rotations[np.sort(first)], translations[np.sort(first)] % 1.0)
    if (shifts.rotations != np.eye(3)).any() or not is_group(operations):
        raise ValueError(f"the {len(triplets)} magnetic symmetry operations are not a group; the list may be cut short")
    return operations


def fits_cell(operations: Operations, lattice: NDArray[np.float64]) -> bool:
    """Whether the operations leave the metric of the cell as it is."""
    metric = lattice @ lattice.T
    turned = np.einsum("aji,jk,akl->ail", operations.rotations, metric, operations.rotations)
    return metric_difference(metric, turned) < METRIC_TOLERANCE


def expand(
    operations: Operations, numbers: NDArray[np.int32], coords: NDArray[np.float64], lattice: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """All atoms of the cell from the sites a file lists.

    A site within `SPECIAL_POSITION_TOLERANCE` of a special position is first moved onto it: to the mean of the images
    that coincide there.

    Args:
        operations: the space group.
        numbers: (n_sites,) atomic numbers.
        coords: (n_sites, 3) fractional.
        lattice: (3, 3) rows, Å.

    Returns:
        Atomic numbers (n_atoms,) and fractional coordinates (n_atoms, 3), the images of a site together.
    """
    images = _images(operations, coords)
    offset = images - coords[:, None]
    offset -= np.rint(offset)
    fixed = np.linalg.norm(offset @ lattice, axis=2) < SPECIAL_POSITION_TOLERANCE  # (n_sites, n_ops): site symmetry
    centred = coords + (offset * fixed[..., None]).sum(axis=1) / fixed.sum(axis=1)[:, None]
    images = _images(operations, centred)
    keys = np.floor((images + _KEY_SHIFT) % 1.0 / _KEY_STEP).astype(np.int64)
    flat_keys = (keys[..., 0] * 10**6 + keys[..., 1]) * 10**6 + keys[..., 2]  # (n_sites, n_ops)
    atoms: list[NDArray[np.float64]] = []
    kept: list[int] = []
    for site, orbit_keys in enumerate(flat_keys):
        same = [row for row, other in zip(atoms, kept, strict=True) if numbers[other] == numbers[site]]
        if same and _is_among(centred[site], np.concatenate(same), lattice):
            continue
        first = np.sort(np.unique(orbit_keys, return_index=True)[1])
        atoms.append(images[site, first])
        kept.append(site)
    return np.repeat(numbers[kept], [len(orbit) for orbit in atoms]), np.concatenate(atoms)


def multiplicities(operations: Operations, coords: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many atoms of the cell each site stands for, (n_sites,).

    Args:
        operations: the space group.
        coords: (n_sites, 3) fractional.
        lattice: (3, 3) rows, Å.
    """
    offset = _images(operations, coords) - coords[:, None]
    offset -= np.rint(offset)
    orders = (np.linalg.norm(offset @ lattice, axis=2) < SPECIAL_POSITION_TOLERANCE).sum(axis=1)  # of the site symmetry
    return np.asarray(np.rint(len(operations.rotations) / np.maximum(orders, 1)).astype(np.int64))


def _images(operations: Operations, coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every operation on every position, (n_sites, n_ops, 3)."""
    turned = coords @ operations.rotations.reshape(-1, 3).T  # (n_sites, n_ops * 3)
    return np.asarray(turned.reshape(len(coords), -1, 3) + operations.translations)


def _is_among(position: NDArray[np.float64], others: NDArray[np.float64], lattice: NDArray[np.float64]) -> bool:
    """Whether a site lies on one of the atoms, up to lattice translations."""
    offset = others - position
    offset -= np.rint(offset)
    return bool(np.linalg.norm(offset @ lattice, axis=1).min() < SAME_SITE_TOLERANCE)
