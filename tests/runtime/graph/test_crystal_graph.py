"""The crystal graph: exact neighbours, and a choice among equally far ones that no convention of the input changes."""

from __future__ import annotations

import csv
import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.graph.crystal_graph import CrystalGraph, crystal_graph, turned_around
from bandrt.recipe import GraphRecipe

DISTANCE_TOLERANCE = 1e-5
"""Å: distances are kept in float32, 8 Å has a spacing of 5e-7."""
STATE_TOLERANCE = 1e-5
"""Of states of order one after four rounds of messages in float64 over float32 distances."""


def cubic(a: float, numbers: list[int], coords: list[list[float]]) -> Crystal:
    return Crystal.checked(a * np.eye(3), numbers, coords)


FACES = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
TIED = {  # crystals whose 12th and 13th neighbours are equally far
    "fcc copper": Crystal.checked(3.61 * (np.ones((3, 3)) - np.eye(3)) / 2, [29], [[0, 0, 0]]),
    "bcc iron": Crystal.checked(2.87 * (np.ones((3, 3)) / 2 - np.eye(3)), [26], [[0, 0, 0]]),
    "diamond": Crystal.checked(3.57 * (np.ones((3, 3)) - np.eye(3)) / 2, [6, 6], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "rock salt": Crystal.checked(5.64 * (np.ones((3, 3)) - np.eye(3)) / 2, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "perovskite": cubic(3.905, [38, 22, 8, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], *FACES]),
    "antiperovskite Fe4N": cubic(3.80, [26, 26, 26, 26, 7], [[0, 0, 0], *FACES, [0.5, 0.5, 0.5]]),
    "bcc superstructure Fe3Al": Crystal.checked(
        5.79 * (np.ones((3, 3)) - np.eye(3)) / 2, [13, 26, 26, 26], [[0, 0, 0], [0.25] * 3, [0.5] * 3, [0.75] * 3]
    ),
    "half-Heusler": Crystal.checked(5.90 * (np.ones((3, 3)) - np.eye(3)) / 2, [22, 28, 50], [[0, 0, 0], [0.25] * 3, [0.5] * 3]),
    "Al3Ti": Crystal.checked(
        [[3.84, 0, 0], [0, 3.84, 0], [-1.92, -1.92, 4.29]],
        [22, 13, 13, 13],
        [[0, 0, 0], [0.5, 0.5, 0], [0.25, 0.75, 0.5], [0.75, 0.25, 0.5]],
    ),
    "layered tetragonal": Crystal.checked(
        np.diag([3.0, 3.0, 9.0]), [22, 22, 22, 8], [[0, 0, 0], [0.5, 0.5, 1 / 6], [0, 0, 1 / 3], [0.5, 0.5, 0.6]]
    ),
}


def every_atom_apart(crystal: Crystal) -> NDArray[np.int64]:
    """Orbits when no symmetry is known."""
    return np.arange(crystal.n_atoms)


def brute_force(crystal: Crystal, centre: int, reach: int, cutoff: float) -> NDArray[np.float64]:
    """Sorted distances from one atom to all others within the cutoff, by plain enumeration."""
    steps = np.arange(-reach, reach + 1)
    images = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    vectors = (crystal.frac_coords[:, None] + images - crystal.frac_coords[centre]) @ crystal.lattice
    distances = np.sort(np.linalg.norm(vectors, axis=-1).ravel())[1:]
    return distances[distances <= cutoff]


def model_states(crystal: Crystal, graph: CrystalGraph) -> NDArray[np.float64]:
    """What a message-passing model could see: states of the atoms after four rounds, (n_atoms, 8)."""
    random = np.random.default_rng(0)
    species, own, message, radial = random.normal(size=(119, 8)), *(random.normal(size=(3, 8, 8)) / 3)
    states = species[crystal.atomic_numbers]
    distance = np.asarray(graph.neighbor_distance, dtype=np.float64)
    edges = np.cos(distance[..., None] * np.arange(1, 9) / 2) @ radial  # (n, d, 8)
    for _ in range(4):
        messages = np.tanh(edges + states[graph.neighbor_index] @ message) * graph.neighbor_mask[..., None]
        states = np.tanh(states @ own + messages.sum(axis=1) / 4)
    return states


def rotation(seed: int) -> NDArray[np.float64]:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q)


