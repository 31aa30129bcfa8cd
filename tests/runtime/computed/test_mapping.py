"""K-points are found on computed lines through the crystal's symmetry, and nowhere else."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.computed.mapping import Lines, map_kpoints, straight_lines

CUBIC = np.array([np.eye(3, dtype=int)[list(p)] * s for p in permutations(range(3)) for s in product((1, -1), repeat=3)])
"""The 48 signed permutation matrices: the Laue group m-3m of a simple cubic lattice."""
INVERSION = np.array([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
RECIPROCAL = 2.0 * np.pi / 4.0 * np.eye(3)  # 1/Å, of a 4 Å cube
EXACT = 1e-9
"""Fractional and eV: rounding noise of a handful of operations."""


def line(start: tuple[float, ...], end: tuple[float, ...], n: int) -> NDArray[np.float64]:
    return np.linspace(start, end, n)


def computed(*pieces: NDArray[np.float64]) -> Lines:
    ends = np.cumsum([len(piece) for piece in pieces])
    return straight_lines(np.concatenate(pieces), RECIPROCAL, np.stack([[0, *ends[:-1]], ends - 1], axis=1))


def test_every_image_of_a_point_on_a_line_is_found_with_its_place() -> None:
    lines = computed(line((0, 0, 0), (0, 0.5, 0), 11), line((0, 0.5, 0), (0.5, 0.5, 0), 9))
    wanted = np.array([(0.03, 0.5, 0.0), (0.0, 0.0, -0.13)])
    for rotation in CUBIC:
        images = wanted @ rotation.T + (3, -2, 1)
        mapping = map_kpoints(images, lines, CUBIC)
        place = mapping.interpolate(np.linalg.norm(lines.frac_kpoints, axis=1)[None] ** 1)
        assert mapping.found.all()
        assert mapping.distance.max() < EXACT
        assert place[0, 1] == pytest.approx(0.13, abs=EXACT)


@pytest.mark.parametrize("turned", [False, True])
def test_a_point_that_was_computed_is_taken_before_one_between_two(turned: bool) -> None:
    coarse, fine = line((0, 0, 0), (0, 0.5, 0), 6), line((0, 0, 0), (0.5, 0, 0), 11)
    lines = computed(*((fine, coarse) if turned else (coarse, fine)))  # one line to the symmetry of the cube
    energies = np.linalg.norm(lines.frac_kpoints, axis=1)[None] ** 2
    mapping = map_kpoints(np.array([(0, 0, 0.05), (0, 0, 0.1), (0, 0, 0.45)]), lines, CUBIC)
    assert mapping.interpolate(energies)[0] == pytest.approx([0.05**2, 0.1**2, 0.45**2], abs=EXACT)


def test_a_point_off_the_lines_is_not_found() -> None:
    lines = computed(line((0, 0, 0), (0, 0.5, 0), 11))
    mapping = map_kpoints(np.array([(0.1, 0.1, 0.0), (0.0, 0.25, 0.002), (0.0, 0.25, 0.0)]), lines, CUBIC)
    assert mapping.found.tolist() == [False, False, True]
    assert np.isnan(mapping.interpolate(np.ones((1, 11)))[0]).tolist() == [True, True, False]


def test_a_lower_symmetry_finds_less() -> None:
    lines = computed(line((0, 0, 0), (0, 0.5, 0), 11))
    wanted = np.array([(0.0, -0.2, 0.0), (0.2, 0.0, 0.0)])
    assert map_kpoints(wanted, lines, CUBIC).found.tolist() == [True, True]
    assert map_kpoints(wanted, lines, INVERSION).found.tolist() == [True, False]


def test_nothing_is_continued_across_a_jump_or_past_an_end() -> None:
    jump = np.concatenate([line((0, 0, 0), (0, 0.1, 0), 11), line((0, 0.4, 0), (0, 0.5, 0), 11)])
    lines = straight_lines(jump, RECIPROCAL, np.array([[0, 21]]))
    wanted = np.array([(0, 0.05, 0), (0, 0.25, 0), (0, 0.45, 0)])
    assert map_kpoints(wanted, lines, CUBIC).found.tolist() == [True, False, True]


def test_a_branch_is_cut_at_its_corners() -> None:
    bent = np.concatenate(
        [line((0, 0, 0), (0, 0.5, 0), 6), line((0, 0.5, 0), (0.5, 0.5, 0), 6)[1:], line((0.5, 0.5, 0), (0, 0, 0), 6)[1:]]
    )
    lines = straight_lines(bent, RECIPROCAL, np.array([[0, len(bent) - 1]]))
    assert lines.runs.tolist() == [[0, 5], [5, 10], [10, 15]]


def test_a_run_that_goes_back_on_itself_is_cut() -> None:
    back = np.concatenate([line((0, 0, 0), (0, 0.5, 0), 6), line((0, 0.5, 0), (0, 0, 0), 6)[1:]])
    assert straight_lines(back, RECIPROCAL, np.array([[0, 10]])).runs.tolist() == [[0, 5], [5, 10]]


def test_a_single_computed_point_is_a_line_of_no_length() -> None:
    lines = computed(np.array([(0.5, 0.5, 0.5)]), line((0, 0, 0), (0, 0.5, 0), 11))
    mapping = map_kpoints(np.array([(-0.5, 0.5, 0.5)]), lines, INVERSION)
    assert mapping.found.tolist() == [True]
    assert mapping.interpolate(np.arange(12.0)[None])[0, 0] == 0.0


def test_a_line_longer_than_a_reciprocal_cell_is_found_along_its_whole_length() -> None:
    lines = computed(line((-0.7, 0.1, 0.2), (1.6, 0.1, 0.2), 24))
    wanted = line((0.0, 0.1, 0.2), (1.0, 0.1, 0.2), 37)
    assert map_kpoints(wanted, lines, INVERSION[:1]).found.all()


def test_interpolation_is_linear_between_computed_neighbours_however_they_are_spaced() -> None:
    rng = np.random.default_rng(0)
    shares = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(size=9)]))
    points = shares[:, None] * np.array([0.3, 0.4, 0.1])
    energies = rng.normal(size=(2, 11))
    wanted = np.linspace(0, 1, 101)
    mapping = map_kpoints(-wanted[:, None] * np.array([0.3, 0.4, 0.1]), computed(points), INVERSION)
    expected = np.array([np.interp(wanted, shares, band) for band in energies])
    np.testing.assert_allclose(mapping.interpolate(energies), expected, atol=1e-6)


def test_the_spread_shows_computed_points_that_the_symmetry_wrongly_joins() -> None:
    lines = computed(line((0, 0, 0), (0, 0.5, 0), 11), line((0, 0, 0), (0.5, 0, 0), 11))
    energies = np.concatenate([np.linspace(0, 1, 11), np.linspace(0, 3, 11)])[None]
    assert map_kpoints(lines.frac_kpoints, lines, CUBIC).spread(energies) == pytest.approx(2.0)
    assert map_kpoints(lines.frac_kpoints, lines, INVERSION).spread(energies) == 0.0
