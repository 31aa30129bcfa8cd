"""Crystals from CIF text, symmetry expanded; a file that was cut short is refused, never read as a smaller crystal."""

from __future__ import annotations

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers.cif_cell import cell_of, check_volume, lattice_of
from bandrt.readers.cif_composition import amounts_of, check_composition
from bandrt.readers.cif_plain import plain_cif
from bandrt.readers.cif_sites import Sites, site_columns, sites_of
from bandrt.readers.cif_space_group import NO_SYMMETRY, Statement, statements_of, symmetry_items
from bandrt.readers.cif_symmetry import Operations, expand, fits_cell, multiplicities
from bandrt.readers.cif_tags import first_value
from bandrt.readers.cif_text import structure_block
from bandrt.readers.symmetry_agreement import agree

_FORMULA = ("_chemical_formula_sum", "_chemical_formula.sum")
MAX_ATOMS = 10_000
"""Atoms in the cell as it is written, which symmetry makes of the sites."""
_VOLUME = ("_cell_volume", "_cell.volume")
_FORMULA_UNITS = ("_cell_formula_units_z", "_cell.formula_units_z")


def read_cif(text: str, *, name: str = "crystal") -> Crystal:
    """Read the one crystal of a CIF.

    Symmetry comes from the operations if they are listed, else from the Hall symbol, the Hermann-Mauguin name or the
    space-group number; a file with none of these lists every atom. Lattice vector a lies along x, b in the xy plane.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``not-a-crystal``, ``cif-syntax``, ``cif-incomplete``, ``several-blocks``, ``no-atoms``,
            ``bad-lattice``, ``bad-coordinates``, ``unknown-species``, ``partial-occupancy``, ``bad-symmetry``,
            ``ambiguous-symmetry``, ``contradicting-symmetry``, ``modulated``, ``composition-mismatch``, ``too-many-atoms`` or
            ``overlapping-atoms``.
    """
    if plain := plain_cif(text):
        lattice = lattice_of(plain.lengths, plain.angles, name)
        check_volume(lattice, plain.volume, name)
        sites = sites_of(plain.columns, name)
        check_composition(plain.formula, plain.units, sites.atomic_numbers, name)
        _check_doubt(sites, plain.formula)
        return Crystal.checked(lattice, sites.atomic_numbers, sites.frac_coords, name=name)
    block, others = structure_block(text, name)
    lengths, angles = cell_of(block, name)
    lattice = lattice_of(lengths, angles, name)
    check_volume(lattice, first_value(block, _VOLUME), name)
    sites = sites_of(site_columns(block, lattice, name), name)
    statements = statements_of(symmetry_items(block, name), name)
    if not statements:
        _check_elsewhere(block, others, name)
    formula, units = first_value(block, _FORMULA), first_value(block, _FORMULA_UNITS)
    crystal = _expanded(formula, units, statements or [NO_SYMMETRY], lattice, sites, name)
    _check_doubt(sites, formula)
    return crystal


def _check_size(operations: Operations, sites: Sites, lattice: NDArray[np.float64], name: str) -> None:
    """Refuse more atoms than any crystal has that bands are predicted for, before they are made of the sites."""
    n_atoms = len(sites.atomic_numbers)
    if n_atoms <= MAX_ATOMS < n_atoms * len(operations.rotations):
        n_atoms = int(multiplicities(operations, sites.frac_coords, lattice).sum())
    if n_atoms > MAX_ATOMS:
        raise InputError("too-many-atoms", f"{name}: {n_atoms} atoms in the cell, at most {MAX_ATOMS} are read")


def _check_doubt(sites: Sites, formula: str) -> None:
    """Refuse sites that may be something else than they were read as, where no formula has said the same."""
    if sites.doubt is not None and not amounts_of(formula):
        raise sites.doubt


def _check_elsewhere(block: cif.Block, others: list[cif.Block], name: str) -> None:
    """Refuse a file that says in another block which symmetry it has."""
    for other in others:
        statements = statements_of(symmetry_items(other, name), name)
        if any(len(operations.rotations) > 1 for statement in statements for operations in statement.candidates):
            raise InputError("bad-symmetry", f"{name}: the symmetry stands in block {other.name!r}, the atoms in {block.name!r}")


def _expanded(
    formula: str, units: str, statements: list[Statement], lattice: NDArray[np.float64], sites: Sites, name: str
) -> Crystal:
    """The whole cell from the listed sites, by the one meaning of the first statement that fits all the rest."""
    crystals, refusals = [], []
    numbers, coords = sites.atomic_numbers, sites.frac_coords
    first, *others = statements
    for operations in first.candidates:
        try:
            if not fits_cell(operations, lattice):
                raise InputError("bad-symmetry", f"{name}: the symmetry operations do not fit the unit cell")
            _check_size(operations, sites, lattice, name)
            all_numbers, all_coords = (
                expand(operations, numbers, coords, lattice) if len(operations.rotations) > 1 else (numbers, coords)
            )
            for other in others:
                if not any(agree(operations, c, numbers, coords, lattice, loose=other.loose) for c in other.candidates):
                    raise InputError(
                        "contradicting-symmetry",
                        f"{name}: {first.text} and {other.text} make different crystals of these sites; remove what is wrong",
                    )
            check_composition(formula, units, all_numbers, name)
            crystals.append(Crystal.checked(lattice, all_numbers, all_coords, name=name))
        except InputError as refusal:
            refusals.append(refusal)
    if not crystals:
        raise refusals[0]
    if len(crystals) > 1:
        raise InputError(
            "ambiguous-symmetry",
            f"{name}: this space group has several settings that fit and the file does not say which; list its operations",
        )
    return crystals[0]