def unimodular(seed: int) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    matrix = np.eye(3, dtype=np.int64)
    for _ in range(3):
        i, j = random.permutation(3)[:2]
        matrix[i] += random.integers(-2, 3) * matrix[j]
    return matrix


def check_vectors(crystal: Crystal, graph: CrystalGraph) -> None:
    """Index, image and distance must say the same, slots be sorted, and no neighbour be named twice."""
    for i in range(crystal.n_atoms):
        mask = graph.neighbor_mask[i]
        j, image = graph.neighbor_index[i][mask], graph.neighbor_image[i][mask]
        vectors = (crystal.frac_coords[j] + image - crystal.frac_coords[i]) @ crystal.lattice
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), graph.neighbor_distance[i][mask], atol=DISTANCE_TOLERANCE)
        assert (np.diff(graph.neighbor_distance[i][mask]) >= 0).all()
        assert len({(int(a), *map(int, b)) for a, b in zip(j, image, strict=True)}) == mask.sum()


@pytest.mark.parametrize("name", TIED)
def test_neighbours_are_the_nearest_by_enumeration(name: str) -> None:
    crystal = TIED[name]
    graph = crystal_graph(crystal, every_atom_apart(crystal))
    assert graph.neighbor_mask.all()
    check_vectors(crystal, graph)
    for i in range(crystal.n_atoms):
        np.testing.assert_allclose(graph.neighbor_distance[i], brute_force(crystal, i, 6, 8.0)[:12], atol=DISTANCE_TOLERANCE)


def test_a_skewed_cell_with_a_short_vector_is_searched_far_enough() -> None:
    crystal = Crystal.checked([[1.5, 0, 0], [7.3, 3.1, 0], [-9.2, 4.4, 6.0]], [6, 14], [[0.1, 0.2, 0.3], [0.7, -3.4, 5.9]])
    for recipe in (GraphRecipe(), GraphRecipe(n_neighbors=60), GraphRecipe(n_neighbors=60, cutoff=5.0)):
        graph = crystal_graph(crystal, every_atom_apart(crystal), recipe)
        check_vectors(crystal, graph)
        for i in range(2):
            expected = brute_force(crystal, i, 14, recipe.cutoff)[: recipe.n_neighbors]
            np.testing.assert_allclose(graph.neighbor_distance[i][graph.neighbor_mask[i]], expected, atol=DISTANCE_TOLERANCE)


def test_a_large_cell_is_searched_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    sites = np.array(np.meshgrid(*[np.arange(4)] * 3)).reshape(3, -1).T / 4
    crystal = Crystal.checked(12.0 * np.eye(3), random.integers(1, 90, 64), sites + random.uniform(-0.05, 0.05, sites.shape))
    whole = crystal_graph(crystal, every_atom_apart(crystal))
    monkeypatch.setattr("bandrt.graph.neighbors.MAX_DISTANCES", 7 * 64 * 27)
    parts = crystal_graph(crystal, every_atom_apart(crystal))
    np.testing.assert_array_equal(whole.neighbor_index, parts.neighbor_index)
    np.testing.assert_array_equal(whole.neighbor_image, parts.neighbor_image)
    check_vectors(crystal, parts)


def test_empty_slots_follow_the_filled_ones_and_hold_zeros() -> None:
    crystal = Crystal.checked(np.diag([4.0, 30.0, 30.0]), [3], [[0.4, 2.2, -0.1]])
    graph = crystal_graph(crystal, every_atom_apart(crystal))
    np.testing.assert_allclose(graph.neighbor_distance[0], [4, 4, 8, 8] + [0] * 8, atol=DISTANCE_TOLERANCE)
    np.testing.assert_array_equal(graph.neighbor_mask[0], [True] * 4 + [False] * 8)
    assert not graph.neighbor_image[0, 4:].any()
    assert not graph.neighbor_index[0, 4:].any()
    check_vectors(crystal, graph)


