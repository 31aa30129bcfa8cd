"""Chemical symbols as files write them: `Si`, `Fe3+`, `O2-`, `Si0+`, the label `Si1`."""

from __future__ import annotations

import re
from functools import lru_cache

from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError
from bandrt.quoting import quoted

_CHARGED = re.compile(r"([A-Za-z]{1,2})(\d*\.?\d*[+-]|[+-]\d*\.?\d*|\(\d*[+-]\)|\d+)?", re.ASCII)
_ISOTOPE = re.compile(r"(\d{1,3})([A-Z][a-z]?)(?![a-z])", re.ASCII)
_COUNTED = re.compile(r"[A-Za-z]{1,2}0*([1-9]\d*)", re.ASCII)
_LABEL = re.compile(r"[A-Za-z]+")
SECOND_ELEMENT = re.compile(
    r"[/,;|&+~:=*\s\\-]\s*([A-Z][a-z]?)(?![a-z])"  # Si/Al1
    r"|[_.(\[{]([A-Z][a-z])(?![a-z])"  # Fe_Ni, Si(Al), but not the A of O1_A nor the N of H(N1)
    r"|(?<=[\d.])([A-Z][a-z])(?![a-z])"  # Al1Cu1
    r"|(?<=\.\d)\d*([A-Z][a-z]?)(?![a-z])"  # Al0.5P0.5
    r"|(?<=\d)([A-Z])(?=\d)"  # C2H4
    r"|[(\[{]([HD])\d*[)\]}]"  # O(H)
)
"""Within a label: an element after a sign that joins two, or after a number; not the A of ``O2A``."""
_WATER = re.compile(r"[HD][23]O(?![a-z])")
"""A label: whole molecules, not an atom of hydrogen."""
_GROUPS = frozenset({"BH", "CF", "CN", "CO", "HO", "HS", "NH", "NO", "PO"})
"""In capitals as likely a group of two elements as one: cobalt or CO."""
_ISOTOPES = {"D": "deuterium", "T": "tritium"}
_SYMBOLS = ATOMIC_NUMBERS.keys() | _ISOTOPES.keys()
OCCUPANCY_TOLERANCE = 1e-3
"""A site filled to within this is full."""


@lru_cache(maxsize=4096)
def species_number(symbol: str) -> int:
    """Atomic number of an element symbol, perhaps with a charge; 0 if it is none, or as well a group such as `NH4` or `CO`.

    D and T are hydrogen, but T1 is a site of a zeolite. The mass of an isotope may stand before it, ``57Fe``.
    """
    isotope = _ISOTOPE.match(symbol)
    if isotope:
        symbol = symbol[isotope.start(2) :]
    match = _CHARGED.fullmatch(symbol)
    if match is None:
        return 0
    letters = match[1]
    if isotope and not _is_a_mass(int(isotope[1]), ATOMIC_NUMBERS.get(letters, 0)):
        return 0
    if letters in _ISOTOPES:
        return 0 if letters == "T" and match[2] and match[2].isdigit() else 1
    if letters in _GROUPS or (match[2] and not letters[0].isupper() and letters.upper() in _GROUPS):
        return 0
    return ATOMIC_NUMBERS.get(letters.capitalize(), 0)


@lru_cache(maxsize=4096)
def label_number(label: str) -> int:
    """Atomic number of a site label, `Si1` or `O2A`; 0 if its letters are not exactly a symbol (`CA1` could be C or Ca).

    A label of two elements, `Al,Cu` or `Si/Al1`, is none, nor is one of a molecule, `C2H4`. The mass of an isotope may stand
    before it.
    """
    isotope = _ISOTOPE.match(label)
    match = _LABEL.match(label, isotope.start(2) if isotope else 0)
    if match is None or _WATER.match(label):
        return 0
    if any(second[second.lastindex or 0] in _SYMBOLS for second in SECOND_ELEMENT.finditer(label, match.end())):
        return 0
    number = ATOMIC_NUMBERS.get(match[0], 0)
    return 0 if isotope and not _is_a_mass(int(isotope[1]), number) else number


def may_count_atoms(symbol: str, label: str) -> bool:
    """Whether the number behind a symbol may say how many atoms there are: that of `N3` or `C60`, which may be azide and fullerene.

    Args:
        symbol: the type of a site.
        label: what the site is called; its number often stands in the place of the type, too.
    """
    counted = _COUNTED.fullmatch(symbol)
    if counted is None or counted[1] == "1":
        return False
    return not label.startswith(symbol)


def _is_a_mass(mass: int, number: int) -> bool:
    """Whether an isotope of an element may have this mass: that of no nucleus is thrice its charge, but that of tritium."""
    return number <= mass <= 3 * number


def unknown_species(symbol: str, *, name: str, site: str) -> InputError:
    """The error for a species that is no element.

    Args:
        symbol: as the file writes it.
        name: the file.
        site: which site, e.g. ``site 3 (Vac1)``.
    """
    isotope = _ISOTOPES.get(symbol.rstrip("0123456789+-"))
    advice = "every site needs the symbol of one element"
    if (counted := _COUNTED.fullmatch(symbol)) and symbol.rstrip("0123456789") in ATOMIC_NUMBERS:
        advice = f"{counted[1]} may be how many atoms there are; write the symbol alone, or list each atom"
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
