"""Write `train/gaps/materials-project-2018.csv.gz`: ``python tools/older_gaps.py GAPS.csv.gz STRUCTURES.csv.gz``.

GAPS is a table of ``material_id`` and ``band_gap_pbe_ev`` as the Materials Project had them in 2018, STRUCTURES one of
``material_id``, ``formula`` and ``cif``. A row is written of each crystal of which both are known, unless
`materials-project.csv.gz` has it already, with a ``weight`` that says what its gap counts in training (`weight_of`). Its CIF is
made shorter (`short_cif`).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from pathlib import Path

from bandrt.files import replaced
from bandrt.sources.tables import csv_records

FOLDER = Path(__file__).resolve().parents[1] / "train" / "gaps"
NEWER, OUTPUT = FOLDER / "materials-project.csv.gz", FOLDER / "materials-project-2018.csv.gz"
COLUMNS = ("material_id", "formula", "band_gap_pbe_ev", "weight", "cif")
WRONG = 0.09
"""Share of crystals that are metals in one of both tables and not in the other, among 7,863 that both know."""
SMALL_EV, SMALL_WEIGHT = 0.3, 0.3
"""Gaps up to the first number, but not 0, are often none: of 15 such crystals, of formulas that it has not learned, the engine
`accurate` calls nine metals, and one of six in the newer table. Where there is no gap, or a larger one, it disagrees with both
tables alike."""


def weight_of(gap: float) -> float:
    """What a gap in eV counts in training: labels that are wrong with probability p teach 1 - 2 p of what right ones do."""
    return SMALL_WEIGHT if 0.0 < gap <= SMALL_EV else round(1.0 - 2.0 * WRONG, 1)


SITE_COLUMNS = (0, 3, 4, 5)
"""Of an atom as pymatgen writes it: species, and fractional coordinates; beside them its label, multiplicity and occupancy."""
UNWANTED = ("#", "_atom_site_l", "_atom_site_s", "_atom_site_o", "_chemical_formula_structural", "_cell_formula", "_cell_volume")
"""How lines start that say nothing of a crystal whose atoms are all listed, once and whole."""


def short_cif(text: str) -> str:
    """The same crystal in fewer letters: a CIF of pymatgen without symmetry, of ordered sites.

    No digit but zeros at the end is left out, so the crystal that is read is the same to the last bit.
    """
    lines = []
    for words in (line.split() for line in text.splitlines() if line and not line.strip().startswith(UNWANTED)):
        is_site = len(words) == 7 and not words[0].startswith("_")
        if is_site and (words[2], words[6]) != ("1", "1"):
            raise ValueError(f"a site that is not there once and whole: {' '.join(words)}")
        kept = [words[i] for i in SITE_COLUMNS] if is_site else words
        lines.append(re.sub(r"(?<=\.)(\d+?)0+\b", r"\1", " ".join(kept)))
    return "\n".join(lines) + "\n"


def table_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv_records(stream)[1])


def main(gaps: Path, structures: Path) -> None:
    """Join and write."""
    crystals = {row["material_id"]: row for row in table_of(structures)}
    newer = {row["material_id"] for row in table_of(NEWER)}
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in sorted(table_of(gaps), key=lambda one: one["material_id"]):
        known = crystals.get(row["material_id"])
        if known is not None and row["material_id"] not in newer:
            gap = row["band_gap_pbe_ev"]
            weight, cif = weight_of(float(gap)), short_cif(known["cif"])
            writer.writerow({**known, "band_gap_pbe_ev": gap, "weight": weight, "cif": cif})
    with replaced(OUTPUT, "wb") as file:
        file.write(gzip.compress(text.getvalue().encode(), 9, mtime=0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