def test_an_isolated_atom_has_no_neighbour() -> None:
    crystal = Crystal.checked(np.diag([20.0, 30.0, 30.0]), [3, 3], [[0, 0, 0], [0.1, 0, 0]])
    alone = Crystal.checked(np.diag([20.0, 30.0, 30.0]), [3], [[0, 0, 0]])
    assert crystal_graph(crystal, every_atom_apart(crystal)).neighbor_mask.sum() == 2
    graph = crystal_graph(alone, every_atom_apart(alone))
    assert graph.neighbor_mask.shape == (1, 12)
    assert not graph.neighbor_mask.any()
    assert graph.neighbor_image.shape == (1, 12, 3)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [0, 2, 1]])
def test_an_isolated_atom_beside_a_dimer_has_no_neighbour(order: list[int]) -> None:
    coords = np.array([[0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0.5]])[order]
    crystal = Crystal.checked(np.diag([25.0, 30.0, 30.0]), [3, 3, 3], coords)
    graph = crystal_graph(crystal, every_atom_apart(crystal))
    assert graph.neighbor_mask.sum(axis=1).tolist() == [(1, 1, 0)[atom] for atom in order]
    check_vectors(crystal, graph)


def test_arrays_have_the_types_of_the_contract() -> None:
    for crystal in (TIED["perovskite"], Crystal.checked(np.diag([20.0, 30.0, 30.0]), [3], [[0, 0, 0]])):
        graph = crystal_graph(crystal, every_atom_apart(crystal))
        kinds = [a.dtype for a in (graph.neighbor_index, graph.neighbor_distance, graph.neighbor_mask, graph.neighbor_image)]
        assert kinds == [np.int32, np.float32, np.bool_, np.int32]


def test_a_flat_lattice_is_refused() -> None:
    flat = Crystal(
        [[1.0, 0, 0], [0, 1.0, 0], [300.0, 500.0, 0.6]] * np.ones((3, 3)), np.array([1], dtype=np.int32), np.zeros((1, 3))
    )
    with pytest.raises(InputError, match=r"more than .* lattice images") as caught:
        crystal_graph(flat, every_atom_apart(flat))
    assert caught.value.code == "lattice-too-skewed"
    assert caught.value.stage == "graph"


def test_without_self_images_no_atom_is_its_own_neighbour() -> None:
    crystal = TIED["rock salt"]
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(self_images=False))
    assert (graph.neighbor_index != np.arange(2)[:, None]).all()
    assert graph.neighbor_mask.all()
    check_vectors(crystal, graph)
    alone = TIED["fcc copper"]
    assert not crystal_graph(alone, every_atom_apart(alone), GraphRecipe(self_images=False)).neighbor_mask.any()


def test_complete_shells_leave_out_a_shell_that_does_not_fit() -> None:
    crystal = TIED["bcc iron"]  # shells of 8, 6, 12 neighbours
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(tie_rule="complete_shells"))
    assert graph.neighbor_mask.sum() == 8
    np.testing.assert_array_equal(graph.neighbor_mask[0], np.arange(12) < 8)
    assert crystal_graph(
        crystal, every_atom_apart(crystal), GraphRecipe(n_neighbors=14, tie_rule="complete_shells")
    ).neighbor_mask.all()


def test_complete_shells_never_leave_an_atom_without_neighbours() -> None:
    crystal = TIED["fcc copper"]  # the first shell holds 12
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(n_neighbors=7, tie_rule="complete_shells"))
    assert graph.neighbor_mask.sum() == 7


