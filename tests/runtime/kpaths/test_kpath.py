"""k-paths of all 230 space groups, and of one crystal described in many ways."""

from __future__ import annotations

from functools import cache
from itertools import product

import moyopy
import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.kpaths import KPath, kpath_of, latimer_munro
from bandrt.recipe import KpathRecipe, Scheme
from bandrt.symmetry.standard_cell import StandardCell, standardize

SAME = 1e-6
"""Fractional: two descriptions of one crystal are symmetrised to this."""
ONE_PER_LAUE_GROUP_AND_LATTICE = (
    1,
    2,
    3,
    5,
    16,
    20,
    22,
    23,
    75,
    79,
    89,
    97,
    143,
    146,
    149,
    150,
    155,
    168,
    177,
    195,
    196,
    197,
    207,
    209,
    211,
)


@cache
def crystal_of(space_group: int) -> Crystal:
    """A crystal with this space group: a lattice of random shape, two kinds of atoms in general positions."""
    rng = np.random.default_rng(space_group)
    operations = moyopy.operations_from_number(space_group, primitive=True)
    rotations, translations = np.array(operations.rotations), np.array(operations.translations)
    shape = rng.normal(size=(3, 3))
    metric = np.mean([r.T @ shape @ shape.T @ r for r in rotations], axis=0)
    numbers = np.repeat([14, 8], len(rotations)).astype(np.int32)
    lattice = np.linalg.cholesky(metric / np.linalg.det(metric) ** (1 / 3)) * (15.0 * len(numbers)) ** (1 / 3)
    tried = []
    for _ in range(30):  # the atoms furthest apart: on a symmetry element they would overlap
        coords = (np.einsum("rij,sj->sri", rotations, rng.random((2, 3))) + translations).reshape(-1, 3) % 1.0
        tried.append((_closest(coords, lattice), coords))
    return Crystal(lattice, numbers, max(tried, key=lambda trial: trial[0])[1])


def described_otherwise(crystal: Crystal, seed: int, *, supercell: bool) -> Crystal:
    """The same crystal in another cell, orientation, atom order and origin."""
    rng = np.random.default_rng(seed)
    lattice, numbers, coords = crystal.lattice, crystal.atomic_numbers, crystal.frac_coords
    if supercell:
        axis = int(rng.integers(3))
        twice = np.eye(3)
        twice[axis, axis] = 2
        coords = np.concatenate([coords, coords + np.eye(3)[axis]]) @ np.linalg.inv(twice)
        lattice, numbers = twice @ lattice, np.tile(numbers, 2)
    change = _unimodular(rng)
    lattice, coords = change @ lattice, coords @ np.linalg.inv(change)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    order = rng.permutation(len(numbers))
    return Crystal(lattice @ turn, numbers[order], (coords[order] + rng.random(3)) % 1.0)


def _closest(coords: NDArray[np.float64], lattice: NDArray[np.float64]) -> float:
    """Smallest distance between two sites, Å."""
    delta = coords[:, None] - coords
    distance = np.linalg.norm((delta - np.rint(delta)) @ lattice, axis=-1)
    return float(distance[~np.eye(len(coords), dtype=bool)].min()) if len(coords) > 1 else np.inf


def _unimodular(rng: np.random.Generator) -> NDArray[np.float64]:
    change = np.eye(3)
    for _ in range(3):
        i, j = rng.permutation(3)[:2]
        change[i] += rng.choice([-1, 1]) * change[j]
    return change


@cache
def standard_cell(space_group: int) -> StandardCell:
    return standardize(crystal_of(space_group))


def bands_like(cell: StandardCell, path: KPath) -> NDArray[np.float64]:
    """A function of k that knows where all atoms are: sum over pairs of Z_i Z_j exp(-r^2) cos(k . r), (n_kpoints,)."""
    crystal = cell.crystal
    delta = crystal.frac_coords[:, None] - crystal.frac_coords
    delta = (delta - np.rint(delta))[:, :, None] + np.array(list(product((-2, -1, 0, 1, 2), repeat=3)))
    squared = np.square(delta @ crystal.lattice).sum(axis=-1)
    weight = np.exp(-squared / 4) * np.multiply.outer(crystal.atomic_numbers, crystal.atomic_numbers)[..., None]
    near = weight > 1e-9 * weight.max()
    energies = np.cos(2 * np.pi * (path.frac_kpoints @ delta[near].T)) @ weight[near]
    return np.asarray(energies / weight[near].sum())


