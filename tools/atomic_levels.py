"""Write `bandrt_train/tables/atomic_levels.csv` from pymatgen's table of atoms: ``python tools/atomic_levels.py``.

Occupied levels are those of free atoms in the local-density approximation (NIST Atomic Reference Data for Electronic Structure
Calculations, Kotochigova et al., in pymatgen). What an atom has empty they do not list; such levels are put where bonds find them.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pymatgen.core import Element

OUTPUT = Path(__file__).resolve().parents[1] / "train" / "bandrt_train" / "tables" / "atomic_levels.csv"
COLUMNS = ("atomic_number", "symbol", "electrons", "inner_s", "inner_p", "s", "p", "d", "f", "outer_s")
ORBITALS = {"s": 1, "p": 3, "d": 5, "f": 7}
HARTREE_EV = 27.2114
DEEPEST_EV = -70.0
"""Levels below this are core: they bind no neighbour and lie below any band that is predicted."""
LAST_COMPUTED = 92
"""Atomic number: heavier atoms take the levels of uranium, and their further electrons."""
EMPTY_S_EV = -3.0
"""The s level of palladium, which alone has none occupied."""
PROMOTION_EV = {"p": 3.0, "outer_s": 6.0}
"""How far above the s level, or the s and p levels, an empty one is put."""
LOWEST_OUTER_S_EV = 3.0


def levels(element: Element) -> dict[str, float | int]:
    """The levels of an atom by the name of their column, eV, and how many electrons it has in them."""
    known = {name: HARTREE_EV * energy for name, energy in element.atomic_orbitals.items()}
    period, electrons = element.row, element.Z
    places = {
        f"{period - 1}s": "inner_s",
        f"{period - 1}p": "inner_p",
        f"{period}s": "s",
        f"{period}p": "p",
        f"{period - 1}d": "d",
        f"{period - 2}f": "f",
    }
    found: dict[str, float | int] = {}
    for orbital, energy in known.items():
        place = places.get(orbital)
        if place is None or (energy < DEEPEST_EV and place not in {"s", "p"}):
            electrons -= 2 * ORBITALS[orbital[1]]
        else:
            found[place] = energy
    s = found.setdefault("s", EMPTY_S_EV)
    p = found.setdefault("p", s + PROMOTION_EV["p"])
    if "d" not in found:
        above, lowest = (2.0, -1.0) if period >= 4 else (6.0, 2.0)
        found["d"] = max(max(s, p) + above, lowest)
    found["outer_s"] = max(max(s, p) + PROMOTION_EV["outer_s"], LOWEST_OUTER_S_EV)
    return {"electrons": electrons, **found}


def main() -> None:
    """Write one row per element, in order of atomic number."""
    with OUTPUT.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        for number in range(1, 119):
            row = levels(Element.from_Z(min(number, LAST_COMPUTED)))
            row["electrons"] += max(0, number - LAST_COMPUTED)
            energies = {name: f"{value:.3f}" for name, value in row.items() if name != "electrons"}
            table.writerow(
                {"atomic_number": number, "symbol": Element.from_Z(number).symbol, "electrons": row["electrons"]} | energies
            )


if __name__ == "__main__":
    main()
