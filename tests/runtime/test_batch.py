"""Batches: padding that says it is padding, and a bounded, repeatable grouping by size."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandrt.batch import Batcher, alike, bucket_size, pad
from bandrt.contract import GRAPH_INPUTS, INPUT_NAMES, INVERSION
from bandrt.crystal import Crystal
from bandrt.engine import read_manifest
from bandrt.features import Features
from bandrt.kpaths.path import KPath

WORST_PADDING = 0.2
"""Share of a row that may be padding."""


def made_up(
    n_atoms: int, *, n_slots: int = 12, n_kpoints: int = 5, n_mesh: int = 0, directed: bool = False, centred: bool = False
) -> Features:
    """Features of the right shapes with no zero in them, so that padding is told from content."""
    random = np.random.default_rng(n_atoms)
    numbers = random.integers(1, 90, n_atoms).astype(np.int32)
    frac_kpoints = random.uniform(0.1, 0.5, (n_kpoints, 3))
    return Features(
        crystal=Crystal(5.0 * np.eye(3), numbers, random.uniform(size=(n_atoms, 3))),
        space_group=1,
        space_group_symbol="P1",
        atomic_numbers=numbers,
        neighbor_index=random.integers(1, n_atoms + 1, (n_atoms, n_slots)).astype(np.int32),
        neighbor_distance=random.uniform(1, 5, (n_atoms, n_slots)).astype(np.float32),
        neighbor_mask=np.ones((n_atoms, n_slots), dtype=np.bool_),
        neighbor_image=random.integers(1, 3, (n_atoms, n_slots, 3)).astype(np.int32),
        atom_mask=np.ones(n_atoms, dtype=np.bool_),
        kpath=KPath("latimer_munro", frac_kpoints, np.arange(n_kpoints) / 10, ("Γ", "X"), np.array([0, n_kpoints - 1])),
        kpoints=frac_kpoints.astype(np.float32),
        neighbor_direction=random.uniform(0.1, 1, (n_atoms, n_slots, 3)).astype(np.float32) if directed else None,
        mesh_kpoints=random.uniform(0.1, 0.5, (n_mesh, 3)).astype(np.float32),
        mesh_weights=random.uniform(0.1, 0.5, n_mesh).astype(np.float32),
        inversion_partner=random.permutation(n_atoms).astype(np.int32) if centred else None,
        inversion_image=random.integers(1, 3, (n_atoms, 3)).astype(np.int32) if centred else None,
    )


def test_a_batch_has_the_shapes_and_types_of_the_graph_contract() -> None:
    batch = pad([made_up(3), made_up(7)])
    assert tuple(batch) == (*GRAPH_INPUTS, "mesh_kpoints", "mesh_weights", *INVERSION)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "atomic_numbers": ((2, 7), "int32"),
        "neighbor_index": ((2, 7, 12), "int32"),
        "neighbor_distance": ((2, 7, 12), "float32"),
        "neighbor_mask": ((2, 7, 12), "bool"),
        "atom_mask": ((2, 7), "bool"),
        "neighbor_image": ((2, 7, 12, 3), "int32"),
        "kpoints": ((2, 5, 3), "float32"),
        "mesh_kpoints": ((2, 0, 3), "float32"),
        "mesh_weights": ((2, 0), "float32"),
        "inversion_partner": ((0, 7), "int32"),
        "inversion_image": ((0, 7, 3), "int32"),
    }


def test_every_crystal_comes_back_out_of_its_row() -> None:
    crystals = [made_up(4), made_up(2, n_slots=3), made_up(9)]
    batch = pad(crystals, n_atoms=10, n_slots=14, batch_size=5)
    for row, one in enumerate(crystals):
        n, d = one.neighbor_index.shape
        np.testing.assert_array_equal(batch["atom_mask"][row], np.arange(10) < n)
        np.testing.assert_array_equal(batch["kpoints"][row], one.kpoints)
        for name in ("neighbor_index", "neighbor_distance", "neighbor_mask", "neighbor_image"):
            np.testing.assert_array_equal(batch[name][row, :n, :d], getattr(one, name))
        np.testing.assert_array_equal(batch["atomic_numbers"][row, :n], one.atomic_numbers)


def test_padding_is_zero_in_atoms_slots_and_rows() -> None:
    batch = pad([made_up(4), made_up(2, n_slots=3)], n_atoms=6, n_slots=14, batch_size=4)
    for name, array in batch.items():
        assert not array[2:].any(), name
        if name != "kpoints" and name not in INVERSION:
            assert not array[0, 4:].any(), name
            assert not array[1, 2:].any(), name
        if name.startswith("neighbor"):
            assert not array[0, :, 12:].any(), name
            assert not array[1, :, 3:].any(), name


def test_directions_and_meshes_are_padded_with_zeros() -> None:
    crystals = [made_up(4, n_mesh=3, directed=True), made_up(2, n_slots=20, n_mesh=9, directed=True)]
    batch = pad(crystals, n_mesh=11, batch_size=3)
    assert tuple(batch) == INPUT_NAMES
    assert batch["neighbor_direction"].shape == (3, 4, 20, 3)
    assert (batch["mesh_kpoints"].shape, batch["mesh_weights"].shape) == ((3, 11, 3), (3, 11))
    for row, one in enumerate(crystals):
        (n, d), m = one.neighbor_index.shape, len(one.mesh_weights)
        np.testing.assert_array_equal(batch["neighbor_direction"][row, :n, :d], one.neighbor_direction)
        np.testing.assert_array_equal(batch["mesh_kpoints"][row, :m], one.mesh_kpoints)
        np.testing.assert_array_equal(batch["mesh_weights"][row, :m], one.mesh_weights)
        for behind in (
            batch["neighbor_direction"][row, n:],
            batch["neighbor_direction"][row, :, d:],
            batch["mesh_weights"][row, m:],
        ):
            assert not behind.any()
    assert not any(array[2:].any() for array in batch.values())
    assert pad(crystals)["mesh_weights"].shape == (2, 9)


def test_centres_are_told_of_the_crystals_before_the_first_without_one() -> None:
    crystals = [made_up(3, centred=True), made_up(5, centred=True), made_up(4), made_up(2, centred=True)]
    batch = pad(crystals, n_atoms=6)
    assert (batch["inversion_partner"].shape, batch["inversion_image"].shape) == ((2, 6), (2, 6, 3))
    for row, one in enumerate(crystals[:2]):
        n = len(one.atomic_numbers)
        np.testing.assert_array_equal(batch["inversion_partner"][row, :n], one.inversion_partner)
        np.testing.assert_array_equal(batch["inversion_image"][row, :n], one.inversion_image)
        assert not batch["inversion_image"][row, n:].any()
    assert pad(crystals[2:])["inversion_partner"].shape == (0, 4)


def test_padding_is_no_crystal_without_a_centre() -> None:
    batch = pad([made_up(3, centred=True)], batch_size=4)
    assert batch["inversion_partner"].shape == (4, 3)
    assert not batch["inversion_partner"][1:].any()


def test_an_engine_that_uses_centres_takes_either_kind_alone(tiny_engine: Path) -> None:
    crystals = [made_up(3), made_up(5, centred=True), made_up(4), made_up(2, centred=True)]
    manifest = read_manifest(tiny_engine)
    using = dataclasses.replace(manifest, inputs=(*manifest.inputs, *INVERSION))
    assert alike(crystals, manifest) == [[0, 1, 2, 3]]
    assert alike(crystals, using) == [[1, 3], [0, 2]]
    assert alike(crystals[:1], using) == [[0]]


def test_another_number_of_kpoints_is_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        pad([made_up(3, n_kpoints=5), made_up(3, n_kpoints=4)])


@pytest.mark.parametrize("too_small", [{"n_atoms": 6}, {"n_slots": 11}, {"batch_size": 1}, {"n_mesh": 3}])
def test_crystals_that_do_not_fit_are_refused(too_small: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pad([made_up(3), made_up(7, n_mesh=4)], **too_small)


def test_bucket_sizes_hold_their_crystals_with_little_padding() -> None:
    sizes = [bucket_size(n) for n in range(1, 1001)]
    assert sorted(set(sizes))[:20] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    assert all(n <= size and 1 - n / size <= WORST_PADDING for n, size in enumerate(sizes, start=1))
    assert all(bucket_size(size) == size for size in sizes)


def test_a_batch_leaves_when_it_is_full() -> None:
    batcher: Batcher[str, Features] = Batcher(2)
    assert batcher.add("a", made_up(9)) == []
    assert batcher.add("b", made_up(3)) == []
    (batch,) = batcher.add("c", made_up(10))
    assert [key for key, _ in batch] == ["a", "c"]
    assert [[key for key, _ in batch] for batch in batcher.flush()] == [["b"]]
    assert batcher.flush() == []


def test_large_crystals_make_small_batches() -> None:
    batcher: Batcher[int, Features] = Batcher(64, max_padded_atoms=100)
    sizes = [len(batch) for key in range(6) for batch in batcher.add(key, made_up(40))]
    assert sizes == [2, 2, 2]
    assert [len(batch) for batch in batcher.add(6, made_up(150))] == [1]


def test_a_batch_is_full_with_what_an_engine_holds_of_its_lane() -> None:
    batcher: Batcher[int, Features] = Batcher(64, holds=lambda size, lane: None if lane else 12 // size)
    assert [len(batch) for key in range(8) for batch in batcher.add(key, made_up(3))] == [4, 4]
    assert [len(batch) for batch in batcher.add(8, made_up(13))] == [1]  # more than it holds: whoever runs it says so
    assert [batch for key in range(8) for batch in batcher.add(key, made_up(3), lane=True)] == []


def test_the_fullest_bucket_leaves_when_too_many_crystals_wait() -> None:
    batcher: Batcher[int, Features] = Batcher(64, max_held=3)
    assert [batcher.add(key, made_up(n)) for key, n in enumerate((1, 30, 30))] == [[], [], []]
    (batch,) = batcher.add(3, made_up(5))
    assert [key for key, _ in batch] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=40), st.integers(1, 4), st.integers(1, 6))
def test_a_lane_makes_the_batches_that_it_makes_alone(crystals: list[tuple[int, bool]], max_batch: int, max_held: int) -> None:
    stock = {n: made_up(n, n_kpoints=2) for n, _ in crystals}

    def batches(wanted: tuple[bool, ...]) -> set[tuple[int, ...]]:
        batcher: Batcher[int, Features] = Batcher(max_batch, max_held=max_held)
        made = [
            batch for key, (n, lane) in enumerate(crystals) if lane in wanted for batch in batcher.add(key, stock[n], lane=lane)
        ]
        return {tuple(key for key, _ in batch) for batch in [*made, *batcher.flush()]}

    assert batches((False, True)) == batches((False,)) | batches((True,))


def test_a_batch_of_no_crystals_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batcher[int, Features](0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 70), max_size=60), st.integers(1, 8), st.integers(1, 12))
def test_every_crystal_leaves_exactly_once_within_the_limits(atoms: list[int], max_batch: int, max_held: int) -> None:
    stock = {n: made_up(n, n_kpoints=2) for n in set(atoms)}
    runs = []
    for _ in range(2):
        batcher: Batcher[int, Features] = Batcher(max_batch, max_padded_atoms=128, max_held=max_held)
        waiting, batches = 0, []
        for key, n in enumerate(atoms):
            due = batcher.add(key, stock[n])
            waiting += 1 - sum(map(len, due))
            assert waiting <= max_held
            batches += due
        batches += batcher.flush()
        for batch in batches:
            buckets = {bucket_size(len(one.atomic_numbers)) for _, one in batch}
            assert len(buckets) == 1
            assert len(batch) <= max_batch
            assert len(batch) * buckets.pop() <= 128
        runs.append([[key for key, _ in batch] for batch in batches])
    assert runs[0] == runs[1]
    assert Counter(key for batch in runs[0] for key in batch) == Counter(range(len(atoms)))
