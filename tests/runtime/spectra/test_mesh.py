"""Meshes: which points symmetry leaves, and that all of the zone is counted."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError
from bandrt.spectra.mesh import checked_sizes, mesh_sizes, zone_mesh
from bandrt.symmetry.standard_cell import standardize

FCC = standardize(Crystal.checked(2.1 * (np.ones((3, 3)) - np.eye(3)), [12, 8], [[0, 0, 0], [0.5, 0.5, 0.5]]))
LAYERS = standardize(
    Crystal.checked(
        [[3.2, 0, 0], [-1.6, 2.7713, 0], [0, 0, 12.0]], [42, 16, 16], [[0, 0, 0], [1 / 3, 2 / 3, 0.13], [1 / 3, 2 / 3, 0.87]]
    )
)


@pytest.mark.parametrize(("n", "points"), [(4, 8), (6, 16), (8, 29), (10, 47), (12, 72)])
def test_a_cubic_mesh_has_as_many_points_as_other_codes_count(n: int, points: int) -> None:
    """Of a face-centred cubic crystal, as VASP counts them for meshes around Γ."""
    assert len(zone_mesh((n, n, n), FCC.rotations).weights) == points


@pytest.mark.parametrize("sizes", [(4, 4, 4), (5, 3, 2), (1, 1, 1), (6, 4, 1)])
def test_time_reversal_leaves_one_of_k_and_its_opposite(sizes: tuple[int, int, int]) -> None:
    mesh = zone_mesh(sizes)
    n_own_opposite = np.prod([2 if size % 2 == 0 else 1 for size in sizes])
    assert len(mesh.weights) == (np.prod(sizes) + n_own_opposite) // 2
    assert mesh.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert mesh.frac_kpoints[0].tolist() == [0.0, 0.0, 0.0]
    assert np.abs(mesh.frac_kpoints).max() <= 0.5


def test_every_point_is_like_the_one_that_is_kept_for_it() -> None:
    mesh = zone_mesh((6, 6, 4), LAYERS.rotations)
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in mesh.sizes), indexing="ij"), axis=-1).reshape(-1, 3)
    for point, kept in zip(points, mesh.frac_kpoints[mesh.like], strict=True):
        apart = LAYERS.rotations @ kept - point
        assert np.abs(apart - np.round(apart)).max(axis=1).min() < 1e-9
    assert np.bincount(mesh.like) / len(points) == pytest.approx(mesh.weights)


def test_operations_that_do_not_keep_a_mesh_are_left_out() -> None:
    assert len(zone_mesh((4, 3, 2), FCC.rotations).weights) == len(zone_mesh((4, 3, 2)).weights)


def test_a_density_gives_a_mesh_of_the_crystals_symmetry_with_as_many_points() -> None:
    a, b, c = mesh_sizes(FCC, 1000.0)
    assert a == b == c
    assert a**3 >= 1000.0 * abs(np.linalg.det(FCC.crystal.reciprocal)) > (a - 2) ** 3
    a, b, c = mesh_sizes(LAYERS, 1000.0)
    assert a == b > c


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 2), "444", (2.5, 2, 2), (200, 200, 200)])
def test_what_is_no_mesh_is_refused(sizes: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        checked_sizes(sizes)  # type: ignore[arg-type]
    assert caught.value.code == "bad-argument"


@pytest.mark.parametrize("density", [0.0, -1.0, float("nan"), "many"])
def test_what_is_no_density_is_refused(density: object) -> None:
    with pytest.raises(ArgumentError):
        mesh_sizes(FCC, density)  # type: ignore[arg-type]
