"""Crystals from pymatgen's JSON documents, read without pymatgen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers.occupancies import one_element
from bandrt.readers.species import unknown_species


def read_pymatgen_json(text: str, *, name: str = "crystal") -> Crystal:
    """Read the JSON of a pymatgen `Structure`, alone or under the key ``structure`` of another document.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``json-syntax``, or what `crystal_of_document` raises.
    """
    if not text.strip():
        raise InputError("empty-file", f"{name}: the file is empty")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("json-syntax", f"{name}: {error}; the file may be cut short") from None
    return crystal_of_document(document, name=name)


def crystal_of_document(document: Any, *, name: str = "crystal") -> Crystal:
    """Crystal of what `Structure.as_dict` gives, alone or under the key ``structure``.

    Args:
        document: the parsed JSON.
        name: what to call it in an error.

    Raises:
        InputError: ``not-a-crystal``, ``not-periodic``, ``unknown-species``, ``partial-occupancy``, or what
            `Crystal.checked` raises.
    """
    if isinstance(document, Mapping) and "sites" not in document and isinstance(document.get("structure"), Mapping):
        document = document["structure"]
    if not isinstance(document, Mapping) or "sites" not in document:
        raise InputError("not-a-crystal", f"{name}: no pymatgen structure in it (an object with `lattice` and `sites`)")
    if not isinstance(document.get("lattice"), Mapping):
        raise InputError("not-periodic", f"{name}: the structure has no lattice; a molecule has no bands")
    lattice, sites = document["lattice"], document["sites"]
    try:
        if not all(lattice.get("pbc", (True,))):
            raise InputError("not-periodic", f"{name}: periodic along {lattice['pbc']}; all three directions are needed")
        numbers = [_site_number(site, index, name) for index, site in enumerate(sites)]
        return Crystal.checked(lattice["matrix"], numbers, [site["abc"] for site in sites], name=name)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError("not-a-crystal", f"{name}: not the layout of a pymatgen structure: {error!r}") from None


def _site_number(site: Mapping[str, Any], index: int, name: str) -> int:
    """Atomic number of a site that one element fills."""
    species = site["species"]
    place = f"site {index + 1} ({site.get('label') or species[0]['element']})"
    number = one_element(((entry["element"], float(entry.get("occu", 1))) for entry in species), name=name, site=place)
    if not number:
        raise unknown_species(species[0]["element"], name=name, site=place)
    return number
