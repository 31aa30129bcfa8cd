"""The mesh: points that stand for the whole zone, none of which is said twice."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.kpaths.mesh import mesh
from bandrt.recipe import MeshRecipe

LATTICES = {
    "face-centred": 5.43 * (np.ones((3, 3)) - np.eye(3)) / 2,
    "triclinic": np.array([[3.1, 0.2, -0.3], [0.7, 3.9, 0.4], [-0.5, 0.9, 4.6]]),
    "flat": np.diag([2.0, 5.0, 30.0]),
}


@pytest.mark.parametrize("recipe", [MeshRecipe(), MeshRecipe(spacing=0.3, most=9), MeshRecipe(most=1)], ids=repr)
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_a_mesh_is_an_even_one_with_each_pair_of_opposites_once(lattice: NDArray[np.float64], recipe: MeshRecipe) -> None:
    sizes = [min(int(np.ceil(2 * np.pi * np.linalg.norm(side) / recipe.spacing)), recipe.most) for side in np.linalg.inv(lattice).T]
    whole = {tuple(round(i / n, 5) % 1.0 for i, n in zip(steps, sizes, strict=True)) for steps in product(*map(range, sizes))}
    found = mesh(lattice, recipe)
    assert (found.frac_kpoints.dtype, found.weights.dtype) == (np.float32, np.float32)
    assert found.frac_kpoints[0].tolist() == [0.0, 0.0, 0.0]
    seen: list[tuple[float, ...]] = []
    for point, weight in zip(found.frac_kpoints, found.weights, strict=True):
        both = {tuple(np.round(sign * point.astype(float), 5) % 1.0) for sign in (1, -1)}
        assert weight == pytest.approx(len(both) / len(whole), rel=1e-6)
        seen += both
    assert len(seen) == len(whole)
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(sorted(seen), sorted(whole), atol=2e-5)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_a_wave_with_the_period_of_the_cell_averages_to_nothing(lattice: NDArray[np.float64]) -> None:
    found = mesh(lattice)
    for axis in range(3):
        wave = (found.weights * np.cos(2 * np.pi * found.frac_kpoints[:, axis])).sum()
        alone = len(np.unique(found.frac_kpoints[:, axis])) == 1
        assert wave == pytest.approx(1.0 if alone else 0.0, abs=1e-6)


@pytest.mark.parametrize(("most", "n_points"), [(1, 1), (2, 8), (3, 14), (6, 112)])
def test_the_largest_mesh_is_one_that_is_made(most: int, n_points: int) -> None:
    lattices = (np.diag(2.0 * np.pi / (0.45 * np.array(sizes))) for sizes in product(range(1, most + 1), repeat=3))
    assert (
        max(len(mesh(lattice * 1.001, MeshRecipe(most=most)).weights) for lattice in lattices)
        == n_points
        == MeshRecipe(most=most).most_points
    )
