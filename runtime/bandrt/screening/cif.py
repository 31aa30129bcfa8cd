"""Crystals as CIF files, in space group P 1: what a shortlist hands on to DFT."""

from __future__ import annotations

import re

import numpy as np

from bandrt.crystal import Crystal
from bandrt.quoting import printable

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.+-]")
_HEADER = """data_{name}
_chemical_formula_structural {formula}
_cell_length_a {0:.10f}
_cell_length_b {1:.10f}
_cell_length_c {2:.10f}
_cell_angle_alpha {3:.10f}
_cell_angle_beta {4:.10f}
_cell_angle_gamma {5:.10f}
_symmetry_space_group_name_H-M 'P 1'
_symmetry_Int_Tables_number 1
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def cif_text(crystal: Crystal, *, name: str) -> str:
    """A crystal as a CIF that lists all its atoms.

    A CIF says how long its vectors are and which angles they make, which is right-handed: of a left-handed cell all three vectors
    are turned round, so that no crystal becomes its mirror image.

    Args:
        crystal: the crystal.
        name: of its data block; what cannot stand there becomes an underscore.
    """
    lattice, coords = crystal.lattice, crystal.frac_coords
    if np.linalg.det(lattice) < 0.0:
        coords = -coords
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    angles = [float(np.degrees(np.arccos(np.clip(unit[i] @ unit[j], -1.0, 1.0)))) for i, j in ((1, 2), (0, 2), (0, 1))]
    header = _HEADER.format(
        *lengths.tolist(), *angles, name=_NOT_IN_A_NAME.sub("_", printable(name)) or "_", formula=crystal.formula
    )
    atoms = [
        f"{symbol}{number} {symbol} {x:.10f} {y:.10f} {z:.10f}"
        for number, (symbol, (x, y, z)) in enumerate(zip(crystal.symbols, (coords % 1.0).tolist(), strict=True), start=1)
    ]
    return header + "\n".join(atoms) + "\n"
