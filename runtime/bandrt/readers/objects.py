"""Crystals from pymatgen and ASE objects in memory, told apart by what they can do: neither package is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.quoting import quoted, with_article
from bandrt.readers.cartesian import fractional
from bandrt.readers.charges import CHARGE_COLUMN, CHARGE_NAMES, charge_dropped, charges_of_atoms
from bandrt.readers.moments import MOMENT_NAMES, moments_of_properties, moments_of_sites
from bandrt.readers.occupancies import OCCUPANCY_COLUMNS, OCCUPANCY_NAMES, check_column, check_kinds, check_properties, one_element
from bandrt.readers.species import unknown_species


def is_pymatgen_structure(item: Any) -> bool:
    """Whether it looks like a pymatgen `Structure`, or anything else with a lattice matrix and sites."""
    return hasattr(getattr(item, "lattice", None), "matrix") and hasattr(item, "sites")


def is_pymatgen_molecule(item: Any) -> bool:
    """Whether it looks like a pymatgen `Molecule`: sites without a lattice."""
    return hasattr(item, "sites") and hasattr(item, "species") and not hasattr(item, "lattice")


def is_ase_atoms(item: Any) -> bool:
    """Whether it looks like an ASE `Atoms`."""
    return hasattr(item, "get_scaled_positions") and hasattr(item, "get_atomic_numbers")


def structure_within(item: Any) -> Any | None:
    """The pymatgen structure that a document of the Materials Project or an entry of pymatgen holds; None for anything else."""
    structure = getattr(item, "structure", None)
    return structure if is_pymatgen_structure(structure) else None


def crystal_of_object(item: Any, *, name: str = "crystal") -> Crystal:
    """Crystal of an object of pymatgen or ASE.

    Raises:
        InputError: ``unsupported-format`` for another object, ``not-a-crystal`` for one that does not keep what it promises,
            ``not-periodic``, ``partial-occupancy``, ``unknown-species``, or what `Crystal.checked` raises.
    """
    if isinstance(item, type):
        raise InputError("unsupported-format", f"{name}: the class {item.__name__}, not one of its objects")
    if is_pymatgen_molecule(item):
        raise InputError("not-periodic", f"{name}: {with_article(type(item).__name__)} has no lattice; a molecule has no bands")
    try:
        if is_ase_atoms(item):
            return crystal_of_ase(item, name=name)
        structure = item if is_pymatgen_structure(item) else structure_within(item)
        if structure is not None:
            return crystal_of_pymatgen(structure, name=name)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError("not-a-crystal", f"{name}: this {type(item).__name__} cannot be read: {error!r}") from error
    advice = "; give the items of it themselves, in one list" if isinstance(item, list | tuple | np.ndarray) else ""
    raise InputError(
        "unsupported-format",
        f"{name}: {quoted(item)}, of type {type(item).__name__}, is no path, CIF text, pymatgen Structure, ASE Atoms or"
        f" Crystal{advice}",
    )


def crystal_of_pymatgen(structure: Any, *, name: str = "crystal") -> Crystal:
    """Crystal of a pymatgen `Structure`.

    Raises:
        InputError: ``not-periodic``, ``partial-occupancy``, ``unknown-species``, or what `Crystal.checked` raises.
    """
    pbc = getattr(structure.lattice, "pbc", (True,))
    if not all(pbc):
        raise InputError("not-periodic", f"{name}: periodic along {tuple(pbc)}; all three directions are needed")
    numbers, spins, states = [], [], list[float]()
    for index, site in enumerate(structure.sites):
        species = [(str(getattr(kind, "symbol", kind)), float(amount)) for kind, amount in site.species.items()]
        place = f"site {index + 1} ({site.label})"
        numbers.append(one_element(species, name=name, site=place))
        if not numbers[-1]:
            raise unknown_species(species[0][0], name=name, site=place)
        spins.append(next((spin for kind in site.species if (spin := getattr(kind, "spin", None)) is not None), None))
        states += [float(getattr(kind, "oxi_state", None) or 0.0) * float(amount) for kind, amount in site.species.items()]
    crystal = Crystal.checked(structure.lattice.matrix, numbers, [site.frac_coords for site in structure.sites], name=name)
    properties = [getattr(site, "properties", None) or {} for site in structure.sites]
    check_properties(properties, name=name)
    stated = getattr(structure, "_charge", None)  # its `charge` warns where this is not the sum of the oxidation states
    charge = charge_dropped(math.fsum(states) if stated is None else stated, states)
    return crystal.with_notes((*moments_of_properties(numbers, properties, spins), *charge))


def crystal_of_ase(atoms: Any, *, name: str = "crystal") -> Crystal:
    """Crystal of an ASE `Atoms`; the occupancies of a CIF, which its atoms do not show, are among its ``info``.

    Raises:
        InputError: ``not-periodic``, ``partial-occupancy``, or what `Crystal.checked` raises.
    """
    for key in OCCUPANCY_NAMES:
        if (occupancy := getattr(atoms, "info", {}).get(key)) is not None:
            check_kinds(occupancy, name=name)
    for key, column in getattr(atoms, "arrays", {}).items():
        if key.lower() in OCCUPANCY_COLUMNS:
            check_column(column, name=name)
    if not np.all(atoms.pbc):
        pbc = tuple(bool(flag) for flag in np.broadcast_to(atoms.pbc, (3,)))
        raise InputError("not-periodic", f"{name}: periodic along {pbc}; set pbc=True if it is a crystal")
    lattice = np.asarray(atoms.cell, dtype=np.float64)
    numbers = atoms.get_atomic_numbers()
    crystal = Crystal.checked(lattice, numbers, fractional(atoms.get_positions(), lattice, name=name), name=name)
    return crystal.with_notes(_notes_of_ase(atoms, numbers.tolist()))


def _notes_of_ase(atoms: Any, numbers: list[int]) -> tuple[str, ...]:
    """Warnings of moments and a charge, which are among the arrays, the ``info`` and what a calculator has found."""
    found = getattr(getattr(atoms, "calc", None), "results", None)
    results: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    arrays, said = getattr(atoms, "arrays", {}), getattr(atoms, "info", {})
    columns = (results.get("magmoms"), *(arrays.get(key) for key in MOMENT_NAMES))
    moments = moments_of_sites(numbers, columns, total=results.get("magmom"))
    charge = next((said[key] for key in CHARGE_NAMES if key in said), None)
    return (*moments, *charges_of_atoms(charge, arrays.get(CHARGE_COLUMN)))
