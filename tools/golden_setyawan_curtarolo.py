"""Write setyawan_curtarolo.json.gz: what pymatgen gives for real crystals, as the oracle of the Setyawan-Curtarolo tests.

Needs pymatgen and the reference data folder `shared` beside the project. Run from anywhere:
    python tools/golden_setyawan_curtarolo.py

Crystals are taken in the order of `structures.csv.gz`, `PER_KIND` for each pair of space group and variation (as this project
finds them), where pymatgen succeeds. Structures: Materials Project, CC BY 4.0.
"""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.symmetry.kpath import KPathSetyawanCurtarolo

from bandrt.kpaths.setyawan_curtarolo import variation
from bandrt.readers import read_cif
from bandrt.symmetry.standard_cell import standardize

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
OUTPUT = ROOT / "tests" / "runtime" / "kpaths" / "golden" / "setyawan_curtarolo.json.gz"
MAX_SITES = 12
PER_KIND = 2
PER_KIND_LOW_SYMMETRY = 8
"""Triclinic and monoclinic crystals: few space groups, much freedom of choice."""


def main() -> None:
    """Write the golden file."""
    kinds: Counter[tuple[int, str]] = Counter()
    records = []
    with gzip.open(SHARED / "data" / "structures.csv.gz", "rt") as table:
        for row in csv.DictReader(table):
            if int(row["n_sites"]) > MAX_SITES:
                continue
            cell = standardize(read_cif(row["cif"]))
            kind = cell.space_group, variation(cell)
            wanted = PER_KIND_LOW_SYMMETRY if cell.space_group <= 15 else PER_KIND
            if kinds[kind] < wanted and (record := oracle(row)):
                kinds[kind] += 1
                records.append(record)
    records.sort(key=lambda record: (record["space_group"], record["variation"], record["material_id"]))
    text = json.dumps(records, ensure_ascii=False, separators=(",", ":"))
    OUTPUT.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(len(records), "crystals,", len({record["space_group"] for record in records}), "space groups")
    print(Counter(record["variation"] for record in records))


def oracle(row: dict[str, str]) -> dict[str, Any] | None:
    """What pymatgen makes of a crystal; None where it fails."""
    analyzer = SpacegroupAnalyzer(Structure.from_str(row["cif"], fmt="cif"), symprec=0.01)
    primitive = analyzer.get_primitive_standard_structure(international_monoclinic=False)
    try:
        path = KPathSetyawanCurtarolo(primitive, symprec=0.01)
        kpath = path.kpath
    except Exception as error:
        print(row["material_id"], analyzer.get_space_group_number(), type(error).__name__, error)
        return None
    return {
        "material_id": row["material_id"],
        "space_group": analyzer.get_space_group_number(),
        "variation": path.name,
        "lattice": path.prim.lattice.matrix.tolist(),
        "conventional": path.conventional.lattice.matrix.tolist(),
        "atomic_numbers": [int(z) for z in path.prim.atomic_numbers],
        "frac_coords": [[round(x, 8) for x in site] for site in path.prim.frac_coords.tolist()],
        "kpoints": {plain(k): [float(x) for x in v] for k, v in kpath["kpoints"].items()},
        "path": [[plain(label) for label in stroke] for stroke in kpath["path"]],
    }


def plain(label: str) -> str:
    """Write a pymatgen label as this project does."""
    return label.replace("\\Gamma", "Γ").replace("\\Sigma", "Σ")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
