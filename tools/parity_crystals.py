"""Write `bandrt_export/parity_crystals.json`: ``python tools/parity_crystals.py STRUCTURES.csv.gz``.

STRUCTURES is a table of Materials Project crystals with columns ``material_id``, ``formula``, ``n_sites`` and ``cif``. One crystal
is taken for each wanted size, all of different elements as far as that goes, and different space groups.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from bandrt.crystal import Crystal
from bandrt.readers.cif import read_cif
from bandrt.sources.tables import csv_records
from bandrt.symmetry.standard_cell import standardize

OUTPUT = Path(__file__).resolve().parents[1] / "export" / "bandrt_export" / "parity_crystals.json"
SIZES = (1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 31, 40)
"""Atoms in the primitive cell."""
PER_SIZE = 60
"""Crystals of one size looked at."""


def main(table: Path) -> None:
    """Choose and write."""
    candidates: dict[int, list[dict[str, str]]] = defaultdict(list)
    with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
        for row in csv_records(stream)[1]:
            candidates[int(row["n_sites"])].append(row)
    elements: set[str] = set()
    groups: set[int] = set()
    chosen = []
    for size in SIZES:
        best, best_score = None, -1.0
        for row in sorted(candidates[size], key=lambda r: r["material_id"])[:PER_SIZE]:
            cell = standardize(read_cif(row["cif"]))
            found = set(re.findall("[A-Z][a-z]?", row["formula"]))
            score = len(found - elements) / len(found) + (cell.space_group not in groups)
            if cell.crystal.n_atoms == size and score > best_score:
                best, best_score, space_group, crystal = row, score, cell.space_group, read_cif(row["cif"])
        assert best is not None, f"no crystal of {size} atoms"
        candidates[size].remove(best)
        elements |= set(re.findall("[A-Z][a-z]?", best["formula"]))
        groups.add(space_group)
        chosen.append(entry(best, crystal))
    content = {"source": "Materials Project, materialsproject.org", "licence": "CC BY 4.0", "crystals": chosen}
    OUTPUT.write_text(json.dumps(content, indent=None, separators=(",", ":")).replace('{"id"', '\n{"id"') + "\n", encoding="utf-8")


def entry(row: dict[str, str], crystal: Crystal) -> dict[str, object]:
    """One crystal as JSON values; eight digits keep symmetry well within its tolerance."""
    return {
        "id": row["material_id"],
        "formula": row["formula"],
        "lattice": crystal.lattice.round(8).tolist(),
        "atomic_numbers": crystal.atomic_numbers.tolist(),
        "frac_coords": crystal.frac_coords.round(8).tolist(),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
