"""Write `bandrt_train/tables/element_properties.csv` from pymatgen's periodic table: ``python tools/element_properties.py``."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path

from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Element

OUTPUT = Path(__file__).resolve().parents[1] / "train" / "bandrt_train" / "tables" / "element_properties.csv"
COLUMNS = (
    "atomic_number", "symbol", "group", "period", "block", "valence_electrons", "covalent_radius",
    "electronegativity", "ionization_energy", "electron_affinity",
)  # fmt: skip
LAST_MEASURED = 103
"""Atomic number: ionisation energies and affinities of heavier elements are estimates, some of them absurd (Ds: 65 eV)."""


def valence_electrons(element: Element) -> int:
    """Electrons outside the noble-gas core, without the filled d and f shells below a later block."""
    core = max((z for z in (0, 2, 10, 18, 36, 54, 86) if z < element.Z), default=0)
    outside: int = element.Z - core
    if element.block == "p" and element.Z > 2:  # pymatgen puts helium there for its group
        return int(element.group) - 10
    if element.block == "d" and element.row >= 6:
        return outside - 14
    return outside


def written(element: Element, name: str) -> str:
    """The property as text, empty where pymatgen has none (it answers None, NaN or a KeyError) or only estimates."""
    if element.Z > LAST_MEASURED:
        return ""
    try:
        value = getattr(element, name)
    except KeyError:
        return ""
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def main() -> None:
    """Write one row per element, in order of atomic number."""
    warnings.simplefilter("ignore")  # pymatgen warns of every missing value; they are left empty here
    with OUTPUT.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for number in range(1, 119):
            element = Element.from_Z(number)
            # lanthanides and actinides stand in group 3 of pymatgen's table; group 0 keeps them apart here
            group = 0 if element.block == "f" else element.group
            table.writerow(
                [
                    number, element.symbol, group, element.row, "s" if number == 2 else element.block, valence_electrons(element),
                    CovalentRadius.radius.get(element.symbol, ""), written(element, "X"),
                    written(element, "ionization_energy"), written(element, "electron_affinity"),
                ]
            )  # fmt: skip


if __name__ == "__main__":
    main()
