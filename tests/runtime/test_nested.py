"""Nested settings: dotted names, and where two settings differ."""

from __future__ import annotations

import dataclasses

from bandrt.nested import Difference, differences, flat
from bandrt.recipe import GraphRecipe, Recipe


def test_every_value_has_a_dotted_name_in_its_order() -> None:
    assert list(flat({"b": {"y": 1, "x": {"z": (2,)}}, "a": None, "none": {}}).items()) == [
        ("b.y", 1),
        ("b.x.z", (2,)),
        ("a", None),
    ]


def test_recipes_differ_in_what_was_changed() -> None:
    ours, theirs = (dataclasses.asdict(Recipe(graph=GraphRecipe(cutoff=cutoff, n_neighbors=12))) for cutoff in (8.0, 6.0))
    assert differences(ours, theirs) == [Difference("graph.cutoff", 8.0, 6.0)]
    assert differences(ours, ours) == []


def test_what_one_side_lacks_is_a_difference_unless_it_is_none() -> None:
    assert differences({"a": 1, "b": None}, {"c": {"d": 2}}) == [("a", 1, None), ("c.d", None, 2)]
