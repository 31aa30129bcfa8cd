"""Pairs of atoms: as found by looking at every atom nearby, there and back, in any cell."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.features import featurize
from bandrt.graph.crystal_graph import crystal_graph
from bandrt.recipe import GraphRecipe
from bandrt_train.model.hamiltonian.atoms import atomic_data
from bandrt_train.model.hamiltonian.pairs import REACH, REACH_ANGSTROM, find_pairs
from tests.support.other_cells import CHANGES
from tests.support.small_hamiltonians import ALUMINIUM, GALLIUM_ARSENIDE, SALT, SILICON, TRICLINIC

CRYSTALS = {"Si": SILICON, "GaAs": GALLIUM_ARSENIDE, "NaCl": SALT, "Al": ALUMINIUM, "triclinic": TRICLINIC}


def by_looking_everywhere(crystal: Crystal, n_cells: int = 6) -> list[tuple[int, int, tuple[int, ...]]]:
    """Every pair within reach, with the cell of its second atom."""
    radius, places = atomic_data().radius[crystal.atomic_numbers], crystal.frac_coords @ crystal.lattice
    found = []
    for cell in itertools.product(range(-n_cells, n_cells + 1), repeat=3):
        for i, j in itertools.product(range(crystal.n_atoms), repeat=2):
            distance = np.linalg.norm(places[j] + np.array(cell) @ crystal.lattice - places[i])
            if 1e-3 < distance < min(REACH * (radius[i] + radius[j]), REACH_ANGSTROM):
                found.append((i, j, cell))
    return sorted(found)


@pytest.mark.parametrize("name", CRYSTALS)
def test_pairs_are_all_that_are_within_reach(name: str) -> None:
    pairs = find_pairs(CRYSTALS[name])
    cells = map(tuple, pairs.lattice_vectors[pairs.cell].tolist())
    assert sorted(zip(pairs.centre.tolist(), pairs.neighbor.tolist(), cells, strict=True)) == by_looking_everywhere(CRYSTALS[name])


def test_an_engine_is_fed_the_same_pairs(examples: Path) -> None:
    rng = np.random.default_rng(0)
    paths = sorted(examples.glob("*.cif"))[:30]
    assert len(paths) == 30
    for number, path in enumerate(paths):
        change = list(CHANGES.values())[number % len(CHANGES)]
        for crystal in (featurize(path).crystal, change(featurize(path).crystal, rng)):
            pairs, graph = find_pairs(crystal), crystal_graph(crystal, np.arange(crystal.n_atoms), GraphRecipe(rule="bonds"))
            place = graph.neighbor_mask.nonzero()
            assert graph.neighbor_direction is not None
            ours = np.column_stack([place[0], graph.neighbor_index[place], graph.neighbor_image[place]])
            theirs = np.column_stack([pairs.centre, pairs.neighbor, pairs.lattice_vectors[pairs.cell]])
            first, second = np.lexsort(ours.T), np.lexsort(theirs.T)
            np.testing.assert_array_equal(ours[first], theirs[second], err_msg=path.name)
            np.testing.assert_allclose(graph.neighbor_distance[place][first], pairs.distance[second], atol=1e-5)
            np.testing.assert_allclose(graph.neighbor_direction[place][first], pairs.direction[second], atol=1e-6)


def test_an_engine_counts_reach_as_training_does() -> None:
    assert (GraphRecipe().reach, GraphRecipe().cutoff) == (REACH, REACH_ANGSTROM)


@pytest.mark.parametrize("name", CRYSTALS)
def test_every_pair_has_its_way_back(name: str) -> None:
    pairs = find_pairs(CRYSTALS[name])
    back, vectors = pairs.way_back, pairs.lattice_vectors
    np.testing.assert_array_equal(pairs.centre[back], pairs.neighbor)
    np.testing.assert_array_equal(vectors[pairs.cell[back]], -vectors[pairs.cell])
    np.testing.assert_allclose(pairs.direction[back], -pairs.direction, atol=1e-12)
    np.testing.assert_array_equal(back[back], np.arange(len(back)))


@pytest.mark.parametrize("name", CRYSTALS)
def test_cells_come_with_their_opposites_around_the_own_one(name: str) -> None:
    vectors = find_pairs(CRYSTALS[name]).lattice_vectors
    np.testing.assert_array_equal(vectors, -vectors[::-1])
    np.testing.assert_array_equal(vectors[len(vectors) // 2], 0)


def test_places_outside_of_the_cell_are_the_same_places() -> None:
    moved = Crystal(
        TRICLINIC.lattice, TRICLINIC.atomic_numbers, TRICLINIC.frac_coords + np.array([[3, 0, -2], [0, 5, 0], [0, 0, 0]])
    )
    own, other = find_pairs(TRICLINIC), find_pairs(moved)
    np.testing.assert_allclose(np.sort(own.distance), np.sort(other.distance), atol=1e-9)


def test_hoppings_fall_to_zero_at_the_edge_of_reach_and_are_whole_inside() -> None:
    pairs = find_pairs(SALT)
    reach = np.minimum(REACH * pairs.bond, REACH_ANGSTROM)
    assert (pairs.taper[pairs.distance < 0.7 * reach] == 1.0).all()
    edge = pairs.taper[pairs.distance > 0.99 * reach]
    assert (edge < 0.01).all()


def test_an_atom_alone_in_a_large_cell_has_no_pairs_and_a_cell() -> None:
    pairs = find_pairs(Crystal(20.0 * np.eye(3), np.array([2], np.int32), np.zeros((1, 3))))
    assert len(pairs.centre) == 0
    assert pairs.lattice_vectors.tolist() == [[0, 0, 0]]
    assert pairs.n_bands == 9


@pytest.mark.parametrize(("crystal", "filled", "odd"), [(SILICON, 4, False), (ALUMINIUM, 5, True), (SALT, 8, False)])
def test_electrons_fill_bands_in_pairs(crystal: Crystal, filled: int, odd: bool) -> None:
    pairs = find_pairs(crystal)
    assert (pairs.n_filled, pairs.is_odd) == (filled, odd)
