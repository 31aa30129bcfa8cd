"""Crystals from CIF text, symmetry expanded; a file that was cut short is refused, never read as a smaller crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers.cif_cell import cell_of, lattice_of
from bandrt.readers.cif_composition import check_composition
from bandrt.readers.cif_plain import plain_cif
from bandrt.readers.cif_sites import site_columns, sites_of
from bandrt.readers.cif_space_group import NO_SYMMETRY, Statement, statements_of, symmetry_items
from bandrt.readers.cif_symmetry import expand, fits_cell
from bandrt.readers.cif_tags import first_value
from bandrt.readers.cif_text import structure_block
from bandrt.readers.symmetry_agreement import agree

_FORMULA = ("_chemical_formula_sum", "_chemical_formula.sum")
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
            ``ambiguous-symmetry``, ``contradicting-symmetry``, ``modulated``, ``composition-mismatch`` or ``overlapping-atoms``.
    """
    if plain := plain_cif(text):
        lattice = lattice_of(plain.lengths, plain.angles, name)
        numbers, coords = sites_of(plain.columns, name)
        check_composition(plain.formula, plain.units, numbers, name)
        return Crystal.checked(lattice, numbers, coords, name=name)
    block, others = structure_block(text, name)
    lengths, angles = cell_of(block, name)
    lattice = lattice_of(lengths, angles, name)
    numbers, coords = sites_of(site_columns(block, name), name)
    statements = statements_of(symmetry_items(block, name), name)
    if not statements:
        for other in others:
            if any(
                len(c.rotations) > 1 for statement in statements_of(symmetry_items(other, name), name) for c in statement.candidates
            ):
                raise InputError(
                    "bad-symmetry", f"{name}: the symmetry stands in block {other.name!r}, the atoms in {block.name!r}"
                )
    formula, units = first_value(block, _FORMULA), first_value(block, _FORMULA_UNITS)
    return _expanded(formula, units, statements or [NO_SYMMETRY], lattice, numbers, coords, name)


def _expanded(
    formula: str,
    units: str,
    statements: list[Statement],
    lattice: NDArray[np.float64],
    numbers: NDArray[np.int32],
    coords: NDArray[np.float64],
    name: str,
) -> Crystal:
    """The whole cell from the listed sites, by the one meaning of the first statement that fits all the rest."""
    crystals, refusals = [], []
    first, *others = statements
    for operations in first.candidates:
        try:
            if not fits_cell(operations, lattice):
                raise InputError("bad-symmetry", f"{name}: the symmetry operations do not fit the unit cell")
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
