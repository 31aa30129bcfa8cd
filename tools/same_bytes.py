"""Check that a change of the code changes no number: the energies of both engines before and after, byte for byte.

    python tools/same_bytes.py record before.json TABLE    # at the old commit
    python tools/same_bytes.py compare before.json TABLE   # at the new one

Predicts `examples/crystals` and crystals spread evenly over TABLE (a `.csv.gz` with columns `material_id` and `cif`), 500 by
`fast` and 50 by `accurate`, one thread, through the public API alone, so that the script outlives moves. Energies, k-points and
failures are hashed; a report is only comparable on the machine that made it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import bandrt
from bandrt.sources.tables import csv_records

ROOT = Path(__file__).resolve().parents[1]
N_CRYSTALS = {"fast": 500, "accurate": 50}
"""Of the table, by engine."""


def main(arguments: list[str] | None = None) -> int:
    """Record or compare; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("report", type=Path)
    parser.add_argument("table", type=Path)
    chosen = parser.parse_args(arguments)
    found = {f"{engine}: {name}": digest for engine in N_CRYSTALS for name, digest in digests(engine, chosen.table)}
    if chosen.action == "record":
        chosen.report.write_text(json.dumps(found, indent=0), encoding="utf-8")
        print(f"recorded {len(found)} predictions in {chosen.report}")
        return 0
    expected = json.loads(chosen.report.read_text(encoding="utf-8"))
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    for name in differing:
        print(f"{name}: {expected.get(name)} before, {found.get(name)} now")
    print(f"{len(expected) - len(differing)} of {len(expected)} predictions the same")
    return 1 if differing else 0


def digests(engine: str, table: Path) -> Iterator[tuple[str, str]]:
    """Name of each crystal, and a checksum of its energies and k-points by an engine, or the code of its failure."""
    files = sorted(path for path in (ROOT / "examples" / "crystals").iterdir() if path.name not in ("README.md", "LICENSE"))
    names, items = [path.name for path in files], [*map(str, files)]
    rows = _rows(table)
    chosen = [rows[place] for place in np.linspace(0, len(rows) - 1, min(N_CRYSTALS[engine], len(rows))).astype(int)]
    names += [name for name, _ in chosen]
    items += [cif for _, cif in chosen]
    with bandrt.load(engine, threads=1) as loaded:
        for name, result in zip(names, loaded.predict(items), strict=True):
            if isinstance(result, bandrt.Failure):
                yield name, f"failure {result.code}"
            else:
                bands = result.band_structure
                yield name, hashlib.sha256(bands.energies.tobytes() + bands.frac_kpoints.tobytes()).hexdigest()


def _rows(table: Path) -> list[tuple[str, str]]:
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        return [(row["material_id"], row["cif"]) for row in csv_records(file)[1]]


if __name__ == "__main__":
    sys.exit(main())
