"""Even meshes around Γ that stand for the whole Brillouin zone: of points that symmetry takes to each other one is kept.

`mesh` is the one of a recipe, of which it is found how far bands are filled; `bandrt.spectra.mesh` makes finer ones of the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.recipe import MeshRecipe

COARSER = 1.05
"""By which the spacing of a mesh grows until it keeps no more points than its recipe wants."""
TIME_REVERSAL = np.stack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
"""What takes k to -k, of equal energies without spin-orbit coupling."""


class Mesh(NamedTuple):
    """Points of one crystal, none of which symmetry makes of another.

    Attributes:
        frac_kpoints: (n_mesh, 3) float32, fractional in the reciprocal of the lattice; Γ comes first.
        weights: (n_mesh,) float32, which add up to one.
    """

    frac_kpoints: NDArray[np.float32]
    weights: NDArray[np.float32]


class Reduced(NamedTuple):
    """N points of an even mesh, of which P are kept.

    Attributes:
        steps: (P, 3) whole numbers of steps from Γ, 0 and up: the points that are kept, Γ first.
        counts: (P,) of how many points each is one.
        like: (N,) which of them each of all points is like, in C order of the sizes.
    """

    steps: NDArray[np.int64]
    counts: NDArray[np.int64]
    like: NDArray[np.int64]


def mesh(lattice: NDArray[np.float64], rotations: NDArray[np.int64], recipe: MeshRecipe) -> Mesh:
    """Make an even mesh around Γ, with as many points along each reciprocal vector as the recipe's spacing takes.

    Args:
        lattice: (3, 3) rows, Å; the reciprocal one has the factor 2 pi.
        rotations: (n_ops, 3, 3) of the crystal, see `StandardCell.rotations`.
        recipe: how far apart points are, how many there are at most, and what leaves points out.
    """
    sides = np.linalg.norm(2.0 * np.pi * np.linalg.inv(lattice).T, axis=1)
    by_rotations = recipe.symmetry == "point_group"
    operations = rotations if by_rotations else TIME_REVERSAL
    spacing = recipe.spacing
    while True:
        n = np.clip(np.ceil(sides / spacing), 1, recipe.most).astype(np.int64)
        a, b, c = (symmetric_sizes(n, operations) if by_rotations else n).tolist()
        found = _mesh(a, b, c, operations.tobytes())
        if recipe.kept is None or len(found.weights) <= recipe.kept:
            return Mesh(found.frac_kpoints.copy(), found.weights.copy())
        spacing *= COARSER


@lru_cache(maxsize=1024)
def _mesh(a: int, b: int, c: int, operations: bytes) -> Mesh:
    """The mesh of sizes and operations, which many crystals share."""
    found = reduced(np.array([a, b, c]), np.frombuffer(operations, np.int64).reshape(-1, 3, 3))
    return Mesh((found.steps / (a, b, c)).astype(np.float32), (found.counts / (a * b * c)).astype(np.float32))


def reduced(sizes: NDArray[np.int64], operations: NDArray[np.int64]) -> Reduced:
    """Keep one of the points of a mesh that operations take to each other.

    Args:
        sizes: (3,) points along each reciprocal vector.
        operations: (n_ops, 3, 3), a group that acts on columns of fractional k-points, such as `StandardCell.rotations`; those that
            do not take the mesh to itself are left out.
    """
    points = np.stack(np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij"), axis=-1).reshape(-1, 3)
    scaled = operations * sizes[:, None] / sizes[None]  # of whole numbers of steps
    whole = np.rint(scaled).astype(np.int64)
    least = np.arange(len(points))
    for operation in whole[np.abs(scaled - whole).max(axis=(1, 2)) < 1e-9]:
        i, j, k = ((points @ operation.T) % sizes).T
        np.minimum(least, (i * sizes[1] + j) * sizes[2] + k, out=least)
    chosen, index, counts = np.unique(least, return_inverse=True, return_counts=True)
    return Reduced(points[chosen], counts, index.reshape(-1))


def symmetric_sizes(sizes: NDArray[np.int64], rotations: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same sizes (3,), the largest for reciprocal vectors that an operation mixes, so that all take the mesh to itself."""
    mixed = (rotations != 0).any(axis=0)
    mixed |= mixed.T
    for _ in range(2):
        sizes = np.where(mixed | np.eye(3, dtype=np.bool_), sizes, 0).max(axis=1)
    return sizes
