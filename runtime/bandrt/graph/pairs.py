"""Pairs: all atoms within reach of each atom, of one crystal, there and back.

How far two atoms reach is counted in the sum of their covalent radii. The search is that of `neighbors`; each pair is then measured
by products that rounding changes alike in both directions, so that a pair at the very edge is there and back, or not at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal, cofactors
from bandrt.errors import InputError
from bandrt.graph.neighbors import Reach, image_grid, pairs_within
from bandrt.graph.radii import MEAN_RADII
from bandrt.recipe import GraphRecipe

ROUNDING = 1e-6
"""Å: how much further is searched, since the search rounds otherwise."""
MAX_PARTNERS = 4096
"""Of an atom: beyond any crystal, of which the densest have 500 within 8 Å."""
MAX_SLOTS = 1 << 21
"""Of a crystal, those that are empty among them."""


class Pairs(NamedTuple):
    """Pairs of one crystal, by centre, and nearest first.

    Attributes:
        counts: (n_atoms,) pairs of each atom.
        centre: (n_pairs,) the one atom.
        neighbor: (n_pairs,) the other; an atom may have images of itself.
        image: (n_pairs, 3) the lattice translation of the other, in cell vectors.
        distance: (n_pairs,) Å.
        direction: (n_pairs, 3) Cartesian unit vectors from the centre to the neighbour.
    """

    counts: NDArray[np.int64]
    centre: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    image: NDArray[np.int32]
    distance: NDArray[np.float64]
    direction: NDArray[np.float64]


def find_pairs(crystal: Crystal, recipe: GraphRecipe) -> Pairs:
    """Find all pairs nearer than `recipe.reach` sums of their radii, and nearer than the cutoff.

    Raises:
        InputError: ``lattice-too-skewed``; ``too-many-pairs`` where an atom has more than `MAX_PARTNERS`, or the crystal more than
            `MAX_SLOTS` in as many slots for each atom as one needs.
    """
    n, lattice, frac = crystal.n_atoms, crystal.lattice, crystal.frac_coords
    radius = MEAN_RADII[crystal.atomic_numbers]
    furthest = min(recipe.reach * 2.0 * float(radius.max()), recipe.cutoff)
    reach = Reach.of(furthest + ROUNDING, cofactors(lattice), n)
    grid, quadratic = image_grid(*reach.images)
    found: list[tuple[NDArray[np.int64], ...]] = []
    counts = np.zeros(n, np.int64)
    for flat, _ in pairs_within(reach.radius, lattice @ lattice.T, frac.T.copy(), quadratic, self_images=True):
        centre, partner = np.divmod(flat, n * len(grid))
        neighbor, row = np.divmod(partner, len(grid))
        apart = frac[neighbor] - frac[centre]
        image = grid[row] - np.rint(apart).astype(np.int32)
        x, y, z = (apart + image).T
        vector = x[:, None] * lattice[0] + y[:, None] * lattice[1] + z[:, None] * lattice[2]
        distance = np.sqrt(vector[:, 0] ** 2 + vector[:, 1] ** 2 + vector[:, 2] ** 2)
        near = distance < np.minimum(recipe.reach * (radius[centre] + radius[neighbor]), recipe.cutoff)
        counts += np.bincount(centre[near], minlength=n)
        if (most := int(counts.max())) > MAX_PARTNERS or most * n > MAX_SLOTS:
            allowed = min(MAX_PARTNERS, MAX_SLOTS // n)
            raise InputError(
                "too-many-pairs",
                f"{most} atoms or more are within reach of one, at most {allowed} in a cell of {n} atoms are taken; reduce it",
                stage="graph",
            )
        found.append((centre[near], neighbor[near], image[near], distance[near], vector[near]))
    centre, neighbor, image, distance, vector = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((distance, centre))
    return Pairs(
        counts,
        centre[order],
        neighbor[order],
        image[order],
        distance[order],
        vector[order] / distance[order, None],
    )
