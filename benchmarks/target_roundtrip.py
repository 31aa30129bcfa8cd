"""What the project's own k-path costs: DFT bands to 256 points and back, in meV, over every label.

    python benchmarks/target_roundtrip.py                       the labels of this repository
    python benchmarks/target_roundtrip.py FOLDER_OR_FILE...     other band documents with their structures

`round trip` is the error at the k-points where DFT computed the bands, after putting them on the path and interpolating back;
`gap` compares the gap on the path with the gap over DFT's own k-points; `symmetry spread` is the largest difference between
energies that DFT gave at k-points which the symmetry found here makes equivalent.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np

from bandrt.computed.lines import document_crystal
from bandrt.errors import InputError
from bandrt.kpaths import kpath_of
from bandrt.manifest import BandRule
from bandrt.recipe import KpathRecipe, Scheme
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.data.targets import make_targets, round_trip_error

ROOT = Path(__file__).resolve().parents[1]
RULE = BandRule()


@click.command(help=__doc__)
@click.argument("sources", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--scheme", type=click.Choice(["latimer_munro", "setyawan_curtarolo"]), default="latimer_munro", show_default=True)
@click.option("--save/--no-save", default=True, help="Whether to write benchmarks/results/target_roundtrip-DATE.json.")
def main(sources: tuple[Path, ...], scheme: Scheme, save: bool) -> None:
    refused: Counter[str] = Counter()
    crystals: list[dict[str, Any]] = []
    for source in find_documents(list(sources) or [ROOT / "train" / "labels"]):
        try:
            crystals.append(measure(source.read().document, scheme))
        except InputError as error:
            refused[error.code] += 1
    if not crystals:
        raise click.ClickException(f"no document could be used: {dict(refused)}")
    report = {
        "what": f"DFT bands on the 256-point {scheme} path and back",
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("bandrt", "numpy", "moyopy")},
        "source": "other documents" if sources else "train/labels",
        "crystals": len(crystals),
        "refused": dict(refused),
        "mapped_fraction": round(float(np.mean([c["mapped_fraction"] for c in crystals])), 4),
        "crystals_mapped_completely": sum(c["mapped_fraction"] == 1.0 for c in crystals),
        "mapped_in_part": {
            c["id"]: {"mapped_fraction": c["mapped_fraction"], "unmapped": c["unmapped"]} for c in crystals if c["unmapped"]
        },
        "round_trip_mev": {
            "mean": round(float(np.mean([c["mean"] for c in crystals])), 2),
            "p99": round(float(np.mean([c["p99"] for c in crystals])), 2),
            "max": round(max(c["max"] for c in crystals), 1),
        },
        "gap_mev": {
            "mean_abs": round(float(np.mean([abs(c["gap_error"]) for c in crystals if not c["is_metal"]])), 2),
            "max_abs": round(max(abs(c["gap_error"]) for c in crystals if not c["is_metal"]), 1),
        },
        "symmetry_spread_mev": {
            "median": round(float(np.median([c["spread"] for c in crystals])), 2),
            "max": round(max(c["spread"] for c in crystals), 1),
        },
        "ms_per_crystal": round(float(np.mean([c["ms"] for c in crystals])), 1),
    }
    click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    if save:
        target = ROOT / "benchmarks" / "results" / f"target_roundtrip-{date.today().isoformat()}.json"
        target.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        click.echo(f"saved {target.relative_to(ROOT)}", err=True)


def measure(document: Any, scheme: Scheme) -> dict[str, Any]:
    """One crystal: how much is mapped, and what it costs (meV)."""
    cell = standardize(document_crystal(document), name=document.id)
    kpath = kpath_of(cell, KpathRecipe(scheme=scheme))
    start = process_time()
    targets = make_targets(document, cell, kpath, RULE)
    milliseconds = 1e3 * (process_time() - start)
    error = 1e3 * np.abs(round_trip_error(targets, kpath, document, cell, RULE))
    known = targets.energies[:, targets.mask.all(axis=0)]
    gap = float(known[RULE.n_valence :].min() - known[: RULE.n_valence].max())
    return {
        "id": document.id,
        "is_metal": targets.is_metal,
        "mapped_fraction": targets.report.mapped_fraction,
        "unmapped": targets.report.unmapped,
        "mean": float(np.nanmean(error)),
        "p99": float(np.nanpercentile(error, 99)),
        "max": float(np.nanmax(error)),
        "gap_error": 1e3 * (gap - targets.band_gap),
        "spread": 1e3 * targets.report.symmetry_spread_ev,
        "ms": milliseconds,
    }


if __name__ == "__main__":
    main()
