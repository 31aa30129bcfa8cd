"""Meshes over the whole Brillouin zone, as fine as densities of states need them: which point is kept for each of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import checked_items, checked_number, checked_whole, not_allowed
from bandrt.kpaths.mesh import TIME_REVERSAL, reduced, symmetric_sizes
from bandrt.symmetry.standard_cell import StandardCell

DENSITY = 1000.0
"""k-points per 1/Å³ of reciprocal space: the Materials Project's for densities of states. MgO has a mesh of 24 x 24 x 24."""
MAX_POINTS = 2_000_000
"""Of a mesh, before symmetry."""
MAX_DENSITY = 1e7


class ZoneMesh(NamedTuple):
    """A mesh over the Brillouin zone.

    Attributes:
        sizes: points along each reciprocal vector.
        frac_kpoints: (P, 3) float64, fractional: the points that are kept, Γ first.
        weights: (P,) shares of the zone, which add up to one.
        like: (N,) which of them each of all points is like, in C order of the sizes.
    """

    sizes: tuple[int, int, int]
    frac_kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    like: NDArray[np.int64]


def mesh_sizes(cell: StandardCell, density: float = DENSITY) -> tuple[int, int, int]:
    """How many points along each reciprocal vector, so that there are at least so many in all, evenly spread.

    Vectors that symmetry takes to each other get the same number, so that the mesh has the symmetry of the crystal.

    Args:
        cell: the crystal.
        density: k-points per 1/Å³ of reciprocal space, 2 pi included.

    Raises:
        ArgumentError: ``bad-argument`` for no density.
    """
    density = checked_number("density", density, above=0.0, at_most=MAX_DENSITY)
    reciprocal = cell.crystal.reciprocal
    lengths = np.linalg.norm(reciprocal, axis=1)
    wanted = density * abs(np.linalg.det(reciprocal))
    per_length = (wanted / np.prod(lengths)) ** (1 / 3)
    sizes = np.maximum(1, np.ceil(lengths * per_length - 1e-6)).astype(int)
    a, b, c = symmetric_sizes(sizes, cell.rotations).tolist()
    return checked_sizes((a, b, c))


def checked_sizes(sizes: Sequence[int]) -> tuple[int, int, int]:
    """Sizes of a mesh as plain numbers.

    Raises:
        ArgumentError: ``bad-argument`` for what is none, or more than `MAX_POINTS`.
    """
    three = checked_items("mesh", sizes, 3, "three whole numbers")
    a, b, c = (checked_whole("each of mesh", size, at_least=1, at_most=MAX_POINTS) for size in three)
    if a * b * c > MAX_POINTS:
        raise not_allowed("mesh", sizes, f"at most {MAX_POINTS} k-points in all")
    return a, b, c


def zone_mesh(sizes: tuple[int, int, int], operations: NDArray[np.int64] = TIME_REVERSAL) -> ZoneMesh:
    """Make a mesh, and keep one of the points that operations take to each other.

    Args:
        sizes: points along each reciprocal vector.
        operations: (n_ops, 3, 3), a group that acts on columns of fractional k-points, such as `StandardCell.rotations`; those that
            do not take the mesh to itself are left out.
    """
    a, b, c = checked_sizes(sizes)
    found = reduced(np.array([a, b, c]), operations)
    frac = found.steps / (a, b, c)
    return ZoneMesh((a, b, c), frac - np.round(frac), found.counts / (a * b * c), found.like)
