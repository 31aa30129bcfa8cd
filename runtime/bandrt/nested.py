"""Nested settings, such as a recipe as plain values: one dotted name for every value, and where two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """A value that two settings do not share."""

    name: str
    """Dotted, e.g. ``graph.cutoff``."""
    ours: Any
    """None where it is missing."""
    theirs: Any
    """None where it is missing."""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted name, in the order of the settings; a mapping that is empty has none."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """Where two settings differ, in the order of ours, then what only theirs have; a missing value is as good as None."""
    one, other = flat(ours), flat(theirs)
    return [Difference(name, one.get(name), other.get(name)) for name in one | other if one.get(name) != other.get(name)]
