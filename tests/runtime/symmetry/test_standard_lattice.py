"""The rules of the standard frame, each checked against a search over many lattice vectors."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from moyopy import SpaceGroupType, niggli_reduce
from numpy.typing import NDArray

from bandrt.symmetry.standard_lattice import conventional_lattice, primitive_vectors, settings

BRAVAIS = {number: SpaceGroupType(number).bravais_class.replace("oS", "oC") for number in range(1, 231)}
PLANE = [(p, q) for p, q in product(range(-12, 13), repeat=2) if np.gcd(p, q) == 1]
RANDOM_CELLS = 40


def standard_bases(number: int, lattice: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Every standard conventional basis of a lattice, as Cartesian rows."""
    found = settings(number, BRAVAIS[number], (lattice @ lattice.T).tolist())
    assert all(round(float(np.linalg.det(s))) == 1 for s in found)
    return [np.array(setting) @ lattice for setting in found]


def monoclinic(rng: np.random.Generator) -> NDArray[np.float64]:
    """A cell with the unique axis b, its other axes anything but short."""
    a, b, c = rng.uniform(3, 9, 3)
    angle = np.radians(rng.uniform(40, 140))
    plane = np.array([[a, 0, 0], [0, b, 0], [c * np.cos(angle), 0, c * np.sin(angle)]])
    return np.array([[1, 0, 2 * rng.integers(-1, 2)], [0, 1, 0], [rng.integers(-1, 2), 0, 1]]) @ plane


@pytest.mark.parametrize("number", [3, 4, 5, 7, 8, 9, 13, 14, 15])
def test_monoclinic_axes_are_the_shortest_that_the_setting_allows(number: int) -> None:
    rng = np.random.default_rng(number)
    for _ in range(RANDOM_CELLS):
        lattice = monoclinic(rng)
        (standard,) = standard_bases(number, lattice)
        vectors = {(p, q): p * lattice[0] + q * lattice[2] for p, q in PLANE}
        lengths = {w: float(np.linalg.norm(v)) for w, v in vectors.items()}
        a, b, c = np.linalg.norm(standard, axis=1)
        assert a == pytest.approx(lattice[1, 1])
        assert standard[1] @ standard[2] >= -1e-9
        if BRAVAIS[number] == "mC":
            centred = min(length for (p, q), length in lengths.items() if p % 2 == 1 and q % 2 == 0)
            other = min(length for (p, q), length in lengths.items() if q % 2 == 1)
            assert (b, c) == pytest.approx((centred, other))
        elif number in (7, 13, 14):
            glide = min(length for (p, q), length in lengths.items() if p % 2 == 0 and q % 2 == 1)
            other = min(length for (p, q), length in lengths.items() if p % 2 == 1)
            assert (b, c) == pytest.approx(tuple(sorted((glide, other))))
        else:
            shortest = sorted(lengths.values())
            assert (b, c) == pytest.approx((shortest[0], shortest[2]))  # each length twice, for v and -v


