"""Crystals of OPTIMADE, and all that it may say beside the sites: a site is not all that a crystal holds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.quoting import quoted
from bandrt.readers.cartesian import fractional
from bandrt.readers.document_agreement import contradiction
from bandrt.readers.formulas import amounts_of, contradiction_of
from bandrt.readers.occupancies import number_of, one_element
from bandrt.readers.species import unknown_species

_ALTERNATIVES = ("disorder", "assemblies")
"""Features of a structure of which sites are shared, not full, or not all there at once."""


def crystal_of_optimade(document: Mapping[str, Any], name: str) -> Crystal:
    """Crystal of the attributes of an entry.

    Raises:
        InputError: ``not-periodic``, ``contradicting-document``, ``partial-occupancy``, ``not-a-crystal``, ``unknown-species``, or
            what `Crystal.checked` raises.
        LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError: another layout.
    """
    _check_periodic(document, name)
    lattice = np.array(document["lattice_vectors"], dtype=np.float64)
    positions = np.array(document["cartesian_site_positions"], dtype=np.float64).reshape(-1, 3)
    stated, written = document.get("nsites"), document["species_at_sites"]
    if stated is not None and stated != len(written):
        raise contradiction(f"nsites is {quoted(stated)}, species_at_sites has {len(written)}", name)
    _check_features(document, name)
    species = _optimade_species(document["species"], name)
    numbers = [_optimade_number(species[kind], f"site {index + 1} ({kind})", name) for index, kind in enumerate(written)]
    _check_composition(document, numbers, name)
    return Crystal.checked(lattice, numbers, fractional(positions, lattice, name=name), name=name)


def _check_periodic(document: Mapping[str, Any], name: str) -> None:
    """Refuse what OPTIMADE says is a molecule, a chain or a layer.

    Raises:
        InputError: ``not-periodic``.
    """
    along, how_many = list(document.get("dimension_types") or (1, 1, 1)), document.get("nperiodic_dimensions")
    if along != [1, 1, 1]:
        raise InputError("not-periodic", f"{name}: dimension_types is {quoted(along)}; all three directions are needed")
    if how_many is not None and how_many != 3:
        raise InputError("not-periodic", f"{name}: nperiodic_dimensions is {quoted(how_many)}; all three directions are needed")


def _check_features(document: Mapping[str, Any], name: str) -> None:
    """Refuse what OPTIMADE says beside the sites: alternatives, atoms without a position, and what is not known.

    Raises:
        InputError: ``partial-occupancy`` or ``not-a-crystal``.
    """
    features = list(document.get("structure_features") or ())
    if document.get("assemblies"):
        features.insert(0, "assemblies")
    for feature in features:
        if feature in _ALTERNATIVES:
            raise InputError("partial-occupancy", f"{name}: it has the feature {feature}; use an ordered supercell")
        raise InputError("not-a-crystal", f"{name}: it has the feature {quoted(feature)}, by which its sites are not all of it")


def _optimade_species(said: Any, name: str) -> dict[str, Mapping[str, Any]]:
    """The species by their names; some tables have them as the text of JSON.

    Raises:
        InputError: ``contradicting-document`` for two of one name.
    """
    species: dict[str, Mapping[str, Any]] = {}
    for kind in json.loads(said) if isinstance(said, str) else said:
        if species.setdefault(kind["name"], kind) != kind:
            raise contradiction(f"species has two that are called {quoted(kind['name'])}", name)
    return species


def _optimade_number(species: Mapping[str, Any], place: str, name: str) -> int:
    """Atomic number of a site that one element fills, and nothing that hangs on it."""
    attached, counts = species.get("attached"), species.get("nattached")
    if any(counts or ()) or (attached and not counts):
        raise InputError("not-a-crystal", f"{name}: {place} has atoms attached to it whose positions are not given")
    symbols = species["chemical_symbols"]
    number = one_element(zip(symbols, map(float, species["concentration"]), strict=True), name=name, site=place)
    if not number:
        raise unknown_species(symbols[0], name=name, site=place)
    return number


def _check_composition(document: Mapping[str, Any], numbers: Sequence[int], name: str) -> None:
    """Refuse elements and a formula of OPTIMADE that are not those of the sites.

    Raises:
        InputError: ``contradicting-document``.
    """
    found = Counter(numbers)
    held = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
    if (elements := document.get("elements")) is not None and {number_of(element) for element in elements} != set(found):
        raise contradiction(f"elements are {quoted(elements)}, the sites hold {held}", name)
    formula = document.get("chemical_formula_reduced") or ""
    units = math.gcd(*amounts_of(formula).values()) or 1  # more than one where it is not reduced
    if contradiction_of(formula, {number: units * amount for number, amount in found.items()}):
        raise contradiction(f"chemical_formula_reduced is {quoted(formula)}, the sites hold {held}", name)
