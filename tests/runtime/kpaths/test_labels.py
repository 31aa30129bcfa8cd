"""Conventional names of points, against names everybody knows and against names carried around by symmetry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.kpaths import kpath_of
from bandrt.kpaths.labels import conventional_labels
from bandrt.kpaths.setyawan_curtarolo import special_points, variation
from bandrt.symmetry.standard_cell import StandardCell, standardize

FCC = [[0, 2, 2], [2, 0, 2], [2, 2, 0]]
BCC = [[-1.5, 1.5, 1.5], [1.5, -1.5, 1.5], [1.5, 1.5, -1.5]]
HEX = [[1.3, -1.3 * 3**0.5, 0], [1.3, 1.3 * 3**0.5, 0], [0, 0, 4.3]]
SIMPLE: dict[str, tuple[list[list[float]], str]] = {
    "FCC": (FCC, "Γ X W K L U"),
    "BCC": (BCC, "Γ H N P"),
    "CUB": ([[3, 0, 0], [0, 3, 0], [0, 0, 3]], "Γ X M R"),
    "HEX": (HEX, "Γ M K A L H"),
    "TET": ([[3, 0, 0], [0, 3, 0], [0, 0, 4]], "Γ X M Z R A"),
    "BCT1": ([[-2, 2, 1.5], [2, -2, 1.5], [2, 2, -1.5]], "Γ X M Z P N"),
    "BCT2": ([[-1.5, 1.5, 2], [1.5, -1.5, 2], [1.5, 1.5, -2]], "Γ X Y Σ Z N P"),
    "ORC": ([[3, 0, 0], [0, 4, 0], [0, 0, 5]], "Γ X S Y Z U R T"),
    "ORCC": ([[1.5, -2, 0], [1.5, 2, 0], [0, 0, 5]], "Γ X S R A Z Y T"),
    "RHL1": ([[2, 3, 3], [3, 2, 3], [3, 3, 2]], "Γ L B Z X Q F P"),
    "TRI": ([[3, 0, 0], [0.5, 4, 0], [0.8, 0.9, 5]], "Γ X Y L Z N M R"),
}
TWO_PLAIN_NAMES: dict[str, set[str | None]] = {"FCC": {"K", "U"}, "RHL1": {"X", "Q"}}
"""Names of points that only a reciprocal lattice vector makes equivalent."""


def one_atom(lattice: list[list[float]]) -> StandardCell:
    return standardize(Crystal.checked(lattice, [29], [[0, 0, 0]]))


def little_group_order(k: NDArray[np.float64], cell: StandardCell) -> int:
    moved = cell.rotations @ k - k
    return int((np.abs(moved - np.rint(moved)) < 1e-6).all(axis=1).sum())


@pytest.mark.parametrize(("lattice", "names"), SIMPLE.values(), ids=SIMPLE.keys())
def test_each_special_point_gets_its_plainest_name(lattice: list[list[float]], names: str) -> None:
    cell = one_atom(lattice)
    labels, points = special_points(cell)
    found = dict(zip(labels, conventional_labels(points, cell), strict=True))
    assert {name for name in found.values() if name} == set(names.split())
    assert all(found[label] == label for label in labels if "_" not in label)


@pytest.mark.parametrize(("lattice", "names"), SIMPLE.values(), ids=SIMPLE.keys())
def test_symmetry_and_reciprocal_vectors_keep_the_set_of_names(lattice: list[list[float]], names: str) -> None:
    cell = one_atom(lattice)
    rng = np.random.default_rng(1)
    _, points = special_points(cell)
    pair = TWO_PLAIN_NAMES.get(variation(cell), set())
    for rotation in cell.rotations:
        turned = points @ rotation.T
        shifted = turned + rng.integers(-3, 4, size=points.shape)
        assert conventional_labels(turned, cell) == conventional_labels(points, cell)
        for name, expected in zip(conventional_labels(shifted, cell), conventional_labels(points, cell), strict=True):
            assert name == expected or {name, expected} == pair


def test_points_of_no_symmetry_and_points_a_little_off_have_no_name() -> None:
    cell = one_atom(FCC)
    _, points = special_points(cell)
    rng = np.random.default_rng(2)
    assert set(conventional_labels(rng.random((20, 3)), cell)) == {None}
    assert set(conventional_labels(points + np.array((3e-5, 0, 0)), cell)) == {None}
    assert conventional_labels(points + 3e-6, cell) == conventional_labels(points, cell)


def test_no_points_have_no_names() -> None:
    assert conventional_labels(np.zeros((0, 3)), one_atom(BCC)) == ()


def test_k_and_u_of_the_face_centred_zone_keep_their_names_where_they_stand() -> None:
    cell = one_atom(FCC)
    assert conventional_labels(np.array([[3 / 8, 3 / 8, 3 / 4], [5 / 8, 1 / 4, 5 / 8]]), cell) == ("K", "U")
    assert conventional_labels(np.array([[5 / 8 - 2, 1 / 4, 5 / 8 + 1]]), cell) == ("K",)


def test_a_smaller_laue_group_leaves_unrelated_points_unnamed() -> None:
    cell = one_atom(BCC)
    n = np.array([[0.0, 0.0, 0.5], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    assert conventional_labels(n, cell) == ("N", "N", "N")
    inversion_only = np.array([np.eye(3), -np.eye(3)], dtype=np.int64)
    assert conventional_labels(n, replace(cell, rotations=inversion_only)) == ("N", None, None)


LITTLE_GROUPS = {
    "FCC": (FCC, {"Γ": 48, "X": 16, "L": 12, "W": 8, "K": 4, "U": 4}),
    "BCC": (BCC, {"Γ": 48, "H": 48, "P": 24, "N": 8}),
    "CUB": (SIMPLE["CUB"][0], {"Γ": 48, "R": 48, "X": 16, "M": 16}),
    "HEX": (HEX, {"Γ": 24, "A": 24, "K": 12, "H": 12, "M": 8, "L": 8}),
    "TET": (SIMPLE["TET"][0], {"Γ": 16, "Z": 16, "M": 16, "A": 16, "X": 8, "R": 8}),
    "ORC": (SIMPLE["ORC"][0], dict.fromkeys("ΓXSYZURT", 8)),
    "BCT1": (SIMPLE["BCT1"][0], {"Γ": 16, "M": 16, "P": 8, "X": 8, "N": 4, "Z": 8}),
}


@pytest.mark.parametrize(("lattice", "orders"), LITTLE_GROUPS.values(), ids=LITTLE_GROUPS.keys())
def test_named_points_have_the_little_group_order_of_the_textbooks(lattice: list[list[float]], orders: dict[str, int]) -> None:
    cell = one_atom(lattice)
    points = dict(zip(*special_points(cell), strict=True))
    assert {label: little_group_order(points[label], cell) for label in orders} == orders


def test_triclinic_names_do_not_depend_on_the_crystals_met_before() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        lattice = np.diag([3.0, 3.4, 3.8]) + rng.normal(scale=0.4, size=(3, 3))
        cell = standardize(Crystal.checked(lattice, [29], [[0, 0, 0]]))
        path = kpath_of(cell)
        vertices = path.frac_kpoints[path.label_indices]
        for label, name in zip(path.labels, conventional_labels(vertices, cell), strict=True):
            assert label == name
