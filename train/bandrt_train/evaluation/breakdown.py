"""Breakdown: where errors are large, by crystal system, by element, and in five parts from the best crystals to the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt_train.data.composition import elements_among, elements_of
from bandrt_train.evaluation.metrics import CrystalErrors, Errors, Floats, average

CRYSTAL_SYSTEMS = {
    "unknown": 0,
    "triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167, "hexagonal": 194, "cubic": 230,
}  # fmt: skip
"""The last space group of each."""
N_QUINTILES = 5
ELEMENT_ERRORS = {
    "bands": ("energy_mae_ev", "energy MAE of crystals", "n_crystals"),
    "gaps": ("gap_mae_ev", "gap MAE of non-metals", "n_nonmetals"),
}
"""Which error elements are compared by, what it is called and how many crystals it is about, by the kind of labels."""


@dataclass(frozen=True)
class Quintile:
    """A fifth of the crystals, by their energy error.

    Attributes:
        name: ``Q1``, the smallest errors, to ``Q5``.
        n_crystals: how many.
        from_ev: the smallest error in it.
        to_ev: the largest.
        mean_ev: the mean.
        examples: which crystals show it, by their place among all.
    """

    name: str
    n_crystals: int
    from_ev: float
    to_ev: float
    mean_ev: float
    examples: tuple[int, ...]


def crystal_system(space_group: int) -> str:
    """The crystal system of a space group, 1 to 230, or 0 for data that hold no crystal."""
    return next(system for system, last in CRYSTAL_SYSTEMS.items() if space_group <= last)


def by_crystal_system(errors: CrystalErrors, records: Sequence[dict[str, Any]]) -> dict[str, Errors]:
    """Errors for each crystal system that occurs, from the lowest symmetry to the highest."""
    systems = np.array([crystal_system(record["space_group"]) for record in records])
    return {system: average(errors, systems == system) for system in CRYSTAL_SYSTEMS if (systems == system).any()}


def by_element(errors: CrystalErrors, records: Sequence[dict[str, Any]]) -> dict[str, Errors]:
    """Errors for each element, by atomic number, over the crystals that hold it."""
    held = [set(elements_of(record["formula"])) for record in records]
    present = elements_among(record["formula"] for record in records)
    return {symbol: average(errors, np.array([symbol in symbols for symbols in held])) for symbol in present}


def quintiles(energy_ev: Floats, *, n_examples: int = 3) -> list[Quintile]:
    """Fifths of the crystals in order of their errors, (n,) eV, with examples spread evenly over each.

    Crystals without an error are left out; with fewer than five there are no quintiles.
    """
    known = np.flatnonzero(~np.isnan(energy_ev))
    order = known[np.argsort(energy_ev[known], kind="stable")]
    if len(order) < N_QUINTILES:
        return []
    return [_quintile(f"Q{i}", part, energy_ev, n_examples) for i, part in enumerate(np.array_split(order, N_QUINTILES), 1)]


def _quintile(name: str, members: NDArray[np.intp], energy_ev: Floats, n_examples: int) -> Quintile:
    count = min(n_examples, len(members))
    places = ((np.arange(count) + 0.5) / count * len(members)).astype(int)  # the middle of each of `count` equal parts
    values = energy_ev[members]
    return Quintile(
        name, len(members), float(values[0]), float(values[-1]), float(values.mean()), tuple(int(i) for i in members[places])
    )
