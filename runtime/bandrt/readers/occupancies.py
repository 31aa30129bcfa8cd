"""Occupancies that are kept beside the symbols of atoms, as ASE keeps those of a CIF: refused unless every site is full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bandrt.elements import HYDROGEN_ISOTOPES
from bandrt.readers.species import OCCUPANCY_TOLERANCE, is_full, partial_occupancy, species_number

OCCUPANCY_NAMES = ("occupancy", "occupancies", "site_occupancy")
"""What such values are called, in lower case."""
OCCUPANCY_COLUMNS = (*OCCUPANCY_NAMES, "occ")
"""The same, where there is one for each atom."""


def number_of(symbol: str) -> int:
    """Atomic number of a species, that of hydrogen for its isotopes; 0 if it is none."""
    return species_number(symbol) or HYDROGEN_ISOTOPES.get(symbol, 0)


def one_element(amounts: Iterable[tuple[str, float]], *, name: str, site: str) -> int:
    """Atomic number of the one element that fills a site, perhaps in several states of charge or spin; 0 for what is no element.

    Args:
        amounts: symbol and occupancy of each species on the site.
        name: the file.
        site: which site.

    Raises:
        InputError: ``partial-occupancy``.
    """
    species = list(amounts)
    filled: dict[int, float] = {}
    for symbol, amount in species:
        if not amount <= OCCUPANCY_TOLERANCE:  # what is not a number is not empty
            number = number_of(symbol)
            filled[number] = filled.get(number, 0.0) + amount
    if len(filled) != 1 or not all(map(is_full, filled.values())):
        written = ", ".join(f"{symbol} {amount:g}" for symbol, amount in species) or "0"
        raise partial_occupancy(written, name=name, site=site)
    return next(iter(filled))


def check_kinds(occupancy: Any, *, name: str) -> None:
    """Refuse ASE's table of occupancies if a site in it is not full; it has them by the kind of site, and that by symbol.

    Args:
        occupancy: of all kinds; a plain number is one for all sites.
        name: the file.

    Raises:
        InputError: ``partial-occupancy``.
        TypeError, ValueError, AttributeError: it is not such a table.
    """
    if not isinstance(occupancy, Mapping):
        check_column(occupancy if isinstance(occupancy, Iterable) else [occupancy], name=name)
        return
    for kind, amounts in occupancy.items():
        one_element(((str(symbol), float(amount)) for symbol, amount in amounts.items()), name=name, site=f"kind of site {kind}")


def check_column(column: Iterable[Any], *, name: str) -> None:
    """Refuse a column of occupancies, one per atom, in which one is not full.

    Raises:
        InputError: ``partial-occupancy``.
        TypeError, ValueError: there is something in it that is no number.
    """
    for place, value in enumerate(column, start=1):
        if not is_full(float(value)):
            raise partial_occupancy(f"{float(value):g}", name=name, site=f"site {place}")


def check_properties(properties: Iterable[Mapping[str, Any]], *, name: str) -> None:
    """Refuse an occupancy among the properties of the sites, one mapping for each, by which a site is not full.

    Raises:
        InputError: ``partial-occupancy``.
        TypeError, ValueError: it is no number.
    """
    for place, said in enumerate(properties, start=1):
        for key, value in said.items():
            if str(key).lower() in OCCUPANCY_COLUMNS and value is not None and not is_full(float(value)):
                raise partial_occupancy(f"{float(value):g}", name=name, site=f"site {place}")
