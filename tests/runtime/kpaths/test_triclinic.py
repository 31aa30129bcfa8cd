"""The reciprocal cell of the triclinic tables, on random cells of random lattices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.kpaths.special_points import point_table
from bandrt.kpaths.triclinic import wanted_cell

INTEGERS = np.array([g for g in product(range(-4, 5), repeat=3) if any(g)])
HALF_LENGTH = 1e-9
"""Relative: a point is a face centre when no lattice point is nearer than the two it lies between."""


def random_lattice(rng: np.random.Generator) -> NDArray[np.float64]:
    while True:
        lattice = rng.normal(size=(3, 3))
        if abs(np.linalg.det(lattice)) > 0.2:
            return lattice


def unimodular(rng: np.random.Generator) -> NDArray[np.int64]:
    change = np.eye(3, dtype=np.int64)
    for _ in range(4):
        i, j = rng.permutation(3)[:2]
        step = np.eye(3, dtype=np.int64)
        step[i, j] = rng.integers(-1, 2)
        change = step @ change
    return change


@pytest.mark.parametrize("seed", range(40))
def test_the_cell_is_reduced_with_all_angles_acute_or_all_obtuse_and_gamma_nearest_to_right(seed: int) -> None:
    reciprocal = random_lattice(np.random.default_rng(seed))
    dots, basis = wanted_cell(reciprocal)
    vectors = basis @ reciprocal
    metric = vectors @ vectors.T
    np.testing.assert_allclose(dots, (metric[0, 1], metric[0, 2], metric[1, 2]), atol=1e-12)
    assert abs(round(np.linalg.det(basis))) == 1
    assert min(dots) > 0 or max(dots) < 0
    assert abs(dots[0]) == min(map(abs, dots))
    every = INTEGERS @ vectors
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths)
    shortest = np.linalg.norm(every, axis=1)
    assert lengths[order[0]] == pytest.approx(shortest.min())
    off_line = np.linalg.norm(np.cross(every, vectors[order[0]]), axis=1) > 1e-9
    assert lengths[order[1]] == pytest.approx(shortest[off_line].min())
    off_plane = np.abs(every @ np.cross(vectors[order[0]], vectors[order[1]])) > 1e-9
    assert lengths[order[2]] == pytest.approx(shortest[off_plane].min())


@pytest.mark.parametrize("seed", range(40))
def test_the_lines_run_to_the_seven_face_centres_of_the_zone_whatever_the_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reciprocal = random_lattice(rng)
    ends = []
    for cell in (reciprocal, unimodular(rng) @ reciprocal):
        dots, basis = wanted_cell(cell)
        points = point_table("TRI1b" if dots[0] > 0 else "TRI1a").coefficients[1:, :, 0] @ basis @ cell
        to_lattice = np.linalg.norm(points[:, None] - INTEGERS @ basis @ cell, axis=2).min(axis=1)
        assert (to_lattice >= np.linalg.norm(points, axis=1) * (1 - HALF_LENGTH)).all()
        upward = points * np.sign(points[:, :1])
        ends.append(upward[np.lexsort(upward.T)])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)


@pytest.mark.parametrize(
    "lattice",
    [
        np.eye(3),
        np.diag([1.0, 1.0, 1.3]),
        [[1, 0, 0], [0.5, 3**0.5 / 2, 0], [0, 0, 1.2]],
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
        [[-1, 1, 1], [1, -1, 1], [1, 1, -1]],
        [[1, 0, 0], [0.3, 1.1, 0], [0, 0, 1.4]],
    ],
    ids=["cube", "square prism", "hexagonal prism", "face-centred", "body-centred", "one right angle"],
)
def test_noise_does_not_choose_between_equally_good_cells(lattice: NDArray[np.float64]) -> None:
    reciprocal = np.asarray(lattice, dtype=np.float64)
    rng = np.random.default_rng(5)
    dots, basis = wanted_cell(reciprocal)
    for _ in range(50):
        noisy_dots, noisy_basis = wanted_cell(reciprocal + rng.normal(scale=1e-9, size=(3, 3)))
        np.testing.assert_array_equal(noisy_basis, basis)
        np.testing.assert_allclose(noisy_dots, dots, atol=1e-8)
        assert [d == 0 for d in noisy_dots] == [d == 0 for d in dots]
