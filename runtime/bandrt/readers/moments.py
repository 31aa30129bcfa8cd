"""Magnetic moments, which bands here know nothing of: the warning that they were dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bandrt.elements import SYMBOLS

NAMED = 5
"""Sites that a warning names at most."""
NO_MOMENT = 0.01
"""Bohr magnetons: a moment that is not larger is what a computation without magnetic order leaves."""
WHOLE_CELL = "cell"
"""What a warning names where moments are given, but not of which sites."""
MOMENT_NAMES = ("magmoms", "magmom", "magnetic_moments", "initial_magmoms")
"""What ASE and others call the moments of atoms, in lower case; those that were computed before those that were begun with."""
SITE_MOMENTS = ("final_magmom", "magmom")
"""What pymatgen calls them among the properties of a site, in the same order."""
_NOT_IN_WARNINGS = re.compile(r"[^A-Za-z0-9()'*+.-]")


def moments_dropped(labels: Sequence[str]) -> tuple[str, ...]:
    """The warning that names the sites with moments, ``moments-dropped:Mn1/Mn2``; none if there are none.

    Args:
        labels: what the sites are called.
    """
    if not labels:
        return ()
    named = [_NOT_IN_WARNINGS.sub("_", label) for label in labels[:NAMED]]
    return ("moments-dropped:" + "/".join(named + (["..."] if len(labels) > NAMED else [])),)


def is_moment(value: Any) -> bool:
    """Whether a value is a moment that is not zero.

    Args:
        value: in Bohr magnetons: a number, also as text, a vector of any axes, or pymatgen's `Magmom` or its dictionary; what is
            none of them is no moment.
    """
    for key in ("moment", "data"):  # of pymatgen, which may hold an array of NumPy, written by Monty
        value = value.get(key, value) if isinstance(value, Mapping) else value
    if isinstance(value, int | float):
        return abs(value) > NO_MOMENT
    try:
        return bool(np.linalg.norm(np.asarray(getattr(value, "moment", value), dtype=np.float64).ravel()) > NO_MOMENT)
    except (TypeError, ValueError, OverflowError):
        return False


def moments_of_sites(atomic_numbers: Sequence[int], given: Iterable[Sequence[Any] | None], *, total: Any = None) -> tuple[str, ...]:
    """The warning for moments that are given site by site, which are called by their elements and places: ``Fe1``.

    Args:
        atomic_numbers: of each site.
        given: the moments of each site, None where they are not given, in several ways, of which the first that is there counts:
            what a computation that began with moments ended without is not magnetic.
        total: that of the cell, which counts if none of the sites has one.
    """
    moments = next((column for column in given if column is not None), ())
    pairs = enumerate(zip(atomic_numbers, moments, strict=False), start=1)
    labels = [f"{SYMBOLS[number]}{place}" for place, (number, moment) in pairs if is_moment(moment)]
    return moments_dropped(labels or ([WHOLE_CELL] if is_moment(total) else []))


def moments_of_properties(
    atomic_numbers: Sequence[int], properties: Sequence[Mapping[str, Any]], spins: Sequence[Any]
) -> tuple[str, ...]:
    """The warning for moments that pymatgen keeps, site by site, or with the species.

    Args:
        atomic_numbers: of each site.
        properties: of each site, by name.
        spins: of the species on each site, None where it has none.
    """
    columns = ([said.get(key) for said in properties] for key in SITE_MOMENTS)
    given = (column if any(moment is not None for moment in column) else None for column in (*columns, list(spins)))
    return moments_of_sites(atomic_numbers, given)
