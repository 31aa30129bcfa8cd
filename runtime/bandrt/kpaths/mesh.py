"""The mesh: k-points that stand for the whole Brillouin zone, of which it is found how far bands are filled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.recipe import MeshRecipe


class Mesh(NamedTuple):
    """Points of one crystal, of k and -k one alone.

    Attributes:
        frac_kpoints: (n_mesh, 3) float32, fractional in the reciprocal of the lattice; Γ comes first.
        weights: (n_mesh,) float32, which add up to one.
    """

    frac_kpoints: NDArray[np.float32]
    weights: NDArray[np.float32]


def mesh(lattice: NDArray[np.float64], recipe: MeshRecipe = MeshRecipe()) -> Mesh:  # noqa: B008
    """Make an even mesh around Γ, with as many points along each reciprocal vector as the recipe's spacing takes.

    Args:
        lattice: (3, 3) rows, Å; the reciprocal one has the factor 2 pi.
        recipe: how far apart points are, and the most of them along a vector.
    """
    sides = np.linalg.norm(2.0 * np.pi * np.linalg.inv(lattice).T, axis=1)
    n = np.clip(np.ceil(sides / recipe.spacing), 1, recipe.most).astype(int)
    points = np.stack(np.meshgrid(*(np.arange(size) for size in n), indexing="ij"), axis=-1).reshape(-1, 3)
    own, opposite = (np.ravel_multi_index(tuple((sign * points % n).T), tuple(n)) for sign in (1, -1))
    chosen, counts = np.unique(np.minimum(own, opposite), return_counts=True)
    return Mesh((points[chosen] / n).astype(np.float32), (counts / len(points)).astype(np.float32))
