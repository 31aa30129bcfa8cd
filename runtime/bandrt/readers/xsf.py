"""Crystals from XCrySDen's XSF."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.limits import check_n_atoms
from bandrt.quoting import quoted
from bandrt.readers.cartesian import fractional
from bandrt.readers.occupancies import number_of
from bandrt.readers.species import unknown_species
from bandrt.readers.text import check_not_empty, lines_of, real_number, whole_number

_NOT_PERIODIC = {"MOLECULE", "ATOMS", "POLYMER", "SLAB"}


def read_xsf(text: str, *, name: str = "crystal") -> Crystal:
    """Read the one structure of an XSF file; forces, charge densities and other grids are ignored.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``xsf-syntax``, ``not-periodic``, ``several-frames``, ``unknown-species``, or what
            `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    rows = (line.split() for line in lines_of(text) if line.strip() and not line.lstrip().startswith("#"))
    lattice, atoms = None, None
    behind_atoms = False
    for row in rows:
        keyword = row[0].upper()
        if behind_atoms and _is_an_atom(row):
            raise InputError("xsf-syntax", f"{name}: PRIMCOORD has more atoms than it announces: {quoted(' '.join(row))}")
        behind_atoms = keyword == "PRIMCOORD"
        if keyword in _NOT_PERIODIC:
            raise InputError("not-periodic", f"{name}: {keyword} is not periodic along three axes")
        if (keyword == "ANIMSTEPS" and row[1:] != ["1"]) or (keyword == "PRIMCOORD" and atoms is not None):
            raise InputError("several-frames", f"{name}: several structures, or an animation; write one file for each")
        try:
            if keyword == "DIM-GROUP" and next(rows)[0] != "3":
                raise InputError("not-periodic", f"{name}: DIM-GROUP says that it is not periodic along three axes")
            if keyword == "PRIMVEC":
                vectors = np.array([_numbers(rows) for _ in "abc"])
                if lattice is not None and not np.array_equal(vectors, lattice):
                    raise InputError("several-frames", f"{name}: two PRIMVEC, and not the same; write one file for each structure")
                lattice = vectors
            elif keyword == "PRIMCOORD":
                n_atoms = whole_number(next(rows)[0], "the number of atoms", name=name)
                check_n_atoms(n_atoms, name=name)
                atoms = [next(rows) for _ in range(n_atoms)]
                cartesian = np.array([[real_number(value) for value in atom[1:4]] for atom in atoms]).reshape(n_atoms, 3)
        except (ValueError, IndexError, StopIteration, RuntimeError) as error:
            raise InputError("xsf-syntax", f"{name}: {keyword} cannot be read; it may be cut short ({error})") from None
    if lattice is None or atoms is None:
        raise InputError("xsf-syntax", f"{name}: {'PRIMVEC' if lattice is None else 'PRIMCOORD'} is missing")
    numbers = [whole_number(atom[0], "Z", name=name) if atom[0].isdecimal() else number_of(atom[0]) for atom in atoms]
    if 0 in numbers:
        raise unknown_species(atoms[numbers.index(0)][0], name=name, site=f"site {numbers.index(0) + 1}")
    return Crystal.checked(lattice, numbers, fractional(cartesian, lattice, name=name), name=name)


def _numbers(rows: Iterator[list[str]]) -> list[float]:
    """Three numbers of the next row."""
    values = [real_number(value) for value in next(rows)[:3]]
    if len(values) != 3:
        raise ValueError(f"three numbers are needed, found {len(values)}")
    return values


def _is_an_atom(row: list[str]) -> bool:
    """Whether a row is laid out as that of an atom is: what it is, and three numbers."""
    try:
        return len([real_number(value) for value in row[1:4]]) == 3
    except ValueError:
        return False