def test_a_tie_is_settled_by_the_species_first() -> None:
    # eight equally far neighbours of two species at the corners of a cube, in either order of atoms
    for numbers in ([55, 9, 17], [55, 17, 9]):
        crystal = Crystal.checked(
            [[4, 4, 0], [4, -4, 0], [0, 0, 4]], [55, 55, *numbers[1:]], [[0, 0.5, 0.5], [0.5, 0, 0.5], [0, 0, 0], [0.5, 0.5, 0]]
        )
        graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(n_neighbors=4))
        assert set(crystal.atomic_numbers[graph.neighbor_index[0]]) == {9}


def test_without_the_rule_the_states_of_a_model_would_depend_on_the_order_of_atoms() -> None:
    crystal = TIED["antiperovskite Fe4N"]
    everything_alike = np.zeros(crystal.n_atoms, dtype=np.int64)  # a lie that switches the rule off
    order = np.array([1, 2, 3, 0, 4])
    other = Crystal(crystal.lattice, crystal.atomic_numbers[order], crystal.frac_coords[order])
    states = model_states(crystal, crystal_graph(crystal, everything_alike))
    assert np.abs(states[order] - model_states(other, crystal_graph(other, everything_alike))).max() > 1e-2


RECIPES = st.builds(
    GraphRecipe,
    n_neighbors=st.sampled_from([3, 4, 5, 7, 9, 10, 12, 16, 20]),
    tie_rule=st.sampled_from(["site_invariant", "complete_shells"]),
    self_images=st.booleans(),
    cutoff=st.sampled_from([3.3, 8.0]),
)


LARGEST_SHEAR = 4
"""Cells sheared further, or whose reciprocal cells are, are refused, not searched (`lattice-too-skewed`)."""


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(TIED)), st.integers(0, 2**32 - 1), RECIPES)
def test_a_model_sees_the_same_for_any_order_cell_origin_and_orientation(name: str, seed: int, recipe: GraphRecipe) -> None:
    crystal = TIED[name]
    random = np.random.default_rng(seed)
    order, change = random.permutation(crystal.n_atoms), unimodular(seed)
    assume(max(np.abs(change).max(), np.abs(np.linalg.inv(change)).max()) <= LARGEST_SHEAR + 0.5)
    coords = (crystal.frac_coords + random.uniform(size=3)) @ np.linalg.inv(change) + random.integers(-2, 3, (crystal.n_atoms, 3))
    other = Crystal(change @ crystal.lattice @ rotation(seed), crystal.atomic_numbers[order], coords[order])
    graph = crystal_graph(other, every_atom_apart(other), recipe)
    check_vectors(other, graph)
    states = model_states(crystal, crystal_graph(crystal, every_atom_apart(crystal), recipe))
    np.testing.assert_allclose(model_states(other, graph), states[order], atol=STATE_TOLERANCE)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(TIED)), st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 2)] * 3))
def test_a_model_sees_the_same_in_a_supercell(name: str, seed: int, repeats: tuple[int, int, int]) -> None:
    crystal = TIED[name]
    shifts = np.array(np.meshgrid(*map(np.arange, repeats))).reshape(3, -1).T
    coords = ((crystal.frac_coords[:, None] + shifts) / repeats).reshape(-1, 3)
    numbers = crystal.atomic_numbers.repeat(len(shifts))
    order = np.random.default_rng(seed).permutation(len(numbers))
    large = Crystal(np.array(repeats)[:, None] * crystal.lattice, numbers[order], coords[order])
    states = model_states(crystal, crystal_graph(crystal, every_atom_apart(crystal))).repeat(len(shifts), axis=0)
    np.testing.assert_allclose(
        model_states(large, crystal_graph(large, every_atom_apart(large))), states[order], atol=STATE_TOLERANCE
    )


def test_known_orbits_change_nothing_that_a_model_sees() -> None:
    crystal, orbits = TIED["antiperovskite Fe4N"], np.array([0, 1, 1, 1, 2])
    graphs = [crystal_graph(crystal, labels) for labels in (orbits, every_atom_apart(crystal))]
    np.testing.assert_allclose(*(model_states(crystal, graph) for graph in graphs), atol=STATE_TOLERANCE)


