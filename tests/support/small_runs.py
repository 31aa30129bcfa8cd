"""Folders of results that a page is made of: crystals without an engine, names that attack it, and rows by the thousand."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.results.prediction import Failure, Prediction
from bandrt.results.store import ERRORS, RUN, SUMMARY
from bandrt.results.summary import summary_header, summary_row
from tests.support.predicted_crystals import CUBIC, METAL, TRICLINIC, predicted, write_results

ATTACK = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
"""What must stay text, wherever it stands."""
KEEP = ("phase", "measured gap")


def small_run(folder: Path, *, rows: int = 0, engine: str = "fast") -> Path:
    """An output folder with seven crystals, one of them of an id that attacks the page, and three failures.

    Args:
        folder: where.
        rows: how many rows more the summary has, of crystals without bands.
        engine: the shipped one that the run says it was predicted with.
    """
    predictions = [
        kept(predicted("salt-10", CUBIC, gap=5.0), phase="rock salt", gap="4.9"),
        kept(
            predicted("salt-9", CUBIC, gap=1.25, warnings=("spin-orbit:Cs", "magnetic:Fe"), uncertainty=0.5),
            phase="halite",
            gap="12",
        ),
        kept(predicted("brass", METAL, gap=-0.5), phase="=1+1", gap=""),
        kept(predicted("oxide", TRICLINIC, gap=2.5, warnings=("magnetic:Ti",)), phase="triclinic", gap="3"),
        kept(predicted("close", TRICLINIC, gap=1.5, warnings=("close-atoms:O-O",), uncertainty=float("nan")), phase="", gap="100"),
        kept(predicted(ATTACK, CUBIC, gap=0.5), phase=ATTACK, gap="-1"),
        kept(predicted("a,b", CUBIC, gap=3.0), phase='say "so"', gap="2"),
    ]
    write_results(folder, [predictions[:4], predictions[4:]])
    write_summary(folder, predictions, rows)
    failures = [
        Failure("d", "somewhere/d.cif", "read", "cif-syntax", "it is cut short"),
        Failure("e", "somewhere/e.cif", "read", "cif-syntax", "it has no cell"),
        Failure(f"f {ATTACK}", f"somewhere/{ATTACK}", "predict", "of-tomorrow", ATTACK),
    ]
    (folder / ERRORS).write_text("".join(json.dumps(dataclasses.asdict(one)) + "\n" for one in failures), encoding="utf-8")
    (folder / RUN).write_text(json.dumps(run_record(engine)), encoding="utf-8")
    return folder


def kept(prediction: Prediction, *, phase: str, gap: str) -> Prediction:
    """The same with values of the columns that are kept."""
    return dataclasses.replace(prediction, kept=dict(zip(KEEP, (phase, gap), strict=True)))


def write_summary(folder: Path, predictions: Sequence[Prediction], rows: int = 0) -> None:
    """The summary of some predictions, and as many rows more, which repeat them under other ids."""
    with open(folder / SUMMARY, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(summary_header(KEEP, uncertainty=True))
        cells = [summary_row(one, KEEP) for one in predictions]
        table.writerows(cells)
        table.writerows([f"more-{number}", *cells[number % len(cells)][1:]] for number in range(rows))


def run_record(engine: str) -> dict[str, Any]:
    """What a run by a shipped engine records, with an input that attacks the page."""
    return {
        "bandrt_version": "0.1.0",
        "started": "2026-11-29T18:56:05+00:00",
        "inputs": ["crystals", ATTACK],
        "engine": {
            "path": f"models/{engine}.onnx",
            "checkpoint_sha256": read_manifest(SHIPPED_ENGINES[engine]).checkpoint_sha256,
            "variant": "bloch",
            "precision": "fp32",
            "backend": "onnx",
            "hand_over": "none",
        },
        "gpu": None,
        "options": {"device": "cpu", "threads": None, "bands": 6, "keep": list(KEEP)},
        "recipe": {"kpath": {"scheme": "latimer_munro", "n_kpoints": 64}, "symmetry": {"symprec": 0.01}, "graph": {"cutoff": 8.0}},
        "versions": {"python": "3.11.7"},
        "status": "finished",
        "counts": {"found": 10, "predicted": 7, "failed": 3},
        "seconds": {"wall": 1.5},
    }
