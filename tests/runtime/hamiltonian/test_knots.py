"""Knots: bands between those k-points that are computed."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.features import featurize
from bandrt.hamiltonian.knots import LEAST_INTERVALS, knots, spline_matrix, steps_between


def line(start: list[float], end: list[float], n_steps: int) -> np.ndarray:
    """K-points of a straight piece, without its last."""
    return np.array(start) + np.arange(n_steps)[:, None] / n_steps * (np.array(end) - np.array(start))


CORNERED = np.concatenate(
    [line([0, 0, 0], [0.5, 0, 0], 40), line([0.5, 0, 0], [0.5, 0.5, 0], 30), line([0.5, 0.5, 0], [0, 0, 0], 20), np.zeros((1, 3))]
)
"""A triangle that comes back to where it began."""


def test_a_spline_gives_back_cubics() -> None:
    at, wanted = np.array([0.0, 2.0, 3.0, 5.0, 9.0, 10.0]), np.linspace(0.0, 10.0, 31)
    cubic = np.polynomial.Polynomial([1.0, -2.0, 0.3, 0.07])
    np.testing.assert_allclose(spline_matrix(at, wanted) @ cubic(at), cubic(wanted), atol=1e-10)


def test_a_spline_is_smooth_up_to_the_second_derivative_and_at_its_first_inner_knot_up_to_the_third() -> None:
    at, values, step = np.arange(7.0), np.array([0.0, 1.0, -1.0, 2.0, 0.5, 0.0, 3.0]), 1e-2

    def derivatives(side: float, knot: float) -> list[float]:
        x = knot + side * step * np.arange(4)
        fitted = np.polynomial.Polynomial.fit(x, spline_matrix(at, x) @ values, 3).convert()
        return [float(fitted.deriv(order)(knot)) for order in (1, 2, 3)]

    for knot in range(1, 6):
        before, after = derivatives(-1.0, float(knot)), derivatives(1.0, float(knot))
        np.testing.assert_allclose(before[:2], after[:2], atol=1e-3)
        assert (abs(before[2] - after[2]) < 1e-2) == (knot in (1, 5))


@pytest.mark.parametrize("n_knots", [2, 3])
def test_few_knots_make_a_polynomial(n_knots: int) -> None:
    at = np.arange(float(n_knots))
    np.testing.assert_allclose(spline_matrix(at, np.array([0.5])) @ at ** (n_knots - 1), [0.5 ** (n_knots - 1)])


def test_half_of_the_kpoints_are_computed_corners_among_them() -> None:
    chosen = knots(CORNERED, 2)
    assert set(chosen.points) >= {0, 40, 70}
    assert len(chosen.points) == 20 + 15 + 10  # and the last is the first
    assert np.array_equal(chosen.matrix[90], chosen.matrix[0])


def test_bands_with_corners_where_the_path_has_them_are_smooth_in_between() -> None:
    distance = np.concatenate([[0.0], np.linalg.norm(np.diff(CORNERED, axis=0), axis=1).cumsum()])
    energies = np.where(distance < 0.5, np.cos(7 * distance), np.cos(3.5) + np.where(distance < 1.0, distance - 0.5, 0.5))
    energies = np.where(distance > 1.0, energies + (1.0 - energies) * ((distance - 1.0) / (distance[-1] - 1.0)) ** 3, energies)
    chosen = knots(CORNERED, 2)
    np.testing.assert_allclose(chosen.matrix @ energies[chosen.points], energies, atol=2e-4)


def test_what_is_computed_is_given_as_it_is() -> None:
    energies = np.random.default_rng(0).normal(size=len(CORNERED))
    energies[-1] = energies[0]
    for steps in (1, 2, 4):
        chosen = knots(CORNERED, steps)
        np.testing.assert_allclose((chosen.matrix @ energies[chosen.points])[chosen.points], energies[chosen.points], atol=1e-12)


def test_each_kpoint_once_is_exact() -> None:
    there_and_back = np.concatenate([CORNERED, CORNERED[::-1][1:]])
    chosen = knots(there_and_back, 1)
    assert len(chosen.points) == len(CORNERED) - 1
    np.testing.assert_array_equal(there_and_back[chosen.points][chosen.matrix.argmax(axis=1)], there_and_back)
    assert set(np.unique(chosen.matrix)) == {0.0, 1.0}


def test_short_pieces_are_computed_whole() -> None:
    short = np.concatenate([line([0, 0, 0], [0.1, 0, 0], LEAST_INTERVALS), line([0.1, 0, 0], [0.1, 0.1, 0], 3), [[0.1, 0.1, 0]]])
    assert len(knots(short, 2).points) == len(short)


@pytest.mark.parametrize("lattice", [3.1 * np.eye(3), np.array([[3.1, 0.2, -0.3], [0.7, 3.9, 0.4], [-0.5, 0.9, 4.6]])])
def test_corners_of_a_real_path_are_found_in_single_precision(lattice: np.ndarray) -> None:
    features = featurize(Crystal(lattice, np.array([11], np.int32), np.zeros((1, 3))))
    chosen = knots(features.kpoints, 2)
    ends = {tuple(point) for point in features.kpoints[features.kpath.label_indices].round(5).tolist()}
    assert ends <= {tuple(point) for point in features.kpoints[chosen.points].round(5).tolist()}
    assert 60 < len(chosen.points) < 160


def test_small_crystals_are_computed_at_every_kpoint() -> None:
    assert [steps_between(n) for n in (2, 10, 11)] == [1, 1, 2]