def reference_crystals(table: Path, n: int, stride: int) -> list[tuple[str, str]]:
    with gzip.open(table, "rt", encoding="utf-8") as lines:
        return [(row["material_id"], row["cif"]) for row in islice(csv.DictReader(lines), 0, n * stride, stride)]


def assert_distances_agree(structure: Any, name: str) -> None:
    """Compare with pymatgen's neighbour list of the same structure."""
    crystal = Crystal.checked(structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)
    # the smaller tolerance makes neighbours that are only nearly equally far strictly the nearest
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(tie_tolerance=1e-6))
    check_vectors(crystal, graph)
    centre, _, _, distance = structure.get_neighbor_list(8.0)
    for i in range(crystal.n_atoms):
        expected = np.sort(distance[centre == i])[:12]
        found = graph.neighbor_distance[i][graph.neighbor_mask[i]]
        np.testing.assert_allclose(found, expected, atol=DISTANCE_TOLERANCE, err_msg=f"{name}, atom {i}")


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
def test_distances_agree_with_pymatgen_on_the_example_crystals(examples: Path) -> None:
    structure = pytest.importorskip("pymatgen.core").Structure
    paths = sorted(examples.glob("*.cif"))
    assert len(paths) > 20
    for path in paths:
        assert_distances_agree(structure.from_file(path), path.name)


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
def test_distances_agree_with_pymatgen_on_reference_crystals(shared: Path) -> None:
    structure = pytest.importorskip("pymatgen.core").Structure
    for name, cif in reference_crystals(shared / "data" / "structures.csv.gz", 220, 7):
        assert_distances_agree(structure.from_str(cif, fmt="cif"), name)


def edges(graph: CrystalGraph) -> list[tuple[int, int, float, tuple[int, ...]]]:
    """Every edge: who speaks, who listens, how far, and the image of the speaker."""
    listener, slot = graph.neighbor_mask.nonzero()
    place = listener, slot
    return sorted(
        (int(j), int(i), float(d), tuple(int(t) for t in image))
        for i, j, d, image in zip(
            listener, graph.neighbor_index[place], graph.neighbor_distance[place], graph.neighbor_image[place], strict=True
        )
    )


@pytest.mark.parametrize("name", TIED)
def test_edges_from_the_centre_are_those_to_it_turned_around(name: str) -> None:
    crystal = TIED[name]
    to_center = crystal_graph(crystal, every_atom_apart(crystal))
    from_center = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(direction="from_center"))
    turned = [(i, j, d, tuple(-t for t in image)) for j, i, d, image in edges(to_center)]
    assert edges(from_center) == sorted(turned)
    assert edges(turned_around(from_center)) == edges(to_center)


def test_edges_from_the_centre_fill_slots_as_needed_nearest_first() -> None:
    crystal = TIED["perovskite"]
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(direction="from_center"))
    counts = graph.neighbor_mask.sum(axis=1)
    assert counts.sum() == 12 * crystal.n_atoms
    assert counts.min() < 12 < counts.max() == graph.neighbor_index.shape[1]
    for distance, count in zip(graph.neighbor_distance, counts, strict=True):
        assert (np.diff(distance[:count]) >= 0).all()
        assert (distance[count:] == 0).all()
    assert graph.neighbor_index.dtype == graph.neighbor_image.dtype == np.int32
    assert graph.neighbor_distance.dtype == np.float32


def test_lone_atoms_have_slots_in_either_direction() -> None:
    crystal = cubic(20.0, [2, 2], [[0, 0, 0], [0.5, 0.5, 0.5]])
    graph = crystal_graph(crystal, every_atom_apart(crystal), GraphRecipe(direction="from_center"))
    assert graph.neighbor_mask.shape[1] >= 1
    assert not graph.neighbor_mask.any()
    assert turned_around(graph).neighbor_mask.shape == (2, 1)
