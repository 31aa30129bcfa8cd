"""The zone of any lattice, against its definition: the points nearer to Γ than to any other reciprocal lattice point."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.kpaths.brillouin_zone import (
    BIT,
    ORDERS,
    PAIRS,
    brillouin_zone,
    equivalent_superbases,
    reduced_superbase,
    reordered,
    vertex_map,
)

NAMED: dict[str, tuple[list[list[float]], tuple[int, int, int]]] = {  # reciprocal lattice; faces, edges, vertices of its zone
    "cubic": ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (6, 12, 8)),
    "face-centred crystal": ([[-1, 1, 1], [1, -1, 1], [1, 1, -1]], (14, 36, 24)),
    "body-centred crystal": ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], (12, 24, 14)),
    "hexagonal": ([[1, 0, 0], [0.5, 0.75**0.5, 0], [0, 0, 0.4]], (8, 18, 12)),
    "monoclinic": ([[1, 0, 0.3], [0, 1.2, 0], [0, 0, 0.9]], (8, 18, 12)),
    "elongated": ([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0.9]], (12, 28, 18)),
    "triclinic": ([[1, 0.1, 0.2], [0.05, 1.2, -0.1], [0.2, 0.3, 0.9]], (14, 36, 24)),
}
GENERIC = [np.random.default_rng(seed).normal(size=(3, 3)) for seed in range(20)]
LATTICES = [np.array(lattice, dtype=float) for lattice, _ in NAMED.values()] + GENERIC
EXACT = 1e-9
"""1/Å: a few dozen operations on numbers near one."""


def zone_points(reciprocal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Cartesian points, lines and corner triangles of a zone."""
    metric = reciprocal @ reciprocal.T
    superbase = reduced_superbase(metric)
    zone = brillouin_zone(superbase.vanishing)
    vertices = vertex_map(superbase.vectors) @ metric.ravel() @ np.linalg.inv(metric)  # (24, 3) fractional
    return vertices[zone.points].mean(axis=1) @ reciprocal, zone.lines, zone.corners


def nearest_lattice_points(reciprocal: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.array(reduced_superbase(reciprocal @ reciprocal.T).vectors)
    integers = {tuple(np.array(c) @ rows) for c in product(range(-2, 3), repeat=4)} - {(0, 0, 0)}
    return np.array(sorted(integers)) @ reciprocal


@pytest.mark.parametrize("reciprocal", LATTICES)
def test_the_reduced_superbase_is_obtuse_and_a_basis(reciprocal: NDArray[np.float64]) -> None:
    superbase = reduced_superbase(reciprocal @ reciprocal.T)
    rows = np.array(superbase.vectors)
    products = (rows @ reciprocal) @ (rows @ reciprocal).T
    assert not rows.sum(axis=0).any()
    assert abs(round(np.linalg.det(rows[:3]))) == 1
    for i, j in PAIRS:
        vanishes = bool(superbase.vanishing & BIT[i, j])
        assert abs(products[i, j]) < EXACT if vanishes else products[i, j] < -EXACT


@pytest.mark.parametrize("reciprocal", LATTICES)
def test_points_are_on_the_border_of_the_zone_and_vertices_on_three_planes(reciprocal: NDArray[np.float64]) -> None:
    points, _, corners = zone_points(reciprocal)
    lattice_points = nearest_lattice_points(reciprocal)
    beyond = points @ lattice_points.T - (lattice_points**2).sum(axis=1) / 2  # > 0: nearer to that lattice point than to Γ
    assert np.abs(points[0]).max() < EXACT
    assert (beyond < EXACT).all()
    planes = [int(np.linalg.matrix_rank(lattice_points[row > -EXACT], tol=1e-6)) for row in beyond]
    for column, rank in enumerate((1, 2, 3)):  # face centres, edge midpoints, vertices
        assert {planes[point] for point in np.unique(corners[:, column])} == {rank}


@pytest.mark.parametrize("reciprocal", LATTICES)
def test_the_corner_triangles_close_a_volume_of_one_reciprocal_cell(reciprocal: NDArray[np.float64]) -> None:
    points, _, corners = zone_points(reciprocal)
    volume = np.abs(np.linalg.det(points[corners])).sum() / 6
    assert volume == pytest.approx(abs(np.linalg.det(reciprocal)), rel=1e-9)


@pytest.mark.parametrize(("lattice", "counts"), NAMED.values(), ids=NAMED.keys())
def test_named_zones_have_their_faces_edges_and_vertices(lattice: list[list[float]], counts: tuple[int, int, int]) -> None:
    points, lines, corners = zone_points(np.array(lattice, dtype=float))
    faces, edges, vertices = counts
    assert tuple(len(np.unique(corners[:, column])) for column in range(3)) == counts
    assert len(points) == 1 + sum(counts)
    # from Γ to all; from each face centre to what surrounds it: two per edge of each face; along the edges, halves
    assert len(lines) == (faces + edges + vertices) + 2 * (2 * edges) + 2 * edges


@pytest.mark.parametrize("reciprocal", LATTICES)
def test_all_superbases_give_the_same_zone(reciprocal: NDArray[np.float64]) -> None:
    metric = reciprocal @ reciprocal.T
    expected = np.unique(np.round(zone_points(reciprocal)[0], 7) + 0.0, axis=0)
    for base in equivalent_superbases(reduced_superbase(metric)):
        for order in ORDERS[::5]:
            frame = reordered(base, order)
            vertices = vertex_map(frame.vectors) @ metric.ravel() @ np.linalg.inv(metric)
            points = vertices[brillouin_zone(frame.vanishing).points].mean(axis=1) @ reciprocal
            np.testing.assert_allclose(np.unique(np.round(points, 7) + 0.0, axis=0), expected, atol=2e-7)


@pytest.mark.parametrize("reciprocal", LATTICES)
def test_any_basis_of_a_lattice_gives_the_same_set_of_superbases(reciprocal: NDArray[np.float64]) -> None:
    change = np.array([[1, 2, 0], [0, 1, -1], [1, 2, 1]])
    plain = equivalent_superbases(reduced_superbase(reciprocal @ reciprocal.T))
    other = equivalent_superbases(reduced_superbase(change @ reciprocal @ reciprocal.T @ change.T))
    back = {frozenset(map(tuple, np.array(base.vectors) @ change)) for base in other}
    mirrored = {frozenset(tuple(-a for a in v) for v in vectors) for vectors in back}
    assert {frozenset(base.vectors) for base in plain} <= back | mirrored
    assert len(plain) == len(other)


@pytest.mark.parametrize("noise", [1e-7, 1e-9, 1e-12])
def test_noise_at_right_angles_does_not_change_the_set_of_superbases(noise: float) -> None:
    rng = np.random.default_rng(0)
    for lattice, _ in NAMED.values():
        reciprocal = np.array(lattice, dtype=float)
        plain = equivalent_superbases(reduced_superbase(reciprocal @ reciprocal.T))
        for _ in range(10):
            noisy = reciprocal * (1 + noise * rng.normal(size=(3, 3))) + noise * rng.normal(size=(3, 3))
            assert equivalent_superbases(reduced_superbase(noisy @ noisy.T)) == plain
