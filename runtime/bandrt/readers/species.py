"""Chemical symbols as files write them: `Si`, `Fe3+`, `O2-`, `Si0+`, the label `Si1`."""

from __future__ import annotations

import re
from functools import lru_cache

from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError

_CHARGED = re.compile(r"([A-Za-z]{1,2})(?:\d*\.?\d*[+-]|[+-]\d*\.?\d*|\d+)?")
_LABEL = re.compile(r"[A-Za-z]+")
_ISOTOPES = {"D": "deuterium", "T": "tritium"}
OCCUPANCY_TOLERANCE = 1e-3
"""A site filled to within this is full."""


@lru_cache(maxsize=4096)
def species_number(symbol: str) -> int:
    """Atomic number of an element symbol, perhaps with a charge; 0 if it is none."""
    match = _CHARGED.fullmatch(symbol)
    return ATOMIC_NUMBERS.get(match[1].capitalize(), 0) if match else 0


@lru_cache(maxsize=4096)
def label_number(label: str) -> int:
    """Atomic number of a site label, `Si1` or `O2A`; 0 if its letters are not exactly a symbol (`CA1` could be C or Ca)."""
    match = _LABEL.match(label)
    return ATOMIC_NUMBERS.get(match[0], 0) if match else 0


def unknown_species(symbol: str, *, name: str, site: str) -> InputError:
    """The error for a species that is no element.

    Args:
        symbol: as the file writes it.
        name: the file.
        site: which site, e.g. ``site 3 (Vac1)``.
    """
    isotope = _ISOTOPES.get(symbol.rstrip("0123456789+-"))
    advice = f"write H for {isotope}" if isotope else "every site needs the symbol of one element"
    return InputError("unknown-species", f"{name}: {site} holds {symbol!r}, which is not an element; {advice}")


def is_full(occupancy: float) -> bool:
    """Whether a site is filled by one atom, to within `OCCUPANCY_TOLERANCE`."""
    return abs(occupancy - 1.0) <= OCCUPANCY_TOLERANCE  # so that what is not a number is not full


def partial_occupancy(occupancy: str, *, name: str, site: str) -> InputError:
    """The error for a site that is not filled by exactly one atom.

    Args:
        occupancy: what the file says, e.g. ``0.5`` or ``Fe 0.5, Ni 0.5``.
        name: the file.
        site: which site.
    """
    return InputError(
        "partial-occupancy",
        f"{name}: {site} has occupancy {occupancy}; bands are predicted for ordered crystals only: use an ordered supercell",
    )
