"""What is unpacked of a parcel is what was packed, and lies in memory as it did."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.features import Features, featurize_crystal
from bandrt.parcel import Parcel
from bandrt.recipe import GraphRecipe, MeshRecipe, Recipe
from tests.support.predicted_crystals import CUBIC, METAL, TRICLINIC

RECIPES = (Recipe(), Recipe(graph=GraphRecipe(rule="bonds"), mesh=MeshRecipe()))


@dataclass(frozen=True)
class Box:
    array: Any
    inner: Any = None


def assert_same(one: Any, other: Any) -> None:
    """The same values, types and layouts, all the way down."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.flags.c_contiguous) == (other.dtype, other.shape, other.flags.c_contiguous)
        assert one.flags.f_contiguous == other.flags.f_contiguous
        assert one.tobytes() == other.tobytes()
        assert other.flags.writeable
    else:
        assert one == other


def pickled(objects: list[Any]) -> list[Any]:
    """What comes without a parcel; arrays that lie in no order are put into one."""
    made: list[Any] = pickle.loads(pickle.dumps(objects))
    return made


def travelled(objects: list[Any]) -> list[Any]:
    parcel: Parcel[Any] = pickle.loads(pickle.dumps(Parcel(objects)))
    return parcel.unpacked()


@pytest.mark.parametrize("recipe", RECIPES)
def test_features_come_as_they_were_sent(recipe: Recipe) -> None:
    sent: list[Features] = [featurize_crystal(crystal, recipe) for crystal in (CUBIC, METAL, TRICLINIC, CUBIC)]
    for one, other in zip(pickled(sent), travelled(sent), strict=True):
        assert_same(one, other)


_ROWS: NDArray[np.int64] = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    "values",
    [
        [_ROWS, _ROWS + 1],
        [_ROWS.T, _ROWS.T],
        [_ROWS, _ROWS.T],  # of other shapes and layouts
        [_ROWS, _ROWS.astype(np.float32)],
        [_ROWS, np.zeros((0, 3), np.int64), _ROWS[:1]],
        [np.arange(12).reshape(2, 2, 3).swapaxes(0, 1)] * 2,  # neither layout
        [None, _ROWS],
        [_ROWS, None],
        ["a", "b"],
        [Box(_ROWS), Box(_ROWS)],
        [Box(_ROWS), None],
    ],
)
def test_whatever_fields_hold_comes_back(values: list[Any]) -> None:
    sent = [Box(value, inner=Box(value)) for value in values]
    for one, other in zip(pickled(sent), travelled(sent), strict=True):
        assert_same(one, other)


def test_no_array_keeps_the_others_in_memory() -> None:
    for one in travelled([Box(_ROWS), Box(_ROWS[:1])]) + travelled([Box(_ROWS.T), Box(_ROWS.T)]):
        base = one.array if one.array.base is None else one.array.base
        assert base.nbytes == one.array.nbytes


def test_an_empty_parcel_is_one_too() -> None:
    assert travelled([]) == []
    assert len(Parcel([])) == 0
