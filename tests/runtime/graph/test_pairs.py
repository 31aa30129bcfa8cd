"""Pairs: all atoms within reach and no others, there and back, whatever the cell; and no more than memory holds."""

from __future__ import annotations

import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import featurize
from bandrt.graph.crystal_graph import CrystalGraph, crystal_graph
from bandrt.graph.pairs import MAX_PARTNERS, MAX_SLOTS, find_pairs
from bandrt.recipe import GraphRecipe, MeshRecipe, Recipe
from tests.support.other_cells import CHANGES

BONDS = GraphRecipe(rule="bonds")
RADII = {1: 0.31, 6: 0.73, 8: 0.66, 11: 1.66, 14: 1.11, 17: 1.02, 22: 1.60, 26: 1.42}
"""Å, of the elements below."""
DISTANCE_TOLERANCE = 1e-5
"""Å: distances are kept in float32."""
MOST_BYTES = 1_500_000_000
"""What a search may hold before it refuses."""

CRYSTALS = {
    "diamond": Crystal.checked(3.57 * (np.ones((3, 3)) - np.eye(3)) / 2, [6, 6], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "rock salt": Crystal.checked(5.64 * (np.ones((3, 3)) - np.eye(3)) / 2, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "one atom": Crystal.checked(2.87 * (np.ones((3, 3)) / 2 - np.eye(3)), [26], [[0, 0, 0]]),
    "triclinic": Crystal.checked(
        [[3.1, 0.2, -0.3], [0.7, 3.9, 0.4], [-0.5, 0.9, 4.6]],
        [22, 8, 11],
        [[0.02, 0.11, 0.05], [0.47, 0.41, 0.55], [0.61, 0.93, 0.71]],
    ),
    "skewed, places outside": Crystal.checked(
        [[2.5, 0, 0], [7.3, 3.1, 0], [-9.2, 4.4, 6.0]], [6, 14], [[0.1, 0.2, 0.3], [0.7, -3.4, 5.9]]
    ),
}

Edge = tuple[int, int, tuple[int, ...]]


def every_pair(crystal: Crystal, recipe: GraphRecipe, n_cells: int = 9) -> dict[Edge, float]:
    """Distances of all pairs within reach, by plain enumeration."""
    found = {}
    places = crystal.frac_coords @ crystal.lattice
    middle = np.rint(crystal.frac_coords).astype(int)
    for step in product(range(-n_cells, n_cells + 1), repeat=3):
        for i, j in product(range(crystal.n_atoms), repeat=2):
            cell = np.array(step) + middle[i] - middle[j]
            distance = float(np.linalg.norm(places[j] + cell @ crystal.lattice - places[i]))
            both = RADII[int(crystal.atomic_numbers[i])] + RADII[int(crystal.atomic_numbers[j])]
            if 1e-3 < distance < min(recipe.reach * both, recipe.cutoff):
                found[i, j, tuple(int(part) for part in cell)] = distance
    return found


def edges(graph: CrystalGraph) -> dict[Edge, float]:
    """The filled slots of a graph."""
    place = graph.neighbor_mask.nonzero()
    rows = zip(place[0], graph.neighbor_index[place], graph.neighbor_image[place], graph.neighbor_distance[place], strict=True)
    found = {(int(i), int(j), tuple(int(part) for part in image)): float(distance) for i, j, image, distance in rows}
    assert len(found) == graph.neighbor_mask.sum(), "a pair is there twice"
    return found


def graph_of(crystal: Crystal, recipe: GraphRecipe = BONDS) -> CrystalGraph:
    return crystal_graph(crystal, np.arange(crystal.n_atoms), recipe)


@pytest.mark.parametrize(
    "recipe", [BONDS, GraphRecipe(rule="bonds", reach=3.0, cutoff=4.0), GraphRecipe(rule="bonds", reach=1.1)], ids=repr
)
@pytest.mark.parametrize("name", CRYSTALS)
def test_pairs_are_all_that_are_within_reach(name: str, recipe: GraphRecipe) -> None:
    crystal = CRYSTALS[name]
    found, expected = edges(graph_of(crystal, recipe)), every_pair(crystal, recipe)
    assert found.keys() == expected.keys()
    for edge, distance in expected.items():
        assert found[edge] == pytest.approx(distance, abs=DISTANCE_TOLERANCE)


@pytest.mark.parametrize("name", CRYSTALS)
def test_slots_are_filled_nearest_first_with_unit_vectors_and_zeros_behind(name: str) -> None:
    crystal, graph = CRYSTALS[name], graph_of(CRYSTALS[name])
    assert graph.neighbor_direction is not None
    kinds = (graph.neighbor_index, graph.neighbor_distance, graph.neighbor_mask, graph.neighbor_image, graph.neighbor_direction)
    assert [one.dtype.name for one in kinds] == ["int32", "float32", "bool", "int32", "float32"]
    assert graph.neighbor_mask.shape[1] == graph.neighbor_mask.sum(axis=1).max(), "as many slots as one atom needs"
    for i, filled in enumerate(graph.neighbor_mask):
        n = int(filled.sum())
        assert filled[:n].all()
        assert (np.diff(graph.neighbor_distance[i, :n]) >= -1e-6).all()
        target = crystal.frac_coords[graph.neighbor_index[i, :n]] + graph.neighbor_image[i, :n]
        vectors = (target - crystal.frac_coords[i]) @ crystal.lattice
        np.testing.assert_allclose(
            graph.neighbor_direction[i, :n] * graph.neighbor_distance[i, :n, None], vectors, atol=DISTANCE_TOLERANCE
        )
        for array in kinds:
            assert not array[i, n:].any()


def test_every_pair_of_real_crystals_is_there_and_back(examples: Path) -> None:
    for path in sorted(examples.glob("*.cif"))[:30]:
        features = featurize(path, Recipe(graph=BONDS))
        pairs = find_pairs(features.crystal, BONDS)
        there = {
            (int(i), int(j), tuple(image)): (distance, tuple(direction))
            for i, j, image, distance, direction in zip(
                pairs.centre, pairs.neighbor, pairs.image.tolist(), pairs.distance.tolist(), pairs.direction.tolist(), strict=True
            )
        }
        assert len(there) == len(pairs.centre) == features.neighbor_mask.sum()
        for (i, j, image), (distance, direction) in there.items():
            back = there[j, i, tuple(-part for part in image)]
            assert back == (distance, tuple(-part for part in direction)), "to the last bit"


def test_a_pair_at_the_very_edge_is_there_and_back_or_not_at_all() -> None:
    crystal = CRYSTALS["triclinic"]
    for distance in sorted(set(find_pairs(crystal, BONDS).distance.tolist()))[:40]:
        for cutoff in (distance, float(np.nextafter(distance, 9.0))):
            pairs = find_pairs(crystal, GraphRecipe(rule="bonds", cutoff=cutoff, tie_tolerance=0.0))
            there = set(zip(pairs.centre.tolist(), pairs.neighbor.tolist(), map(tuple, pairs.image.tolist()), strict=True))
            assert {(j, i, tuple(-part for part in image)) for i, j, image in there} == there
            assert (distance in pairs.distance) == (cutoff > distance)


@pytest.mark.parametrize("change", CHANGES)
def test_pairs_do_not_depend_on_the_cell(change: str, examples: Path) -> None:
    for number, path in enumerate(sorted(examples.glob("*.cif"))[:30:3]):
        own = featurize(path, Recipe(graph=BONDS))
        other = featurize(CHANGES[change](own.crystal, np.random.default_rng(number)), Recipe(graph=BONDS))
        for ours, theirs in ((own, other), (other, own)):
            distances = ours.neighbor_distance[ours.neighbor_mask]
            edge = 1e-4  # Å: the other cell is symmetrised anew
            reach = np.minimum(2.3 * 2 * 2.6, 8.0)
            assert len(distances) == theirs.neighbor_mask.sum(), path.name
            np.testing.assert_allclose(np.sort(distances), np.sort(theirs.neighbor_distance[theirs.neighbor_mask]), atol=edge)
            assert distances.max() < reach


def test_an_atom_alone_has_one_empty_slot() -> None:
    graph = graph_of(Crystal.checked(20.0 * np.eye(3), [1], [[0, 0, 0]]))
    assert graph.neighbor_mask.tolist() == [[False]]
    assert graph.neighbor_direction is not None
    assert graph.neighbor_direction.tolist() == [[[0.0, 0.0, 0.0]]]


def test_the_number_of_neighbours_is_no_limit() -> None:
    few, many = (graph_of(CRYSTALS["diamond"], GraphRecipe(rule="bonds", n_neighbors=n)) for n in (2, 500))
    np.testing.assert_array_equal(few.neighbor_index, many.neighbor_index)
    assert few.neighbor_index.shape[1] > 12


def test_other_recipes_have_no_directions_and_no_mesh() -> None:
    features = featurize(CRYSTALS["diamond"])
    assert features.neighbor_direction is None
    assert (features.mesh_kpoints.shape, features.mesh_weights.shape) == ((0, 3), (0,))
    with_mesh = featurize(CRYSTALS["diamond"], Recipe(mesh=MeshRecipe(most=2)))
    assert with_mesh.neighbor_direction is None
    assert with_mesh.mesh_kpoints.shape == (8, 3) or len(with_mesh.mesh_kpoints) == len(with_mesh.mesh_weights) > 1


def cluster(n_atoms: int, radius: float) -> Crystal:
    """Atoms that are all near each other, in a box so large that they are few on average."""
    places = np.random.default_rng(0).normal(size=(n_atoms, 3))
    places *= radius * np.random.default_rng(1).random((n_atoms, 1)) ** (1 / 3) / np.linalg.norm(places, axis=1, keepdims=True)
    return Crystal(200.0 * np.eye(3), np.full(n_atoms, 55, np.int32), places / 200.0 + 0.5)


@pytest.mark.parametrize(
    ("crystal", "recipe", "allowed"),
    [
        (CRYSTALS["rock salt"], GraphRecipe(rule="bonds", reach=10.0, cutoff=30.0), MAX_PARTNERS),
        (cluster(MAX_PARTNERS + 2, 3.0), BONDS, MAX_SLOTS // (MAX_PARTNERS + 2)),
    ],
    ids=["far", "crowded"],
)
def test_more_pairs_than_memory_holds_are_refused_before_they_are_held(crystal: Crystal, recipe: GraphRecipe, allowed: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=f"at most {allowed} in a cell of {crystal.n_atoms} atoms") as caught:
            graph_of(crystal, recipe)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert (caught.value.code, caught.value.stage) == ("too-many-pairs", "graph")


def test_a_flat_lattice_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        graph_of(Crystal(np.array([[1.0, 0, 0], [0, 1.0, 0], [300.3, 500.2, 0.6]]), np.array([55], np.int32), np.zeros((1, 3))))
    assert caught.value.code == "lattice-too-skewed"
