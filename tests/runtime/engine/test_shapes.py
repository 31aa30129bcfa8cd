"""Batches are padded to few shapes, each of which one optimisation profile holds, and lie in one block of memory."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandrt.batch import MAX_PADDED_ATOMS, Batcher, bucket_size
from bandrt.contract import GRAPH_INPUTS, INVERSION
from bandrt.engine.shapes import (
    ALIGNMENT,
    Layout,
    centred_of,
    choose_shape,
    holds,
    input_axes,
    mesh_of,
    most_crystals,
    padded_atoms,
    without_centres,
)
from bandrt.errors import EngineError
from bandrt.manifest import BandRule, Bucket, Manifest, Profile
from bandrt.recipe import GraphRecipe, MeshRecipe, Recipe

PROFILE = Profile(
    max_atoms=70,
    max_batch=48,
    buckets=(
        Bucket(1, 16, 1, 1),
        Bucket(1, 16, 2, 48),
        Bucket(17, 64, 1, 1),
        Bucket(17, 64, 2, 20),
        Bucket(65, 70, 1, 1),
    ),
)


class WithAtoms(NamedTuple):
    """Something of so many atoms."""

    atomic_numbers: range


def manifest(profile: Profile = PROFILE) -> Manifest:
    recipe = Recipe(graph=GraphRecipe(n_neighbors=12))
    return Manifest("paper", {}, "0" * 64, recipe, BandRule(), inputs=(), outputs=("band_energies",), profile=profile)


@given(st.integers(1, 70), st.data())
def test_every_batch_that_the_profile_allows_has_a_shape_within_its_bucket(atoms: int, data: st.DataObject) -> None:
    most = most_crystals(manifest(), atoms)
    assert most is not None
    crystals = data.draw(st.integers(1, most))
    shape = choose_shape(manifest(), crystals, atoms, 12)
    bucket = PROFILE.buckets[shape.profile]
    assert crystals <= shape.crystals <= bucket.max_batch
    assert bucket.min_batch <= shape.crystals < 2 * crystals or crystals == 1 == shape.crystals
    assert atoms <= shape.atoms <= bucket.max_atoms
    assert shape.atoms < 1.25 * atoms + 1
    assert shape.slots == 12


def test_there_are_few_shapes() -> None:
    shapes = {
        choose_shape(manifest(), n, atoms, 12)
        for atoms in range(1, 71)
        for n in range(1, (most_crystals(manifest(), atoms) or 0) + 1)
    }
    assert len(shapes) < 140


def test_a_full_batch_is_padded_by_no_crystal() -> None:
    wide = manifest(Profile(max_atoms=128, max_batch=256, buckets=(Bucket(1, 128, 1, 256),)))
    for atoms in range(1, 129):
        full = min(256, MAX_PADDED_ATOMS // bucket_size(atoms))
        assert choose_shape(wide, full, atoms, 12).crystals == full
    assert choose_shape(wide, 36, 56, 12)[1:3] == (36, 56)
    assert choose_shape(wide, 20, 56, 12)[1:3] == (32, 56)
    assert choose_shape(wide, 40, 56, 12)[1:3] == (40, 56)  # more than the pipeline puts together, as a caller may


def test_of_many_crystals_less_than_a_tenth_is_padding() -> None:
    """Sizes of crystals as in large collections, half of them of up to a dozen atoms."""
    wide = manifest(Profile(max_atoms=128, max_batch=256, buckets=(Bucket(1, 128, 1, 256),)))
    rng = np.random.default_rng(0)
    sizes = np.clip(np.exp(rng.normal(2.5, 0.8, 20_000)).astype(int), 1, 128).tolist()
    for batch_size in (64, 256):
        batcher: Batcher[int, WithAtoms] = Batcher(batch_size)
        batches = [batch for size in sizes for batch in batcher.add(size, WithAtoms(range(size)))] + batcher.flush()
        shapes = [choose_shape(wide, len(batch), max(size for size, _ in batch), 12) for batch in batches]
        assert sum(shape.padded_atoms for shape in shapes) < 1.1 * sum(sizes)
        assert len(set(shapes)) < 80


def test_padding_is_counted_as_batches_are_padded() -> None:
    assert padded_atoms(manifest(), [(3, False)] * 5) == 8 * 3
    assert padded_atoms(manifest(), [(17, False), (18, False), (20, False)]) == 4 * 20
    assert padded_atoms(manifest(), [(33, False)] * 25) == 20 * 40 + 8 * 40  # the profile holds 20
    assert padded_atoms(manifest(Profile()), [(3, False), (5, False)]) == 10  # no profile: what the largest needs
    centred = dataclasses.replace(manifest(), inputs=(*GRAPH_INPUTS, *INVERSION))
    assert padded_atoms(centred, [(3, True)] * 3 + [(3, False)] * 2) == 4 * 3 + 2 * 3


def test_an_engine_holds_what_is_rounded_up_beyond_its_largest_crystal() -> None:
    assert [holds(manifest(), size) for size in (8, 20, 80)] == [48, 20, 1]
    assert holds(manifest(Profile()), 80) is None


@pytest.mark.parametrize("size", [(49, 3, 12), (21, 17, 12), (2, 65, 12), (1, 71, 12), (1, 3, 13)])
def test_what_no_profile_takes_is_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(EngineError) as caught:
        choose_shape(manifest(), *size)
    assert caught.value.code == "batch-too-large"


def test_free_slots_are_rounded_up_to_multiples_of_the_recipe() -> None:
    profile = dataclasses.replace(PROFILE, max_slots=40)
    assert [choose_shape(manifest(profile), 1, 3, slots).slots for slots in (1, 12, 13, 24, 37, 40)] == [12, 12, 24, 24, 40, 40]
    with pytest.raises(EngineError):
        choose_shape(manifest(profile), 1, 3, 41)


def test_centres_of_inversion_are_used_of_all_crystals_or_none() -> None:
    using = dataclasses.replace(manifest(), inputs=(*GRAPH_INPUTS, *INVERSION))
    shapes = [choose_shape(using, 3, 3, 12, 0, centred) for centred in (0, 2, 3)]
    assert [(shape.crystals, shape.centred) for shape in shapes] == [(4, 0), (4, 0), (4, 4)]
    assert choose_shape(manifest(), 3, 3, 12, 0, 3).centred == 0
    axes = input_axes(using, shapes[2])
    assert (axes["inversion_partner"], axes["inversion_image"]) == ((4, 3), (4, 3, 3))
    batch = {"atom_mask": np.ones((3, 3)), "inversion_partner": np.ones((2, 3)), "inversion_image": np.ones((2, 3, 3))}
    assert centred_of(batch) == 2
    assert centred_of({}) == 0
    cut = without_centres(batch, shapes[1])
    assert {name: len(array) for name, array in cut.items()} == {"atom_mask": 3, "inversion_partner": 0, "inversion_image": 0}


def test_a_mesh_is_rounded_up_with_the_rest_of_the_shape() -> None:
    shapes = [choose_shape(manifest(), 2, 3, 12, mesh) for mesh in (0, 1, 63, 65)]
    assert [shape.mesh for shape in shapes] == [0, 1, 64, 80]
    recipe = Recipe(graph=GraphRecipe(rule="bonds"), mesh=MeshRecipe())
    fed = dataclasses.replace(
        manifest(),
        variant="hamiltonian",
        solver="graph",
        recipe=recipe,
        inputs=("neighbor_direction", "mesh_kpoints", "mesh_weights"),
    )
    assert input_axes(fed, shapes[2]) == {
        "neighbor_direction": (2, 3, 12, 3),
        "mesh_kpoints": (2, 64, 3),
        "mesh_weights": (2, 64),
    }
    assert [mesh_of({"mesh_weights": np.zeros((2, 7))}), mesh_of({"atom_mask": np.zeros((2, 3))})] == [7, 0]


def test_an_engine_without_profiles_sets_no_limit() -> None:
    assert most_crystals(manifest(Profile()), 500) is None
    assert most_crystals(manifest(), 71) == 0


def test_arrays_lie_side_by_side_and_are_padded_with_zeros() -> None:
    layout = Layout.of({"a": (2, 3), "b": (2, 2)}, {"a": "int32", "b": "bool", "c": "float32"})
    block = np.full(layout.n_bytes, 0xFF, np.uint8)
    layout.write(block, {"a": np.array([[1, 2]], np.int32), "b": np.ones((2, 2), bool)})
    np.testing.assert_array_equal(layout.view(block, "a"), [[1, 2, 0], [0, 0, 0]])
    assert layout.view(block, "b").all()
    assert layout.addresses(1024) == {"a": 1024, "b": 1024 + ALIGNMENT}
    assert layout.n_bytes == 2 * ALIGNMENT
    read = layout.read(block, 1)
    block[:] = 0
    np.testing.assert_array_equal(read["a"], [[1, 2, 0]])  # a copy
