"""Crystals from CIF text, symmetry expanded; a file that was cut short is refused, never read as a smaller crystal."""

from __future__ import annotations

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.limits import MAX_ATOMS, check_n_atoms
from bandrt.readers.cif_cell import cell_of, check_volume, lattice_of
from bandrt.readers.cif_composition import check_composition
from bandrt.readers.cif_moments import moments_of_cif
from bandrt.readers.cif_multiplicities import check_multiplicities
from bandrt.readers.cif_plain import plain_cif
from bandrt.readers.cif_sites import Sites, site_columns, sites_of
from bandrt.readers.cif_space_group import NO_SYMMETRY, Statement, statements_of, symmetry_items
from bandrt.readers.cif_symmetry import IDENTITY, Operations, expand, fits_cell, multiplicities
from bandrt.readers.cif_symmetry_words import WORD_PARTS, check_words, symmetry_words
from bandrt.readers.cif_tags import first_value
from bandrt.readers.cif_text import structure_block
from bandrt.readers.formulas import amounts_of
from bandrt.readers.symmetry_agreement import agree, same_atoms

_FORMULA = ("_chemical_formula_sum", "_chemical_formula.sum")
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
        check_multiplicities(sites, IDENTITY, lattice, name)
        check_composition(plain.formula, plain.units, sites.atomic_numbers, name)
        crystal = Crystal.checked(lattice, sites.atomic_numbers, sites.frac_coords, name=name)
        _check_doubt(sites, plain.formula)
        return crystal
    block, others = structure_block(text, name)
    lengths, angles = cell_of(block, name)
    lattice = lattice_of(lengths, angles, name)
    check_volume(lattice, first_value(block, _VOLUME), name)
    sites = sites_of(site_columns(block, lattice, name), name)
    statements = statements_of(symmetry_items(block, name), name)
    if not statements:
        _check_elsewhere(block, others, name)
    meanings = [operations for statement in statements for operations in (*statement.candidates, *statement.others)]
    small = text.lower()  # most files have neither such words nor moments, which is seen faster so
    if any(part in small for part in WORD_PARTS):
        check_words(symmetry_words(block), meanings, stated=bool(statements), name=name)
    formula, units = first_value(block, _FORMULA), first_value(block, _FORMULA_UNITS)
    crystal = _expanded(formula, units, statements or [NO_SYMMETRY], lattice, sites, name)
    _check_doubt(sites, formula)
    unstated = () if statements or (units and amounts_of(formula)) else ("symmetry-not-stated",)
    return crystal.with_notes((*crystal.notes, *(moments_of_cif(block) if "mom" in small else ()), *unstated))


def _check_size(operations: Operations, sites: Sites, lattice: NDArray[np.float64], name: str) -> None:
    """Refuse more atoms than any crystal has that bands are predicted for, before they are made of the sites."""
    n_atoms = len(sites.atomic_numbers)
    if n_atoms <= MAX_ATOMS < n_atoms * len(operations.rotations):
        n_atoms = int(multiplicities(operations, sites.frac_coords, lattice).sum())
    check_n_atoms(n_atoms, name=name)


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
    crystals: list[Crystal] = []
    refusals: list[InputError] = []
    first, *others = statements
    besides = [operations for operations in first.others if fits_cell(operations, lattice)]
    usual = [operations for operations in first.candidates if fits_cell(operations, lattice)]
    for operations in usual or besides:
        try:
            numbers, coords = _atoms_of(operations, first, others, lattice, sites, name)
            check_multiplicities(sites, operations, lattice, name)
            check_composition(formula, units, numbers, name)
            crystals.append(Crystal.checked(lattice, numbers, coords, name=name))
        except InputError as refusal:
            refusals.append(refusal)
    if not crystals:
        raise (
            refusals[0]
            if refusals
            else InputError("bad-symmetry", f"{name}: the operations of {first.text} do not fit the unit cell")
        )
    atoms, *other_atoms = [(crystal.atomic_numbers, crystal.frac_coords) for crystal in crystals]
    if not all(same_atoms(atoms, other, lattice) for other in other_atoms):
        raise InputError(
            "ambiguous-symmetry",
            f"{name}: {first.text} has several settings that fit and the file does not say which; list its operations",
        )
    return crystals[0].with_notes((f"assumed-setting:{first.usual}",)) if usual and besides else crystals[0]


def _atoms_of(
    operations: Operations,
    first: Statement,
    others: list[Statement],
    lattice: NDArray[np.float64],
    sites: Sites,
    name: str,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """What the operations, a meaning of the first statement, make of the sites, if the other statements do not contradict them.

    Returns:
        Atomic numbers (n_atoms,) and fractional coordinates (n_atoms, 3).
    """
    numbers, coords = sites.atomic_numbers, sites.frac_coords
    _check_size(operations, sites, lattice, name)
    for other in others:
        candidates = (*other.candidates, *other.others)
        if not any(agree(operations, c, numbers, coords, lattice, loose=other.loose) for c in candidates):
            raise InputError(
                "contradicting-symmetry",
                f"{name}: {first.text} and {other.text} make different crystals of these sites; remove what is wrong",
            )
    return expand(operations, numbers, coords, lattice) if len(operations.rotations) > 1 else (numbers, coords)