@pytest.mark.parametrize(("number", "sorted_axes"), [(16, (0, 1, 2)), (69, (0, 1, 2)), (71, (0, 1, 2)), (63, (0, 1)), (38, (1, 2))])
def test_orthorhombic_axes_ascend_as_far_as_the_centring_allows(number: int, sorted_axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(number)
    for _ in range(RANDOM_CELLS):
        edges = rng.uniform(3, 9, 3)
        (standard,) = standard_bases(number, np.diag(edges))
        rest = [i for i in range(3) if i not in sorted_axes]
        assert np.linalg.norm(standard, axis=1).tolist() == sorted(edges[list(sorted_axes)]) + edges[rest].tolist()


@pytest.mark.parametrize(
    ("number", "edges", "n_settings"),
    [
        (16, (4, 5, 6), 1),
        (16, (4, 4, 6), 2),
        (16, (4, 4.00005, 6), 2),
        (16, (4, 4.001, 6), 1),
        (16, (4, 4, 4), 6),
        (63, (5, 5, 3), 2),
        (63, (3, 5, 5), 1),
    ],
)
def test_equal_lengths_leave_a_choice(number: int, edges: tuple[float, ...], n_settings: int) -> None:
    assert len(standard_bases(number, np.diag(edges))) == n_settings


@pytest.mark.parametrize("number", [1, 2])
def test_triclinic_vectors_do_not_depend_on_the_reduced_cell_given(number: int) -> None:
    rng = np.random.default_rng(number)
    for _ in range(RANDOM_CELLS):
        lattice = np.array(niggli_reduce(rng.normal(size=(3, 3)).tolist())[0]) * 5
        (standard,) = standard_bases(number, lattice)
        for _ in range(3):
            signs = np.diag(rng.choice([-1, 1], 3))
            (again,) = standard_bases(number, signs * np.linalg.det(signs) @ lattice)
            np.testing.assert_allclose(again, standard * np.sign(again[0] @ standard[0]), atol=1e-9)


@pytest.mark.parametrize("name", ["cubic", "face-centred", "body-centred", "hexagonal", "tetragonal", "rhombic"])
def test_triclinic_vectors_of_a_symmetric_lattice_are_one_basis_in_many_orientations(name: str) -> None:
    half = np.sqrt(0.75)
    lattice, n_settings = {
        "cubic": (np.eye(3), 24),
        "face-centred": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2), 24),
        "body-centred": (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3), 24),
        "hexagonal": (np.array([[1, 0, 0], [-0.5, half, 0], [0, 0, 1.3]]), 12),
        "tetragonal": (np.diag([1, 1, 1.3]), 8),
        "rhombic": (np.array([[1, 0, 0], [-0.3, np.sqrt(1 - 0.09), 0], [0, 0, 1.3]]), 4),
    }[name]
    bases = standard_bases(2, 5 * lattice)
    assert len(bases) == n_settings  # as many as the lattice has rotations
    for basis in bases:
        np.testing.assert_allclose(basis @ basis.T, bases[0] @ bases[0].T, atol=1e-9)


def test_lattices_are_right_handed_and_keep_lengths_and_angles() -> None:
    rng = np.random.default_rng(0)
    for number, bravais in BRAVAIS.items():
        a, b, c = rng.uniform(3, 9, 3)
        lattice = {
            "c": np.diag([a, a, a]),
            "h": np.array([[a, 0, 0], [-a / 2, a * np.sqrt(0.75), 0], [0, 0, c]]),
            "t": np.diag([a, a, c]),
            "o": np.diag([a, b, c]),
            "m": monoclinic(rng),
            "a": np.array(niggli_reduce(rng.normal(size=(3, 3)).tolist())[0]),
        }[bravais[0]]
        for basis in standard_bases(number, lattice):
            metric = basis @ basis.T
            placed = conventional_lattice(bravais, metric.tolist())
            np.testing.assert_allclose(placed @ placed.T, metric, atol=1e-9, err_msg=str(number))
            assert np.linalg.det(placed) > 0
            primitive = primitive_vectors(bravais)
            assert 1 / np.linalg.det(primitive) == pytest.approx({"P": 1, "C": 2, "I": 2, "F": 4, "R": 3}[bravais[1]])


def test_a_rhombohedral_cell_has_equal_vectors_in_the_orientation_of_setyawan_and_curtarolo() -> None:
    rng = np.random.default_rng(0)
    for _ in range(RANDOM_CELLS):
        a, c = rng.uniform(3, 9), rng.uniform(3, 20)
        metric = [[a * a, -a * a / 2, 0.0], [-a * a / 2, a * a, 0.0], [0.0, 0.0, c * c]]
        cell = primitive_vectors("hR") @ conventional_lattice("hR", metric)
        gram = cell @ cell.T
        np.testing.assert_allclose(np.diag(gram), gram[0, 0])
        np.testing.assert_allclose([gram[0, 2], gram[1, 2]], gram[0, 1], atol=1e-9)
        np.testing.assert_allclose(cell[1], cell[0] * [1, -1, 1], atol=1e-9)  # mirror images in the xz plane
        assert cell[0, 0] > 0
        assert cell[1, 1] > 0
        assert abs(cell[0, 2]) < 1e-9
        assert abs(cell[2, 1]) < 1e-9
        assert cell[2, 2] > 0
