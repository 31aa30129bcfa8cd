"""What does not fit into memory is halved until it does, nothing is lost, and no size is tried twice that was too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandrt.contract import INVERSION
from bandrt.engine.memory import Evaluator, MemoryLimits
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs
from bandrt.errors import EngineError
from bandrt.manifest import Bucket, Profile


class Small:
    """A session that holds so many padded atoms, and takes one batch more than it has answered."""

    def __init__(self, room: int, profile: Profile = Profile(), inputs: tuple[str, ...] = ()) -> None:  # noqa: B008
        self.room = room
        self.centred: list[int] = []
        self.manifest = SimpleNamespace(profile=profile, inputs=inputs)
        self.tried: list[tuple[int, int]] = []

    def run(self, inputs: Inputs) -> Outputs:
        numbers = inputs["atomic_numbers"]
        self.tried.append(numbers.shape)
        self.centred.append(len(inputs["inversion_partner"]))
        if numbers.size > self.room:
            raise OutOfMemoryError(f"no memory for {numbers.shape[0]} crystals")
        return {"band_energies": numbers[:, 0].astype(np.float32)}

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        before: Any = None
        for inputs in batches:
            try:
                now: Any = self.run(inputs)
            except OutOfMemoryError as error:
                now = error
            if before is not None:
                yield before
            before = now
        if before is not None:
            yield before


def crystal(label: int, n_atoms: int) -> Any:
    """What `pad` wants of features; the label is its first atomic number."""
    slots = (n_atoms, 1)
    return SimpleNamespace(
        atomic_numbers=np.array([label] + [0] * (n_atoms - 1), np.int32),
        neighbor_index=np.zeros(slots, np.int32),
        neighbor_distance=np.zeros(slots, np.float32),
        neighbor_mask=np.zeros(slots, bool),
        neighbor_image=np.zeros((*slots, 3), np.int32),
        neighbor_direction=None,
        mesh_kpoints=np.zeros((0, 3), np.float32),
        mesh_weights=np.zeros(0, np.float32),
        inversion_partner=None,
        inversion_image=None,
        atom_mask=np.ones(n_atoms, bool),
        kpoints=np.zeros((1, 3), np.float32),
        crystal=SimpleNamespace(n_atoms=n_atoms),
    )


def test_crystals_with_a_centre_are_evaluated_apart_and_come_back_in_their_places() -> None:
    session = Small(100, inputs=INVERSION)
    crystals = [crystal(label, 2) for label in range(7)]
    for label in (1, 2, 5):
        crystals[label].inversion_partner = np.array([1, 0], np.int32)
        crystals[label].inversion_image = np.zeros((2, 3), np.int32)
    [rows] = Evaluator(session).run_many([crystals])  # type: ignore[arg-type]
    assert [float(row["band_energies"]) for row in rows if not isinstance(row, EngineError)] == list(range(7))
    assert (session.tried, session.centred) == ([(3, 2), (4, 2)], [3, 0])


Sizes = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=6)


@given(Sizes, st.integers(1, 80))
def test_every_crystal_has_its_own_row_or_its_own_error(sizes: list[tuple[int, int]], room: int) -> None:
    labels = iter(range(1000))
    batches = [[crystal(next(labels), n_atoms) for _ in range(count)] for count, n_atoms in sizes]
    found = list(Evaluator(Small(room)).run_many(iter(batches)))  # type: ignore[arg-type]
    assert [len(rows) for rows in found] == [count for count, _ in sizes]
    for batch, rows in zip(batches, found, strict=True):
        for one, row in zip(batch, rows, strict=True):
            if one.crystal.n_atoms > room:
                assert isinstance(row, OutOfMemoryError)
            else:
                assert not isinstance(row, OutOfMemoryError)
                assert row["band_energies"] == one.atomic_numbers[0]


def test_a_size_that_was_too_large_is_not_tried_again() -> None:
    session = Small(room=10)
    evaluator = Evaluator(session)  # type: ignore[arg-type]
    batch = [crystal(label, 4) for label in range(16)]
    for _ in evaluator.run_many([batch]):
        pass
    assert session.tried == [(16, 4), (8, 4), (4, 4), *[(2, 4)] * 8]
    session.tried.clear()
    for _ in evaluator.run_many([batch, [crystal(label, 6) for label in range(4)]]):
        pass
    assert session.tried == [*[(2, 4)] * 8, (2, 6), (2, 6), *[(1, 6)] * 4]  # the second was on its way


def test_smaller_crystals_are_not_held_to_what_larger_ones_took() -> None:
    limits = MemoryLimits()
    limits.too_many(8, 24)
    assert [limits.most(n_atoms) for n_atoms in (3, 20, 24, 100)] == [None, None, 4, 4]
    limits.too_many(1, 100)
    assert limits.most(100) == 1


def test_no_batch_is_larger_than_the_engine_takes() -> None:
    session = Small(room=10_000, profile=Profile(8, 4, buckets=(Bucket(1, 4, 1, 1), Bucket(1, 4, 2, 4), Bucket(5, 8, 1, 1))))
    batches = [[crystal(label, 3) for label in range(10)], [crystal(label, 7) for label in range(3)]]
    assert [len(rows) for rows in Evaluator(session).run_many(batches)] == [10, 3]  # type: ignore[arg-type]
    assert session.tried == [(4, 3), (4, 3), (2, 3), *[(1, 7)] * 3]


def test_a_crystal_with_more_neighbours_than_a_plan_takes_is_refused_among_the_others() -> None:
    session = Small(room=100, profile=Profile(max_slots=3))
    many, few = crystal(7, 2), [crystal(label, 2) for label in (1, 2, 3)]
    many.neighbor_index = np.zeros((2, 4), np.int32)
    found = list(Evaluator(session).run_many([[few[0], many, few[1]], [many], [few[2]], [many]]))  # type: ignore[arg-type]
    codes = [[getattr(row, "code", None) or row["band_energies"] for row in rows] for rows in found]
    refused = "too-many-neighbors"
    assert codes == [[1, refused, 2], [refused], [3], [refused]]
    assert "an atom has 4 neighbours, this plan holds at most 3" in str(found[1][0])


def test_an_error_that_is_not_of_memory_comes_after_the_batches_before_it() -> None:
    class Broken(Small):
        def run(self, inputs: Inputs) -> Outputs:
            if inputs["atomic_numbers"][0, 0] == 2:
                raise EngineError("engine-failed", "the device is gone")
            return super().run(inputs)

        def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
            yield from map(self.run, batches)

    found = []
    with pytest.raises(EngineError, match="the device is gone"):
        found.extend(Evaluator(Broken(100)).run_many([[crystal(label, 2)] for label in range(4)]))  # type: ignore[arg-type]
    assert len(found) == 2
