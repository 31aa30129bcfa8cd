"""Gaps of engines beside a table of gaps, by elements and by size: on the formulas that every training of this project holds out.

    python tools/engine_gaps.py train/gaps/materials-project.csv.gz ENGINE... --limit 1500 -o gaps.json

Each engine predicts the same crystals, drawn from the test split of the table; one that hands crystals over to another does so
first as it ships, and then, as `ENGINE alone`, predicts them all itself. Printed and written are, of each engine and class,
the mean absolute error of the gap of non-metals (a metal predicted has a gap of 0), the share that is right on metal or not, and
how many non-metals are called metals.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import bandrt
from bandrt.crystal import Crystal
from bandrt.domain import OPEN_D_SHELL
from bandrt.results.prediction import Prediction
from bandrt_train.data.gap_labels import crystals_of_split, find_gaps
from bandrt_train.model.hamiltonian.atoms import LANTHANIDE_ROW

ACTINIDES = frozenset(range(89, 104))
ALONE = " alone"
"""After the name of an engine that predicts what it would leave to another."""
CLASSES = ("all", "with V to Ni", "with lanthanides", "with actinides", "others")
SIZES = {"1 to 4 atoms": range(1, 5), "5 to 8 atoms": range(5, 9), "9 to 16 atoms": range(9, 17), "17 to 60 atoms": range(17, 61)}
"""Of a crystal as the table writes it."""


def class_of(numbers: set[int]) -> str:
    """The first class that fits a crystal of these atomic numbers."""
    known = zip(CLASSES[1:4], (OPEN_D_SHELL, LANTHANIDE_ROW, ACTINIDES), strict=True)
    return next((name for name, some in known if numbers & some), CLASSES[4])


def size_of(crystal: Crystal) -> str:
    """The size that a crystal is counted among; larger ones are counted among none."""
    return next((name for name, sizes in SIZES.items() if crystal.n_atoms in sizes), "larger")


def held_out(table: Path, limit: int, most_atoms: int) -> list[tuple[str, Crystal, float]]:
    """Crystals of the test split with their gaps, drawn from the whole table."""
    sources = list(find_gaps(table))
    shuffled = (sources[place] for place in np.random.default_rng(0).permutation(len(sources)))
    return list(islice(crystals_of_split(shuffled, "test", max_atoms=most_atoms), limit))


def gaps_of(engine: bandrt.Engine, crystals: Iterable[Crystal]) -> list[float | None]:
    """The predicted gap of each crystal, eV, 0 for a metal; None where there is no prediction."""
    results = engine.predict(list(crystals))
    return [one.band_structure.band_gap if isinstance(one, Prediction) else None for one in results]


def scores(drawn: list[tuple[str, Crystal, float]], found: list[float | None]) -> dict[str, dict[str, Any]]:
    """Errors by class, and by size."""
    rows = [
        ({"all", class_of(set(crystal.atomic_numbers.tolist())), size_of(crystal)}, gap, own)
        for (_, crystal, gap), own in zip(drawn, found, strict=True)
        if own is not None
    ]
    made = {}
    for name in (*CLASSES, *SIZES):
        pairs = np.array([(gap, own) for of, gap, own in rows if name in of]).reshape(-1, 2)
        gap, own = pairs.T
        insulator = gap > 0.0
        if len(pairs):
            made[name] = {
                "n_crystals": len(pairs),
                "n_non_metals": int(insulator.sum()),
                "gap_mae_ev": round(float(np.abs(own - gap)[insulator].mean()), 4) if insulator.any() else None,
                "metal_accuracy": round(float(((own > 0.0) == insulator).mean()), 4),
                "non_metals_called_metals": round(float((own[insulator] == 0.0).mean()), 4) if insulator.any() else None,
            }
    return made


def main() -> None:
    """Predict and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("engines", nargs="+")
    parser.add_argument("--limit", type=int, default=1500, help="crystals, at most")
    parser.add_argument("--max-atoms", type=int, default=40, help="of a crystal")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    drawn = held_out(given.table, given.limit, given.max_atoms)
    report: dict[str, Any] = {"table": given.table.name, "max_atoms": given.max_atoms, "n_drawn": len(drawn), "engines": {}}
    for name in given.engines:
        for hand_over in (True, False):
            with bandrt.load(name, threads=given.threads, hand_over=hand_over) as engine:
                if not hand_over and engine.manifest.hand_over is None:
                    continue
                found = gaps_of(engine, (crystal for _, crystal, _ in drawn))
                values: dict[str, Any] = {"checkpoint_sha256": engine.manifest.checkpoint_sha256, "failed": found.count(None)}
                values["classes"] = scores(drawn, found)
            called = name if hand_over else f"{name}{ALONE}"
            report["engines"][called] = values
            for of, own in values["classes"].items():
                print(called, of, *(f"{key} {value}" for key, value in own.items()), sep="  ")
    if given.out is not None:
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
