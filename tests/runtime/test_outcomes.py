"""One input costs itself: whatever a reader or a library raises becomes an error with a code, and the others are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt import featurized, load, readers, sources
from bandrt.crystal import Crystal
from bandrt.errors import BandrtError, InputError
from bandrt.features import featurize_many
from bandrt.kpaths import kpaths_of
from bandrt.outcomes import each, outcome_of, typed
from bandrt.readers import to_crystal
from bandrt.sources import find
from bandrt.symmetry import standard_cell

SALT = Crystal.checked([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
ODD = Crystal.checked([[4.1, 0, 0], [0.3, 4.7, 0], [0.2, 0.1, 5.3]], [14, 8], [[0.01, 0.02, 0.03], [0.41, 0.52, 0.37]])


class Panic(BaseException):
    """As a library in Rust raises."""


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*args: object, **options: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a\nb"),
        ZeroDivisionError(),
        MemoryError(),
        RecursionError("deep"),
        UnicodeDecodeError("a", b"", 0, 1, "b"),
        Panic("unwrap"),
    ],
)
def test_what_is_raised_unforeseen_becomes_an_error_of_the_input_that_names_its_class(error: BaseException) -> None:
    with pytest.raises(InputError) as caught, typed("reader-failed", name="a.cif"):
        raise error
    assert (caught.value.code, caught.value.stage) == ("reader-failed", "read")
    assert caught.value.message.startswith(f"a.cif: {type(error).__name__} at test_outcomes.py:")
    assert "\n" not in caught.value.message
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), InputError("no-atoms", "a"), BandrtError("no-input", "a")])
def test_interrupts_and_errors_of_ours_stay_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, typed("reader-failed", name="a.cif"):
        raise error
    assert caught.value is error


def test_a_step_that_fails_on_a_chunk_refuses_only_the_cause() -> None:
    def step(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            raise Panic("three")
        return [10 * number for number in numbers]

    outcomes = each([1, 2, 3, 4], step, "features-failed", "graph")
    assert [outcome for outcome in outcomes if not isinstance(outcome, InputError)] == [10, 20, 40]
    assert isinstance(outcomes[2], InputError)
    assert (outcomes[2].code, outcomes[2].stage) == ("features-failed", "graph")
    with pytest.raises(KeyboardInterrupt):
        each([1, 2], raising(KeyboardInterrupt()), "features-failed", "graph")


@pytest.mark.parametrize("error", [ValueError("odd"), Panic("unwrap"), MemoryError()])
def test_a_reader_that_fails_costs_its_file(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.cif").write_text("data_a")
    monkeypatch.setitem(readers._READERS, "cif", raising(error))
    for call in (partial(to_crystal, tmp_path / "a.cif"), partial(to_crystal, "data_a\n"), next(find(tmp_path)).read):
        outcome = outcome_of(call)
        assert isinstance(outcome, InputError)
        assert outcome.code == "reader-failed"
        assert type(error).__name__ in outcome.message


def test_an_object_that_fails_costs_itself() -> None:
    class Odd:
        @property
        def sites(self) -> None:
            raise RuntimeError("gone")

    (outcome,) = featurize_many([Odd()])
    assert isinstance(outcome, InputError)


@pytest.mark.parametrize("error", [ValueError("odd"), Panic("unwrap")])
def test_a_file_of_sources_that_fails_costs_what_comes_after(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "b.cif"):
        (tmp_path / name).write_text("{}\n")
    monkeypatch.setattr(sources, "rows", raising(error))
    first, second = find(tmp_path)
    assert second.id == "b"
    with pytest.raises(InputError, match="nothing after its beginning can be read") as caught:
        first.read()
    assert caught.value.code == "reader-failed"
    assert sources.count(tmp_path) == 2


@pytest.mark.parametrize("step", ["_found", "_standard_cells"])
def test_a_search_for_symmetry_that_panics_costs_its_crystal(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(standard_cell, step)

    def picky(given: Any, *args: object) -> object:
        if given.n_atoms == 1 if step == "_found" else any(one.number == 221 for one in given):
            raise Panic("unwrap")
        return real(given, *args)

    monkeypatch.setattr(standard_cell, step, picky)
    polonium = Crystal.checked(3.35 * np.eye(3), [84], [[0.1, 0.2, 0.3]])
    outcomes = featurize_many([SALT, polonium, ODD], names=["a", "b", "c"])
    assert [isinstance(outcome, InputError) for outcome in outcomes] == [False, True, False]
    assert isinstance(outcomes[1], InputError)
    assert (outcomes[1].code, outcomes[1].stage) == ("symmetry-failed", "symmetry")
    assert outcomes[1].message.startswith("b: Panic at ")


def test_features_that_cannot_be_made_cost_their_crystal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = kpaths_of

    def picky(cells: list[standard_cell.StandardCell], recipe: object) -> object:
        if any(cell.space_group == 225 for cell in cells):
            raise ZeroDivisionError
        return real(cells, recipe)  # type: ignore[arg-type]

    monkeypatch.setattr("bandrt.features.kpaths_of", picky)
    outcomes = featurize_many([SALT, ODD], names=["a", "b"])
    assert isinstance(outcomes[0], InputError)
    assert (outcomes[0].code, outcomes[0].message[:22]) == ("features-failed", "a: ZeroDivisionError a")
    assert not isinstance(outcomes[1], InputError)


def test_warnings_that_cannot_be_made_cost_their_crystal(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(crystals: list[Crystal], found: object) -> list[tuple[str, ...]]:
        if any(crystal.n_atoms == 2 and 11 in crystal.atomic_numbers for crystal in crystals):
            raise IndexError
        return [()] * len(crystals)

    monkeypatch.setattr(featurized, "network_warnings", picky)
    with load(tiny_engine) as engine:
        results = list(engine.predict([SALT, ODD]))
    assert [getattr(result, "code", "") for result in results] == ["features-failed", ""]
