"""Write every published figure of the shipped engine from what was stored: ``python tools/published_tables.py [--check]``.

``train/results/*.json`` are reports of ``bandrt train evaluate`` about the engine that ships, ``ablation.json`` the rows of
``bandrt train compare --json``, and ``benchmarks/results/*.json`` what the benchmarks saved. From them come the model card beside
the engine, the tables of ``train/RESULTS.md`` and those of the README, so that no two of them can say different things.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bandrt.engine import DEFAULT_ENGINE, read_manifest
from bandrt.files import file_sha256, replaced
from bandrt_train.evaluation import ablation
from bandrt_train.evaluation.card import card
from bandrt_train.evaluation.markdown import overview, replace_block, section
from bandrt_train.evaluation.report import read_report

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "train" / "results"
BENCHMARKS = ROOT / "benchmarks" / "results"
REPORTS = ("test", "later", "validation", "external")
"""In this order; the README shows the first two."""
N_IN_README = 2
SOURCES = (
    "Labels: made for this project, CC BY 4.0 (`train/labels`). Gaps and most geometries: the Materials Project, CC BY 4.0"
    " (doi 10.1063/1.4812323; `train/gaps`). Pretraining: a tight-binding model in the public domain (`train/tight-binding`)."
)
WANTED_RATIO = 2.0
"""How much faster than PyTorch Geometric an engine shall be."""
ENGINE = ROOT / "runtime" / "bandrt" / "models" / DEFAULT_ENGINE.name


def published() -> dict[Path, str]:
    """What each file must say."""
    reports = {name: read_report(RESULTS / f"{name}.json") for name in REPORTS}
    readme, results = ROOT / "README.md", ROOT / "train" / "RESULTS.md"
    shown = overview([one for name in REPORTS[:N_IN_README] for one in reports[name]["sets"]], "shipped engine")
    sections = [section(one) for report in reports.values() for one in report["sets"]]
    rows = json.loads((RESULTS / "ablation.json").read_text(encoding="utf-8"))
    text = replace_block(results.read_text(encoding="utf-8"), "shipped", "\n\n".join(sections))
    return {
        ENGINE.with_name("README.md"): card(read_manifest(ENGINE), file_sha256(ENGINE), list(reports.values()), sources=SOURCES),
        readme: replace_block(replace_block(readme.read_text(encoding="utf-8"), "figures", shown), "speed", speed_table()),
        results: replace_block(text, "ablation", ablation.table(rows)),
    }


def benchmark(name: str) -> dict[str, Any]:
    """The newest results that a benchmark saved under this name."""
    found = json.loads(max(BENCHMARKS.glob(f"{name}-*.json")).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def speed_table() -> str:
    """What was measured beside what was wanted, as a Markdown table."""
    features, bench = benchmark("featurize"), benchmark("bench")
    ratio = features["pymatgen"]["stages_ms"]["total"]["ratio_in_chunks"]
    chunks, others, alone_ms = (
        features["chunks_mean_ms"]["total"],
        features["others"]["mean_ms"],
        features["alone_ms"]["total"]["mean"],
    )
    rows = [
        (
            f"featurisation of {features['crystals']['count']:,} crystals of up to {features['crystals']['max_atoms']} atoms, mean",
            f"{chunks:.2f} ms in chunks, {ratio:.0f} times faster than the same steps in pymatgen;"
            f" {others:.2f} ms in a single pass over others; {alone_ms:.2f} ms alone",
            "0.5 ms; 250 times",
        )
    ]
    for name, variant in (("shipped engine", "bloch"), ("`paper` variant", "paper")):
        measured = benchmark(f"onnx_vs_pyg-{variant}")["rows"]
        alone, sixteen = ([row["ratio"] for row in measured if row["batch"] == n] for n in (1, 16))
        missed = "" if min(alone + sixteen) >= WANTED_RATIO else ": **missed**"
        rows.append(
            (
                f"{name}, ONNX Runtime against PyTorch Geometric, batches of 1 and 16",
                f"{span(alone)} and {span(sixteen)} times faster",
                f"{WANTED_RATIO:.0f} times{missed}",
            )
        )
    single = [(row["max_atoms"], row["latency"]["p50_ms"]) for row in bench["latency"] if row["batch"] == 1]
    shown = [single[0], min(single, key=lambda one: abs(one[0] - 10)), single[-1]]
    sizes, times = (", ".join(texts) for texts in zip(*((str(n), f"{ms:.1f}") for n, ms in shown), strict=True))
    rows.append((f"shipped engine, one crystal of {sizes} atoms, median", f"{times} ms", ""))
    return "\n".join(["| | measured | wanted |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def span(values: list[float]) -> str:
    """From the lowest to the highest, to a tenth."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def main() -> int:
    """Write or check; 1 when a file does not say what it must."""
    check = sys.argv[1:] == ["--check"]
    stale = {path: text for path, text in published().items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        sys.stderr.write(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}\n")
        if not check:
            with replaced(path) as file:
                file.write(text)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
