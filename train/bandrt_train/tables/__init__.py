"""Tables of the elements and of free atoms, read here and nowhere else.

`element_properties.csv` comes from pymatgen 2026.10 (MIT licence; its sources are Wikipedia's and NIST's element pages, covalent
radii from Cordero et al., Dalton Trans. 2008, 2832) by ``tools/element_properties.py``. Radii are in Å, electronegativities in
Pauling's scale, ionisation energies and electron affinities in eV. `atomic_levels.csv` holds the orbitals of free atoms, by
``tools/atomic_levels.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files


def element_properties() -> Sequence[Mapping[str, str]]:
    """One row for each element, in the order of atomic numbers; empty text for what is not known."""
    return _rows("element_properties.csv")


def atomic_levels() -> Sequence[Mapping[str, str]]:
    """One row for each element whose free atom is tabulated."""
    return _rows("atomic_levels.csv")


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
