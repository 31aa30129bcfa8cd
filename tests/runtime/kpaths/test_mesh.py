"""The mesh: points that stand for the whole zone, none of which is said twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.hamiltonian.filling import fermi_level
from bandrt.kpaths.mesh import TIME_REVERSAL, mesh, reduced, symmetric_sizes
from bandrt.readers import to_crystal
from bandrt.recipe import MeshRecipe
from bandrt.symmetry.standard_cell import StandardCell, standardize
from tests.support.other_cells import CHANGES

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
    found = mesh(lattice, TIME_REVERSAL, recipe)
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
    found = mesh(lattice, TIME_REVERSAL, MeshRecipe())
    for axis in range(3):
        wave = (found.weights * np.cos(2 * np.pi * found.frac_kpoints[:, axis])).sum()
        alone = len(np.unique(found.frac_kpoints[:, axis])) == 1
        assert wave == pytest.approx(1.0 if alone else 0.0, abs=1e-6)


@pytest.mark.parametrize(("most", "n_points"), [(1, 1), (2, 8), (3, 14), (6, 112)])
def test_the_largest_mesh_is_one_that_is_made(most: int, n_points: int) -> None:
    lattices = (np.diag(2.0 * np.pi / (0.45 * np.array(sizes))) for sizes in product(range(1, most + 1), repeat=3))
    assert (
        max(len(mesh(lattice * 1.001, TIME_REVERSAL, MeshRecipe(most=most)).weights) for lattice in lattices)
        == n_points
        == MeshRecipe(most=most).most_points
    )


WEDGE = MeshRecipe(spacing=0.25, most=12, symmetry="point_group", kept=256, smearing=0.1)
SAME_EV = 1e-5
"""k-points and weights in single precision."""


@pytest.fixture(scope="module")
def cells(examples: Path) -> list[StandardCell]:
    """Of real crystals of all crystal systems."""
    found = [standardize(to_crystal(path)) for path in sorted(examples.iterdir()) if path.suffix in (".cif", ".vasp")]
    assert {cell.bravais for cell in found} >= {"aP", "mP", "mC", "oP", "oC", "tP", "tI", "hR", "hP", "cP", "cI", "cF"}
    return [cell for cell in found if cell.crystal.n_atoms <= 16]


def s_bands(crystal: Crystal, frac_kpoints: NDArray[Any]) -> NDArray[np.float64]:
    """Bands (K, n_atoms) eV of one orbital an atom, which hops to all others near it, so that they have the crystal's symmetry."""
    shifts = np.array(list(product(range(-3, 4), repeat=3)))
    apart = (crystal.frac_coords[None] - crystal.frac_coords[:, None])[:, :, None] + shifts  # (N, N, V, 3)
    hopping = -5.0 * np.exp(-0.3 * np.linalg.norm(apart @ crystal.lattice, axis=-1) ** 2)
    hopping[np.arange(crystal.n_atoms), np.arange(crystal.n_atoms), len(shifts) // 2] = -0.1 * crystal.atomic_numbers
    phases = np.exp(2j * np.pi * frac_kpoints.astype(float) @ shifts.T)  # (K, V)
    energies: NDArray[np.float64] = np.linalg.eigvalsh(np.einsum("kv,ijv->kij", phases, hopping))
    return energies


def sizes_of(cell: StandardCell, recipe: MeshRecipe) -> NDArray[np.int64]:
    sides = np.linalg.norm(cell.crystal.reciprocal, axis=1)
    return symmetric_sizes(np.clip(np.ceil(sides / recipe.spacing), 1, recipe.most).astype(int), cell.rotations)


def test_real_crystals_have_the_fermi_level_of_the_whole_zone(cells: list[StandardCell]) -> None:
    n_wedge, n_half = 0, 0
    for cell in cells:
        found, sizes = mesh(cell.crystal.lattice, cell.rotations, WEDGE), sizes_of(cell, WEDGE)
        half = reduced(sizes, TIME_REVERSAL)
        n_wedge, n_half = n_wedge + len(found.weights), n_half + len(half.counts)
        of_wedge, of_half = s_bands(cell.crystal, found.frac_kpoints), s_bands(cell.crystal, half.steps / sizes)
        for electrons in (1.0, 0.7 * cell.crystal.n_atoms):
            level = fermi_level(of_wedge, found.weights, electrons, WEDGE.smearing)
            whole = fermi_level(of_half, half.counts / sizes.prod(), electrons, WEDGE.smearing)
            assert level == pytest.approx(whole, abs=SAME_EV), (cell.crystal.formula, cell.space_group_symbol, sizes)
        for edge in (np.min, np.max):
            np.testing.assert_allclose(edge(of_wedge, axis=0), edge(of_half, axis=0), atol=SAME_EV)
    assert n_wedge < 0.5 * n_half


def test_sizes_that_rotations_would_not_keep_become_those_of_a_mesh_that_they_do(cells: list[StandardCell]) -> None:
    """Of an elongated centred cell, reciprocal vectors of other lengths are mixed."""
    made_equal = 0
    for cell in cells:
        sizes = sizes_of(cell, WEDGE)
        plain = np.clip(np.ceil(np.linalg.norm(cell.crystal.reciprocal, axis=1) / WEDGE.spacing), 1, WEDGE.most)
        made_equal += bool((sizes != plain).any())
        moved = cell.rotations * sizes[:, None] / sizes[None]
        np.testing.assert_allclose(moved, np.rint(moved), atol=1e-9)
        assert (sizes >= plain).all()
    assert made_equal > 0


def test_a_crystal_given_otherwise_has_the_same_mesh(cells: list[StandardCell]) -> None:
    rng = np.random.default_rng(0)
    for cell in cells[::3]:
        before = mesh(cell.crystal.lattice, cell.rotations, WEDGE)
        for other in (change(cell.crystal, rng) for change in CHANGES.values()):
            again = standardize(other)
            for one, same in zip(mesh(again.crystal.lattice, again.rotations, WEDGE), before, strict=True):
                np.testing.assert_array_equal(one, same)


def test_a_mesh_keeps_no_more_points_than_its_recipe_wants() -> None:
    lattice = 0.75 * LATTICES["triclinic"]
    points = [len(mesh(lattice, TIME_REVERSAL, replace(WEDGE, kept=kept)).weights) for kept in (None, 256, 100, 30, 1)]
    assert points == sorted(points, reverse=True)
    assert points[0] > 256 >= points[1] > 100 >= points[2] > 30 >= points[3] > points[4] == 1
    assert replace(WEDGE, kept=None).most_points == 868
    assert WEDGE.most_points == 256


def test_rotations_do_not_move_the_meshes_of_older_engines(cells: list[StandardCell]) -> None:
    for cell in cells:
        found, same = (mesh(cell.crystal.lattice, operations, MeshRecipe()) for operations in (cell.rotations, TIME_REVERSAL))
        for one, other in zip(found, same, strict=True):
            np.testing.assert_array_equal(one, other)
