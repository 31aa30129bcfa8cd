"""Neighbours: every atom within the radius, in order, whatever else is searched with it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.graph.neighbors import FAR, Neighbors, Reach, neighbors_within

RADIUS = 4.1
"""Å."""
EXACT = 1e-9
"""Å."""


def random_crystal(seed: int) -> Crystal:
    random = np.random.default_rng(seed)
    n_atoms = 1 + seed % 5
    lattice = 3.0 * np.eye(3) + random.uniform(-0.8, 0.8, (3, 3)) * n_atoms ** (1 / 3)
    return Crystal(lattice, random.integers(1, 90, n_atoms).astype(np.int32), random.uniform(-2, 2, (n_atoms, 3)))


def search(crystals: list[Crystal], *, self_images: bool = True) -> Neighbors:
    frac = np.concatenate([crystal.frac_coords for crystal in crystals])
    return neighbors_within(crystals, frac, [Reach(RADIUS, (4, 4, 4))] * len(crystals), self_images=self_images, min_width=3)


def every_distance(crystal: Crystal, centre: int) -> NDArray[np.float64]:
    """Sorted distances up to the radius, by plain enumeration."""
    steps = np.arange(-8, 9)
    images = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    vectors = (crystal.frac_coords[:, None] + images - crystal.frac_coords[centre]) @ crystal.lattice
    distances = np.sort(np.linalg.norm(vectors, axis=-1).ravel())[1:]
    return distances[distances <= RADIUS]


def test_every_neighbour_is_found_nearest_first() -> None:
    crystals = [random_crystal(seed) for seed in range(12)]
    found = search(crystals)
    rows = [(crystal, centre) for crystal in crystals for centre in range(crystal.n_atoms)]
    for row, (crystal, centre) in enumerate(rows):
        expected = every_distance(crystal, centre)
        assert found.counts[row] == len(expected)
        np.testing.assert_allclose(found.distance(found.entry[row, : len(expected)]), expected, atol=EXACT)
        assert (found.squared[found.entry[row, len(expected) :]] == FAR).all()


def test_atom_and_image_say_how_far_a_neighbour_is() -> None:
    crystals = [random_crystal(seed) for seed in range(12)]
    found = search(crystals)
    frac = np.concatenate([crystal.frac_coords for crystal in crystals])
    lattices = [crystal.lattice for crystal in crystals for _ in range(crystal.n_atoms)]
    atoms, images = found.atom_and_image(slice(None), found.entry)
    np.testing.assert_array_equal(found.atom(slice(None), found.entry), atoms)
    for row, lattice in enumerate(lattices):
        filled = slice(int(found.counts[row]))
        delta = frac[found.first_row[row] + atoms[row, filled]] - frac[row]
        vectors = (delta - np.rint(delta) + found.images[images[row, filled]]) @ lattice
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), found.distance(found.entry[row, filled]), atol=EXACT)


@pytest.mark.parametrize("self_images", [True, False])
def test_a_row_does_not_depend_on_the_other_crystals(self_images: bool) -> None:
    crystals = [random_crystal(seed) for seed in range(12)]
    together, first = search(crystals, self_images=self_images), 0
    for crystal in crystals:
        alone = search([crystal], self_images=self_images)
        for row in range(crystal.n_atoms):
            count = int(alone.counts[row])
            assert together.counts[first + row] == count
            one, other = alone.entry[row, :count], together.entry[first + row, :count]
            np.testing.assert_array_equal(alone.distance(one), together.distance(other))
            np.testing.assert_array_equal(alone.candidate[one], together.candidate[other])
        first += crystal.n_atoms


def test_lone_atoms_have_no_neighbours() -> None:
    alone = Crystal(20.0 * np.eye(3), np.array([2, 2], dtype=np.int32), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    found = search([alone, alone])
    assert found.counts.tolist() == [0, 0, 0, 0]
    assert found.entry.shape == (4, 3)
    assert (found.squared[found.entry] == FAR).all()
