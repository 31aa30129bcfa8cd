"""Chemical symbols as files write them: `Si`, `Fe3+`, `O2-`, `Si0+`, the label `Si1`."""

from __future__ import annotations

import re
from functools import lru_cache

from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError
from bandrt.quoting import quoted

_CHARGED = re.compile(r"([A-Za-z]{1,2})(\d*\.?\d*[+-]|[+-]\d*\.?\d*|\d+)?")
_LABEL = re.compile(r"[A-Za-z]+")
_SECOND_ELEMENT = re.compile(r"[/,;|&+~:-]\s*([A-Z][a-z]?)(?![a-z])|(?<=[\d.])([A-Z][a-z])(?![a-z])")
"""Within a label: an element after a sign that joins two, `Si/Al1`, or after digits, `Al1Cu1`; not the A of `O2A`."""
_GROUPS = frozenset({"BH", "CF", "CN", "CO", "HO", "HS", "NH", "NO", "PO"})
"""In capitals as likely a group of two elements as one: cobalt or CO."""
_ISOTOPES = {"D": "deuterium", "T": "tritium"}
OCCUPANCY_TOLERANCE = 1e-3
"""A site filled to within this is full."""


@lru_cache(maxsize=4096)
def species_number(symbol: str) -> int:
    """Atomic number of an element symbol, perhaps with a charge; 0 if it is none, or as well a group such as `NH4` or `CO`.

    D and T are hydrogen.
    """
    match = _CHARGED.fullmatch(symbol)
    if match is None:
        return 0
    letters = match[1]
    if letters in _ISOTOPES:
        return 1
    if letters in _GROUPS or (match[2] and not letters[0].isupper() and letters.upper() in _GROUPS):
        return 0
    return ATOMIC_NUMBERS.get(letters.capitalize(), 0)


@lru_cache(maxsize=4096)
def label_number(label: str) -> int:
    """Atomic number of a site label, `Si1` or `O2A`; 0 if its letters are not exactly a symbol (`CA1` could be C or Ca).

    A label of two elements, `Al,Cu` or `Si/Al1`, is none.
    """
    match = _LABEL.match(label)
    if match is None or any((second[1] or second[2]) in ATOMIC_NUMBERS for second in _SECOND_ELEMENT.finditer(label, match.end())):
        return 0
    return ATOMIC_NUMBERS.get(match[0], 0)


def unknown_species(symbol: str, *, name: str, site: str) -> InputError:
    """The error for a species that is no element.

    Args:
        symbol: as the file writes it.
        name: the file.
        site: which site, e.g. ``site 3 (Vac1)``.
    """
    isotope = _ISOTOPES.get(symbol.rstrip("0123456789+-"))
    advice = "every site needs the symbol of one element"
    if isotope:
        advice = f"write H for {isotope}"
    elif symbol.rstrip("0123456789+-").upper() in _GROUPS:
        advice = "if it is one, write it with a small second letter; if it is a group of atoms, list each"
    return InputError("unknown-species", f"{name}: {site} holds {quoted(symbol)}, which is not an element; {advice}")


def is_full(occupancy: float) -> bool:
    """Whether a site is filled by one atom, to within `OCCUPANCY_TOLERANCE`."""
    return (
        abs(occupancy - 1.0) <= OCCUPANCY_TOLERANCE + 1e-9
    )  # 0.999 - 1.0 is a little more; so that what is not a number is not full


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