@pytest.mark.parametrize("space_group", range(1, 231))
def test_every_space_group_has_a_closed_walk_over_all_its_lines(space_group: int) -> None:
    cell = standard_cell(space_group)
    assert cell.space_group == space_group
    path = kpath_of(cell)
    segments = latimer_munro.segments(cell)
    assert path.frac_kpoints.shape == (256, 3)
    assert path.labels[0] == path.labels[-1] == "Γ"
    assert not path.frac_kpoints[[0, -1]].any()

    vertices = path.frac_kpoints[path.label_indices]
    nodes = dict(zip(segments.labels, segments.nodes, strict=True))
    np.testing.assert_allclose(vertices, [nodes[label] for label in path.labels], atol=1e-12)
    walked = {frozenset(step) for step in zip(path.labels[:-1], path.labels[1:], strict=True)}
    lines = {frozenset((segments.labels[a], segments.labels[b])) for a, b in segments.edges}
    assert lines <= walked
    assert all("Γ" in bridge for bridge in walked - lines)

    steps = np.diff(path.frac_kpoints, axis=0)
    lengths = np.linalg.norm(steps @ cell.crystal.reciprocal, axis=1)
    np.testing.assert_allclose(np.diff(path.kpoint_distance), lengths, atol=1e-9)
    for first, last in zip(path.label_indices[:-1], path.label_indices[1:], strict=True):
        assert np.ptp(steps[first:last], axis=0).max() < 1e-12


@pytest.mark.parametrize("space_group", range(1, 231))
def test_no_point_of_the_path_lies_outside_the_zone(space_group: int) -> None:
    cell = standard_cell(space_group)
    cartesian = kpath_of(cell).frac_kpoints @ cell.crystal.reciprocal
    neighbors = np.array([g for g in product(range(-3, 4), repeat=3) if any(g)]) @ cell.crystal.reciprocal
    assert (cartesian @ neighbors.T <= (neighbors**2).sum(axis=1) / 2 + 1e-6).all()


@pytest.mark.parametrize("supercell", [False, True])
@pytest.mark.parametrize("space_group", range(2, 231, 3))
def test_the_path_does_not_depend_on_how_the_crystal_is_described(space_group: int, supercell: bool) -> None:
    path = kpath_of(standard_cell(space_group))
    other = kpath_of(standardize(described_otherwise(crystal_of(space_group), space_group, supercell=supercell)))
    np.testing.assert_allclose(other.frac_kpoints, path.frac_kpoints, atol=SAME)
    np.testing.assert_allclose(other.kpoint_distance, path.kpoint_distance, atol=1e-4)
    assert other.labels == path.labels
    assert other.label_indices.tolist() == path.label_indices.tolist()


@pytest.mark.parametrize("space_group", ONE_PER_LAUE_GROUP_AND_LATTICE)
def test_the_path_is_physically_the_same_however_the_crystal_is_described(space_group: int) -> None:
    cell = standard_cell(space_group)
    other = standardize(described_otherwise(crystal_of(space_group), 7, supercell=False))
    energies, others = bands_like(cell, kpath_of(cell)), bands_like(other, kpath_of(other))
    assert np.ptp(energies) > 1e-4
    np.testing.assert_allclose(others, energies, atol=1e-5)


@pytest.mark.parametrize("scheme", ["latimer_munro", "setyawan_curtarolo"])
def test_the_recipe_chooses_scheme_and_number_of_points(scheme: Scheme) -> None:
    path = kpath_of(standard_cell(225), KpathRecipe(scheme=scheme, n_kpoints=100))
    assert path.scheme == scheme
    assert len(path.frac_kpoints) == len(path.kpoint_distance) == 100
    assert path.label_indices[-1] == 99


def test_too_few_points_are_refused() -> None:
    with pytest.raises(InputError, match="ask for more k-points") as refused:
        kpath_of(standard_cell(14), KpathRecipe(n_kpoints=10))
    assert refused.value.code == "kpath-failed"
