"""The crystal refuses what cannot be one, and says what it found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandrt.crystal import Crystal, metric_difference
from bandrt.elements import FORMULA_ORDER, SYMBOLS
from bandrt.errors import InputError

CUBE = np.eye(3) * 4.0


def test_lattice_and_reciprocal_are_dual_with_two_pi() -> None:
    lattice = np.array([[3.0, 0.1, 0.0], [0.4, 5.0, 0.2], [-1.0, 0.3, 4.0]])
    crystal = Crystal.checked(lattice, [14], [[0, 0, 0]])
    np.testing.assert_allclose(crystal.lattice @ crystal.reciprocal.T, 2 * np.pi * np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("numbers", "formula", "hill"),
    [
        ([8, 22, 38, 8, 8], "SrTiO3", "O3SrTi"),
        ([14, 14], "Si", "Si"),
        ([1, 6, 1, 1, 1], "H4C", "CH4"),
        ([8, 1, 1], "H2O", "H2O"),
        ([31, 33] * 4, "GaAs", "AsGa"),
        ([17, 11], "NaCl", "ClNa"),
        ([28, 72, 50], "HfNiSn", "HfNiSn"),
    ],
)
def test_formula_is_reduced_and_ordered_by_electronegativity_or_by_hill(numbers: list[int], formula: str, hill: str) -> None:
    coords = np.arange(len(numbers))[:, None] * np.full(3, 0.09)
    crystal = Crystal.checked(np.eye(3) * 10, numbers, coords)
    assert (crystal.formula, crystal.hill_formula) == (formula, hill)


def test_every_element_has_its_place_in_a_formula() -> None:
    assert set(FORMULA_ORDER) == set(SYMBOLS[1:])


@pytest.mark.parametrize(
    ("lattice", "numbers", "coords", "code"),
    [
        (CUBE, [], [], "no-atoms"),
        (CUBE, [0], [[0, 0, 0]], "unknown-species"),
        (CUBE, [119], [[0, 0, 0]], "unknown-species"),
        (CUBE, [14], [[0, np.nan, 0]], "bad-coordinates"),
        (CUBE, [14, 14], [[0, 0, 0]], "bad-coordinates"),
        (np.ones((3, 3)), [14], [[0, 0, 0]], "bad-lattice"),
        (np.full((3, 3), np.inf), [14], [[0, 0, 0]], "bad-lattice"),
        (CUBE * 0.01, [14], [[0, 0, 0]], "bad-lattice"),
        (CUBE, [14, 8], [[0.01, 0, 0], [0.99, 0, 1.0]], "overlapping-atoms"),
    ],
)
def test_what_can_not_be_a_crystal_is_refused_with_a_code(lattice: object, numbers: object, coords: object, code: str) -> None:
    with pytest.raises(InputError, match=r"^broken\.cif: ") as caught:
        Crystal.checked(lattice, numbers, coords, name="broken.cif")
    assert caught.value.code == code
    assert caught.value.stage == "read"


@pytest.mark.parametrize(
    ("lattice", "numbers", "coords", "code", "said"),
    [
        (CUBE, [], np.zeros((0, 3)), "no-atoms", "no atoms"),
        (CUBE, ["Na"], [[0, 0, 0]], "unknown-species", "'Na' is no atomic number"),
        (CUBE, np.array(["x" * 10_000]), [[0, 0, 0]], "unknown-species", "xxx...xxx"),
        (CUBE, [[11, 17]], [[0, 0, 0]], "unknown-species", r"shape \(1, 2\)"),
        (CUBE, None, [[0, 0, 0]], "unknown-species", r"shape \(\)"),
        (CUBE, [14.5], [[0, 0, 0]], "unknown-species", "14.5"),
        (CUBE, np.array([14, np.nan]), [[0, 0, 0]] * 2, "unknown-species", "nan"),
        (CUBE, [14], [0, 0, 0], "bad-coordinates", r"shape \(3,\)"),
        (CUBE, [14, 14], np.zeros((1, 3)), "bad-coordinates", "2 species but 1 positions"),
        (CUBE, [14], np.array([[0, np.inf, 0]]), "bad-coordinates", "finite"),
        (CUBE, [14], "somewhere", "bad-coordinates", "somewhere"),
        (CUBE, [14], [[0, 0, 1j]], "bad-coordinates", "numbers"),
        (np.eye(2), [14], [[0, 0, 0]], "bad-lattice", r"shape \(2, 2\)"),
        (np.zeros((3, 3)), [14], [[0, 0, 0]], "bad-lattice", "volume 0"),
        (np.full((3, 3), np.nan), [14], [[0, 0, 0]], "bad-lattice", "volume nan"),
        (None, [14], [[0, 0, 0]], "bad-lattice", "lattice"),
        (np.eye(3, dtype=bool), [14], [[0, 0, 0]], "bad-lattice", "numbers"),
    ],
)
def test_what_has_no_shape_of_a_crystal_is_refused_where_it_is_made(
    lattice: Any, numbers: Any, coords: Any, code: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Crystal(lattice, numbers, coords)
    assert caught.value.code == code
    assert len(caught.value.message) < 250


def test_a_crystal_keeps_arrays_of_its_own_in_its_types() -> None:
    lattice, numbers, coords = 4 * np.eye(3, dtype=np.int64), np.array([29], dtype=np.int64), np.zeros((1, 3), dtype=np.float32)
    crystal = Crystal(lattice, numbers, coords)  # type: ignore[arg-type]
    lattice[:], numbers[:], coords[:] = 0, 0, 0.7
    assert repr(crystal) == "Crystal(Cu, 1 atom, 64.0 Å^3)"
    types = [str(values.dtype) for values in (crystal.lattice, crystal.atomic_numbers, crystal.frac_coords)]
    assert types == ["float64", "int32", "float64"]
    assert not crystal.frac_coords.any()


def test_overlap_names_the_two_atoms_across_a_cell_border_of_a_large_crystal() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3), -1).reshape(-1, 3) / 7.0
    coords = np.vstack([grid, grid[300] + [0.004, 1.0, -2.0]])
    with pytest.raises(InputError, match=r"atoms 301 \(Cu\) and 344 \(Cu\) are 0\.112 Å apart"):
        Crystal.checked(np.eye(3) * 28.0, [29] * len(coords), coords)


@pytest.mark.parametrize("numbers", [[29, 29], [1, 6], [8, 1]])
def test_atoms_closer_than_any_bond_are_refused_and_two_hydrogen_atoms_only_below_what_a_bad_position_explains(
    numbers: list[int],
) -> None:
    coords = [[0, 0, 0], [0.1, 0, 0]]  # 0.4 Å
    with pytest.raises(InputError, match=r"0\.400 Å apart, at least 0\.5 Å is needed"):
        Crystal.checked(CUBE, numbers, coords)
    assert Crystal.checked(CUBE, [1, 1], coords).n_atoms == 2
    with pytest.raises(InputError, match=r"0\.400 Å apart, at least 0\.5 Å is needed"):
        Crystal.checked(CUBE, [1, 1, *numbers], [[0.5, 0, 0], [0.58, 0, 0], *coords])
    with pytest.raises(InputError, match=r"0\.240 Å apart, at least 0\.3 Å is needed"):
        Crystal.checked(CUBE, [1, 1], [[0, 0, 0], [0.06, 0, 0]])


@pytest.mark.parametrize("length", [0.06, 0.4, 0.69])
@pytest.mark.parametrize("turn", [np.eye(3), [[1, 0, 0], [7, 1, 0], [-3, 5, 1]], [[2, 1, 0], [1, 1, 0], [4, 4, 1]]])
def test_an_atom_too_close_to_its_own_image_is_refused_in_any_basis(length: float, turn: object) -> None:
    lattice = np.array(turn) @ np.diag([length, 30.0, 30.0])
    with pytest.raises(InputError, match=rf"atom 1 \(Cu\) and its own image are {length:.3f} Å apart") as caught:
        Crystal.checked(lattice, [29], [[0.3, 0.1, 0.7]])
    assert caught.value.code == "overlapping-atoms"
    assert Crystal.checked(lattice * 2.0 / length, [29], [[0.3, 0.1, 0.7]]).n_atoms == 1


@pytest.mark.parametrize("height", [3.0, 30.0, 300.0])
@pytest.mark.parametrize(("stretch", "expected"), [(1.0, 0.0), (1.01, 0.0201), (0.9, 0.19)])
def test_a_short_vector_counts_beside_a_long_one(height: float, stretch: float, expected: float) -> None:
    lattice = np.diag([3.0, 3.0, height])
    other = np.diag([3.0 * stretch, 3.0, height])
    assert metric_difference(lattice @ lattice.T, other @ other.T) == pytest.approx(expected)


def test_an_angle_counts_by_how_far_it_turns() -> None:
    lattice, other = np.diag([3.0, 4.0, 50.0]), np.diag([3.0, 4.0, 50.0])
    other[1] = 4.0 * np.sin(0.02), 4.0 * np.cos(0.02), 0.0
    assert metric_difference(lattice @ lattice.T, np.stack([lattice @ lattice.T, other @ other.T])) == pytest.approx(0.02, rel=1e-3)
