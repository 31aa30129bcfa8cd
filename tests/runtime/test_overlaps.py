"""Overlaps are found in every basis of a lattice, with a search of many images as the oracle."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandrt.crystal import cofactors
from bandrt.overlaps import MIN_DISTANCE, MIN_IMAGE_DISTANCE, overlap_of, reduced_lattice

DISTANCE_TOLERANCE = 1e-7
"""Å: rounding of vectors of some thousand Å."""
IMAGES = np.array(list(product(range(-8, 9), repeat=3)), dtype=np.float64)


def height(lattice: NDArray[np.float64]) -> float:
    faces, volume = cofactors(lattice)
    return float(abs(volume) / np.linalg.norm(faces, axis=1).max())


@st.composite
def unimodular(draw: st.DrawFn) -> NDArray[np.float64]:
    """A change of basis of determinant 1, as skewed as steps make it."""
    change = np.eye(3)
    for _ in range(draw(st.integers(0, 6))):
        onto, added = draw(st.permutations([0, 1, 2]))[:2]
        change[onto] += draw(st.integers(-4, 4)) * change[added]
    return change


@st.composite
def lattices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Cells that are nearly reduced, some of them flat or thin."""
    sides = [draw(st.floats(0.3, 12.0)) for _ in range(3)]
    shear = [draw(st.floats(-0.5, 0.5)) for _ in range(3)]
    return np.array([[1, 0, 0], [shear[0], 1, 0], [shear[1], shear[2], 1]]) * np.array(sides)


@settings(max_examples=200, deadline=None)
@given(lattices(), unimodular(), st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3), st.integers(0, 40))
def test_the_closest_pair_is_found_in_any_basis(
    lattice: NDArray[np.float64], change: NDArray[np.float64], direction: list[float], tenths: int
) -> None:
    vectors = IMAGES @ lattice
    own = np.sort(np.linalg.norm(vectors, axis=1))[1]
    step = np.array(direction) / max(float(np.linalg.norm(direction)), 1e-3) * tenths / 20.0  # up to 2 Å
    frac = np.array([[0.9, 0.05, 0.5], np.linalg.solve(lattice.T, step) + np.array([0.9, 0.05, 0.5])])
    pair = float(np.linalg.norm(vectors + (frac[1] - frac[0]) @ lattice, axis=1).min())
    skewed = change @ lattice
    found = overlap_of(skewed, height(skewed), np.array([29, 8], np.int32), np.linalg.solve(change.T, frac.T).T)
    if min(abs(own - MIN_IMAGE_DISTANCE), abs(pair - MIN_DISTANCE)) < DISTANCE_TOLERANCE:
        return
    if found is not None and abs(found.distance - found.allowed) < DISTANCE_TOLERANCE:
        return  # on the limit, where rounding decides
    if own < MIN_IMAGE_DISTANCE:
        assert found is not None
        assert found.distance == pytest.approx(own, abs=DISTANCE_TOLERANCE)
    elif pair < MIN_DISTANCE:
        assert found is not None
        assert found.distance == pytest.approx(pair, abs=DISTANCE_TOLERANCE)
        assert {found.first, found.second} == {0, 1}
    else:
        assert found is None


@settings(max_examples=100, deadline=None)
@given(lattices(), unimodular())
def test_a_reduced_lattice_is_the_same_lattice_with_its_shortest_vectors(
    lattice: NDArray[np.float64], change: NDArray[np.float64]
) -> None:
    skewed = change @ lattice
    reduced, basis = reduced_lattice(skewed)
    assert np.allclose(basis @ skewed, reduced, rtol=0.0, atol=DISTANCE_TOLERANCE)
    assert np.array_equal(basis, np.rint(basis))
    assert abs(round(float(np.linalg.det(basis)))) == 1
    lengths = np.linalg.norm(reduced, axis=1)
    assert (np.diff(lengths) >= 0.0).all()
    shortest = np.sort(np.linalg.norm(IMAGES @ reduced, axis=1))[1]
    assert lengths[0] == pytest.approx(shortest, abs=DISTANCE_TOLERANCE)


def test_a_pair_in_a_skewed_basis_of_a_face_centred_cell_is_found() -> None:
    lattice = np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]], dtype=np.float64)
    change = np.array([[1, 4, 3], [0, 1, 6], [0, 0, 1]], dtype=np.float64)
    frac = np.array([[0.0, 0.0, 0.0], [0.01, 0.02, -0.01]])
    for basis in (np.eye(3), change, change.T @ change):
        skewed = basis @ lattice
        found = overlap_of(skewed, height(skewed), np.array([29, 29], np.int32), np.linalg.solve(basis.T, frac.T).T)
        assert found is not None
        assert found.distance == pytest.approx(np.linalg.norm(frac[1] @ lattice), abs=DISTANCE_TOLERANCE)
