"""Crystals from JSON documents, read without the packages that write them: pymatgen, JARVIS, OPTIMADE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.quoting import quoted
from bandrt.readers.cartesian import fractional
from bandrt.readers.charges import charge_dropped
from bandrt.readers.document_agreement import ANGLES, check_cell, check_positions, check_volume
from bandrt.readers.moments import moments_of_properties
from bandrt.readers.occupancies import check_properties, one_element
from bandrt.readers.optimade import crystal_of_optimade
from bandrt.readers.species import unknown_species
from bandrt.readers.text import check_not_empty

INSIDE = ("structure", "atoms", "attributes")
"""Under which keys of a document its crystal is."""
OWN_KEYS = ("sites", "lattice_mat", "lattice_vectors")
"""By which a crystal of pymatgen, JARVIS and OPTIMADE is known."""


def is_document(value: Any) -> bool:
    """Whether it looks like a crystal that `crystal_of_document` reads, alone or inside another document."""
    return isinstance(value, Mapping) and any(key in _crystal_within(value) for key in OWN_KEYS)


def _crystal_within(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a document that is its crystal."""
    if any(key in document for key in OWN_KEYS):
        return document
    inside = (document[key] for key in INSIDE if isinstance(document.get(key), Mapping))
    return next(inside, document)


def read_json(text: str, *, name: str = "crystal") -> Crystal:
    """Read the JSON of one crystal: a pymatgen `Structure`, alone or inside another document, JARVIS or OPTIMADE.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``json-syntax``, ``several-structures``, or what `crystal_of_document` raises.
    """
    check_not_empty(text, name=name)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("json-syntax", f"{name}: {error}; the file may be cut short") from None
    several = document.get("data") if isinstance(document, dict) else document
    if isinstance(several, list) and several:
        raise InputError(
            "several-structures", f"{name}: a list of crystals; give the file itself to `bandrt infer`, which reads each"
        )
    return crystal_of_document(document, name=name)


def crystal_of_document(document: Any, *, name: str = "crystal") -> Crystal:
    """Crystal of what `Structure.as_dict` of pymatgen gives, of the atoms of JARVIS, or of an entry of OPTIMADE.

    Args:
        document: the parsed JSON; the crystal may be under the key ``structure``, ``atoms`` or ``attributes``.
        name: what to call it in an error.

    Raises:
        InputError: ``not-a-crystal``, ``not-periodic``, ``unknown-species``, ``partial-occupancy``, or what
            `Crystal.checked` raises.
    """
    if not isinstance(document, Mapping) or not is_document(document):
        raise InputError(
            "not-a-crystal",
            f"{name}: no structure in it: of pymatgen (an object with `lattice` and `sites`), of JARVIS (`lattice_mat`) or of"
            " OPTIMADE (`lattice_vectors`)",
        )
    crystal = _crystal_within(document)
    kind, read = (
        ("pymatgen", _of_pymatgen)
        if "sites" in crystal
        else ("JARVIS", _of_jarvis)
        if "lattice_mat" in crystal
        else ("OPTIMADE", crystal_of_optimade)
    )
    try:
        return read(crystal, name)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError("not-a-crystal", f"{name}: not the layout of a structure of {kind}: {error!r}") from None


def _of_pymatgen(document: Mapping[str, Any], name: str) -> Crystal:
    lattice, sites = document.get("lattice"), document["sites"]
    if not isinstance(lattice, Mapping):
        raise InputError("not-periodic", f"{name}: the structure has no lattice; a molecule has no bands")
    if not all(lattice.get("pbc", (True,))):
        raise InputError("not-periodic", f"{name}: periodic along {lattice['pbc']}; all three directions are needed")
    numbers = [_site_number(site, index, name) for index, site in enumerate(sites)]
    matrix, coords = lattice["matrix"], [site["abc"] for site in sites]
    crystal = Crystal.checked(matrix, numbers, coords, name=name)
    check_cell(crystal.lattice, [lattice.get(axis) for axis in "abc"], [lattice.get(angle) for angle in ANGLES], name)
    check_volume(crystal.volume, lattice.get("volume"), name)
    check_positions(crystal, [site.get("xyz") for site in sites], name)
    species = [kind for site in sites for kind in site["species"]]
    states = [state for kind in species if isinstance(state := kind.get("oxidation_state"), int | float)]
    check_properties(map(_properties, sites), name=name)
    moments = moments_of_properties(numbers, [_properties(site) for site in sites], [_spin(site) for site in sites])
    return crystal.with_notes((*moments, *charge_dropped(document.get("charge"), states)))


def _properties(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a site or species, of which some have none."""
    properties = said.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _spin(site: Mapping[str, Any]) -> Any:
    """That of the species on a site, which older versions have among its properties; None if it has none."""
    spins = (value for kind in site["species"] for value in (kind.get("spin"), _properties(kind).get("spin")))
    return next((spin for spin in spins if spin is not None), None)


def _of_jarvis(document: Mapping[str, Any], name: str) -> Crystal:
    lattice = np.array(document["lattice_mat"], dtype=np.float64)
    positions = np.array(document["coords"], dtype=np.float64).reshape(-1, 3)
    numbers = [_number(symbol, index, name) for index, symbol in enumerate(document["elements"])]
    if _is_cartesian(document.get("cartesian", False)):
        positions = fractional(positions, lattice, name=name)
    crystal = Crystal.checked(lattice, numbers, positions, name=name)
    check_cell(lattice, document.get("abc") or [], document.get("angles") or [], name)
    return crystal


def _is_cartesian(said: Any) -> bool:
    """Whether positions of JARVIS are in Å; some write the word.

    Raises:
        ValueError: it says neither.
    """
    words = {"true": True, "false": False, "1": True, "0": False}
    if str(said).lower() not in words:
        raise ValueError(f"cartesian is {quoted(said)}; true or false is needed")
    return words[str(said).lower()]


def _number(symbol: str, index: int, name: str) -> int:
    """Atomic number of a full site."""
    number = one_element([(symbol, 1.0)], name=name, site=f"site {index + 1}")
    if not number:
        raise unknown_species(symbol, name=name, site=f"site {index + 1}")
    return number


def _site_number(site: Mapping[str, Any], index: int, name: str) -> int:
    """Atomic number of a site that one element fills."""
    species = site["species"]
    place = f"site {index + 1} ({site.get('label') or species[0]['element']})"
    number = one_element(((entry["element"], float(entry.get("occu", 1))) for entry in species), name=name, site=place)
    if not number:
        raise unknown_species(species[0]["element"], name=name, site=place)
    return number
