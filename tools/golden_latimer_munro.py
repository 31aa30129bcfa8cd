"""Write latimer_munro_segments.json.gz: the segments that pymatgen's KPathLatimerMunro selects for real crystals.

    python tools/golden_latimer_munro.py structures.csv.gz

Takes a table of crystals with the columns `material_id` and `cif`, keeps the smallest two of each space group, and stores
pymatgen's primitive standard cell of each with the end points of pymatgen's segments, fractional in the reciprocal of that
cell: `selected`, one of each set of equivalent lines that meets the criteria, and `segments`, what is left of them in the
path. Needs pymatgen, which the tests that read the file do not. Crystals for which pymatgen fails are named and left out.
"""

from __future__ import annotations

import gzip
import json
import sys
import warnings
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.symmetry.kpath import KPathLatimerMunro

from bandrt.errors import InputError
from bandrt.readers.cif import read_cif
from bandrt.sources.tables import csv_records
from bandrt.symmetry.standard_cell import standardize

OUTPUT = Path(__file__).resolve().parents[1] / "tests" / "runtime" / "kpaths" / "golden" / "latimer_munro_segments.json.gz"
PER_SPACE_GROUP = 2


class SelectionKept(KPathLatimerMunro):
    """pymatgen's path, which also remembers the lines it selected before it moved them into one wedge."""

    def _choose_path(self, **arguments: Any) -> tuple[list[int], list[int]]:
        points, lines = super()._choose_path(**arguments)
        ends = [arguments["key_lines_inds_orbits"][line][0] for line in lines]
        self.selected = [[arguments["key_points"][a], arguments["key_points"][b]] for a, b in ends]
        return points, lines


def rounded(points: Any) -> Any:
    """Nested lists with nine decimals."""
    return (np.round(np.array(points), 9) + 0.0).tolist()


def chosen_rows(table: Path) -> list[dict[str, str]]:
    """The smallest crystals of each space group."""
    groups: defaultdict[int, list[tuple[int, str, dict[str, str]]]] = defaultdict(list)
    with gzip.open(table, "rt", encoding="utf-8") as rows:
        for row in csv_records(rows)[1]:
            try:
                cell = standardize(read_cif(row["cif"]))
            except InputError:
                continue
            entries = groups[cell.space_group]
            entries.append((cell.crystal.n_atoms, row["material_id"], row))
            entries.sort(key=lambda entry: entry[:2])
            del entries[PER_SPACE_GROUP:]
    return [row for number in sorted(groups) for _, _, row in groups[number]]


def golden_entry(row: dict[str, str]) -> dict[str, object]:
    """One crystal with pymatgen's segments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_str(row["cif"], fmt="cif")
        primitive = SpacegroupAnalyzer(structure).get_primitive_standard_structure(international_monoclinic=False)
        path = SelectionKept(primitive)
        number = SpacegroupAnalyzer(primitive).get_space_group_number()
    ends = path.kpath["kpoints"]
    return {
        "material_id": row["material_id"],
        "space_group": number,
        "lattice": rounded(primitive.lattice.matrix),
        "atomic_numbers": [int(z) for z in primitive.atomic_numbers],
        "frac_coords": rounded(primitive.frac_coords),
        "selected": rounded(path.selected),
        "segments": rounded([[ends[a], ends[b]] for branch in path.kpath["path"] for a, b in pairwise(branch)]),
    }


def main() -> None:
    """Write the golden file."""
    entries = []
    for row in chosen_rows(Path(sys.argv[1])):
        try:
            entries.append(golden_entry(row))
        except Exception as error:  # whatever pymatgen raises: the file holds what it gives, not why it fails
            print(f"{row['material_id']}: pymatgen fails: {type(error).__name__} {error}")
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    OUTPUT.write_bytes(gzip.compress(f"[\n{lines}\n]\n".encode(), mtime=0))
    print(f"{len(entries)} crystals of {len({entry['space_group'] for entry in entries})} space groups")


if __name__ == "__main__":
    main()
