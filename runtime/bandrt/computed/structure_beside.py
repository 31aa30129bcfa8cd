"""The structure of a document that holds none, from the file beside it.

pymatgen leaves the structure out of documents without projections. ``mp-149.json.gz`` then takes that of ``mp-149.cif``,
``mp-149.vasp`` or ``mp-149_structure.json`` (``.json.gz``), in any cell and orientation: its standard primitive cell must be that
of the document's reciprocal lattice. Two lattices of one shape can be laid on each other in as many ways as the lattice has
symmetries; only where the crystal has all of them do they mean the same, so others need the structure in the document.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal, metric_difference
from bandrt.errors import InputError
from bandrt.readers import to_crystal
from bandrt.symmetry.standard_cell import standardize

MARK, BANDS_MARK = "_structure", "_bandstructure"
SUFFIXES = (f"{MARK}.json", f"{MARK}.json.gz", ".cif", ".vasp")
"""What follows the name of a document, without `BANDS_MARK` at its end, in the name of the file with its structure."""
SHAPE_TOLERANCE = 0.02
"""How far, as `metric_difference` counts, cells may be apart: 1 % in a length (a cell that was relaxed again)."""


def structure_beside(document: Path) -> Path | None:
    """The file beside a document that holds its structure, if there is one."""
    stem = document.name.removesuffix(".gz").removesuffix(".json")
    names = (f"{name}{suffix}" for name in (stem, stem.removesuffix(BANDS_MARK)) for suffix in SUFFIXES)
    return next((path for path in map(document.with_name, names) if path.is_file()), None)


def read_structure(file: Path, reciprocal: NDArray[np.float64]) -> Crystal:
    """Read a crystal and lay it into the lattice that its bands were computed for.

    Args:
        file: the crystal, in any cell.
        reciprocal: (3, 3) rows, 1/Å: of the primitive cell of the bands.

    Returns:
        The primitive cell whose reciprocal lattice that is.

    Raises:
        InputError: ``structure-conflict``, ``structure-ambiguous``, or what `to_crystal` and `standardize` raise.
    """
    cell = standardize(to_crystal(file), name=str(file))
    lattice = (2.0 * np.pi * np.linalg.inv(reciprocal).T).astype(np.float64)
    wanted, found = lattice @ lattice.T, cell.crystal.lattice @ cell.crystal.lattice.T
    if metric_difference(wanted, found) > SHAPE_TOLERANCE:
        raise InputError("structure-conflict", f"{file}: its standard primitive cell is not the one of the bands beside it")
    bare = Crystal(cell.crystal.lattice, np.array([1], dtype=np.int32), np.zeros((1, 3)))
    n_lattice = len(standardize(bare, name=str(file)).rotations)
    if len(cell.rotations) != n_lattice:
        raise InputError(
            "structure-ambiguous",
            f"{file}: space group {cell.space_group} has {len(cell.rotations)} of the {n_lattice} rotations of its lattice, so its"
            " bands cannot be told apart in that lattice; a document with its structure inside is needed",
        )
    return Crystal(lattice, cell.crystal.atomic_numbers, cell.crystal.frac_coords)
