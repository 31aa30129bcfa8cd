"""The layout of CIF that most computed crystals come in: as pymatgen writes it without symmetry, every atom listed.

Such a file holds nothing that the grammar of CIF is needed for, and taking it apart is several times faster than parsing it. A
file that differs in anything but its numbers and names is not taken, and left to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_COLUMNS = (
    "_atom_site_type_symbol",
    "_atom_site_label",
    "_atom_site_symmetry_multiplicity",
    "_atom_site_fract_x",
    "_atom_site_fract_y",
    "_atom_site_fract_z",
    "_atom_site_occupancy",
)
_HEADER = re.compile(
    r"# generated using pymatgen\n"
    r"data_[A-Za-z0-9()]+\n"
    r"_symmetry_space_group_name_H-M   'P 1'\n"
    r"_cell_length_a   (\d+\.\d+)\n"
    r"_cell_length_b   (\d+\.\d+)\n"
    r"_cell_length_c   (\d+\.\d+)\n"
    r"_cell_angle_alpha   (\d+\.\d+)\n"
    r"_cell_angle_beta   (\d+\.\d+)\n"
    r"_cell_angle_gamma   (\d+\.\d+)\n"
    r"_symmetry_Int_Tables_number   1\n"
    r"_chemical_formula_structural   [A-Za-z0-9()]+\n"
    r"_chemical_formula_sum   (?:'([A-Za-z0-9 ]+)'|([A-Za-z0-9]+))\n"
    r"_cell_volume   (\d+\.\d+)\n"
    r"_cell_formula_units_Z   (\d+)\n"
    r"loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n"
    r"loop_\n" + "".join(f" {column}\n" for column in _COLUMNS),
    re.ASCII,
)
_ROWS = re.compile(r"[A-Za-z0-9.+\-() \n]+")
"""No quote, comment or keyword: tokens are what blanks part, as in any loop of a CIF."""


class PlainCif(NamedTuple):
    """What the file says.

    Attributes:
        lengths: of the cell, Å.
        angles: of the cell, degrees.
        formula: of the whole cell.
        volume: of the cell, Å^3, as written.
        units: the number of formula units in it, as written.
        columns: of the atom-site loop by name, one token per site.
    """

    lengths: list[float]
    angles: list[float]
    formula: str
    volume: str
    units: str
    columns: dict[str, list[str]]


def plain_cif(text: str) -> PlainCif | None:
    """Take a file apart; None if it has another layout, or rows that are not complete."""
    header = _HEADER.match(text)
    if header is None or _ROWS.fullmatch(text, header.end()) is None:
        return None
    tokens = text[header.end() :].split()
    width = len(_COLUMNS)
    if not tokens or len(tokens) % width:
        return None
    *cell, quoted, bare, volume, units = header.groups()
    lengths_and_angles = list(map(float, cell))
    columns = {column: tokens[i::width] for i, column in enumerate(_COLUMNS)}
    return PlainCif(lengths_and_angles[:3], lengths_and_angles[3:], quoted or bare, volume, units, columns)
