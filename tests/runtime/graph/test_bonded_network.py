"""The bonded network: what holds a crystal together, whatever cell it comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandrt.crystal import Crystal
from bandrt.features import featurize_crystals
from bandrt.graph.bonded_network import network_warnings
from bandrt.graph.crystal_graph import crystal_graph
from bandrt.outcomes import only

HEXAGONAL = np.array([[1.0, 0.0, 0.0], [-0.5, 3**0.5 / 2, 0.0], [0.0, 0.0, 1.0]])
THIRDS = [[1 / 3, 2 / 3], [2 / 3, 1 / 3]]


def hexagonal(a: float, c: float, numbers: list[int], sites: list[list[float]]) -> Crystal:
    return Crystal.checked(HEXAGONAL * [[a], [a], [c]], numbers, sites)


def box(side: float, numbers: list[int], cartesian: list[list[float]]) -> Crystal:
    return Crystal.checked(side * np.eye(3), numbers, np.array(cartesian) / side)


def fcc(a: float, numbers: list[int], sites: list[list[float]]) -> Crystal:
    return Crystal.checked(a * (np.ones((3, 3)) - np.eye(3)) / 2, numbers, sites)


CORNER, CENTRE, QUARTER = [0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
MOS2 = [[*THIRDS[0], 0.25], [*THIRDS[1], 0.371], [*THIRDS[1], 0.129]]
CRYSTALS = {
    "copper": (fcc(3.61, [29], [CORNER]), ()),
    "caesium": (Crystal.checked(6.14 * (np.ones((3, 3)) / 2 - np.eye(3)), [55], [CORNER]), ()),
    "lead": (fcc(4.95, [82], [CORNER]), ()),
    "diamond": (fcc(3.57, [6, 6], [CORNER, QUARTER]), ()),
    "rock salt": (fcc(5.64, [11, 17], [CORNER, CENTRE]), ()),
    "lithium hydride": (fcc(4.08, [3, 1], [CORNER, CENTRE]), ()),
    "caesium iodide": (Crystal.checked(4.57 * np.eye(3), [55, 53], [CORNER, CENTRE]), ()),
    "perovskite": (
        Crystal.checked(3.9 * np.eye(3), [38, 22, 8, 8, 8], [CORNER, CENTRE, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
        (),
    ),
    "graphene": (hexagonal(2.46, 18.0, [6, 6], [[*place, 0.5] for place in THIRDS]), ("layered",)),
    "boron nitride in layers": (
        hexagonal(2.5, 6.66, [5, 7, 7, 5], [[*place, z] for z in (0.25, 0.75) for place in THIRDS]),
        ("layered",),
    ),
    "one layer of molybdenum disulphide": (
        hexagonal(3.16, 25.0, [42, 16, 16], [[*place, 0.5 + (z - 0.25) * 12.3 / 25.0] for *place, z in MOS2]),
        ("layered",),
    ),
    "molybdenum disulphide": (
        hexagonal(3.16, 12.3, [42, 16, 16] * 2, [*MOS2, *[[*place[:2][::-1], place[2] + 0.5] for place in MOS2]]),
        ("layered",),
    ),
    "a slab of three layers of copper": (
        Crystal.checked(np.diag([2.55, 2.55, 20.0]), [29] * 3, [[0, 0, 0.1], [0.5, 0.5, 0.19], [0, 0, 0.28]]),
        ("layered",),
    ),
    "a carbon chain": (Crystal.checked(np.diag([12.0, 12.0, 2.56]), [6, 6], [CORNER, [0, 0, 0.5]]), ("chain",)),
    "hydrogen in a box": (box(10.0, [1, 1], [[0, 0, 0], [0, 0, 0.74]]), ("molecular",)),
    "water in a box": (box(9.0, [8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]), ("molecular",)),
    "helium in a box": (box(40.0, [2], [CORNER]), ("isolated-atom:He",)),
    "solid argon": (fcc(5.31, [18], [CORNER]), ("isolated-atom:Ar",)),
    "hydrogen too close": (box(5.0, [1, 1], [[0, 0, 0], [0, 0, 0.35]]), ("molecular", "close-atoms:H-H")),
    "copper pressed too hard": (fcc(1.9, [29], [CORNER]), ("close-atoms:Cu-Cu",)),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_what_bonds_hold_together_is_told(name: str) -> None:
    crystal, expected = CRYSTALS[name]
    features = only(featurize_crystals([crystal], names=[name]))
    assert network_warnings([features.crystal], [features]) == [expected]


def test_each_of_many_crystals_is_told_what_it_is_told_alone() -> None:
    found = [only(featurize_crystals([crystal], names=[name])) for name, (crystal, _) in CRYSTALS.items()] * 3
    expected = [codes for _, codes in CRYSTALS.values()] * 3
    assert network_warnings([features.crystal for features in found], found) == expected
    assert network_warnings([], []) == []


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CRYSTALS)), st.integers(0, 2**32 - 1))
def test_it_does_not_depend_on_the_cell(name: str, seed: int) -> None:
    """A supercell in another basis, its atoms shuffled and moved by whole cells: indices, images and labels all differ."""
    crystal, expected = CRYSTALS[name]
    random = np.random.default_rng(seed)
    basis = np.array([[2, 0, 0], [1, 1, 0], [0, -1, 1]])
    coords = (crystal.frac_coords[:, None] + [[0, 0, 0], [1, 0, 0]]).reshape(-1, 3) @ np.linalg.inv(basis)
    order = random.permutation(len(coords))
    coords = coords[order] + random.integers(-2, 3, coords.shape)
    larger = Crystal.checked(basis @ crystal.lattice, crystal.atomic_numbers.repeat(2)[order], coords)
    graph = crystal_graph(larger, np.arange(larger.n_atoms))
    assert network_warnings([larger], [graph]) == [expected]
