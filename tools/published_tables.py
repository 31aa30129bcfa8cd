"""Write every published figure of the shipped engine from what was stored: ``python tools/published_tables.py [--check]``.

``train/results/*.json`` are reports of ``bandrt train evaluate`` about the engine that ships, and ``ablation.json`` the rows of
``bandrt train compare --json``. From them come the model card beside the engine, the tables of ``train/RESULTS.md`` and those of
the README, so that no two of them can say different things.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bandrt.engine import DEFAULT_ENGINE, read_manifest
from bandrt.files import file_sha256, replaced
from bandrt_train.evaluation import ablation
from bandrt_train.evaluation.card import card
from bandrt_train.evaluation.markdown import compact_table, replace_block, section, title
from bandrt_train.evaluation.report import read_report

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "train" / "results"
REPORTS = ("test", "validation", "external")
"""In this order; the README shows the first."""
SOURCES = (
    "Labels: made for this project, CC BY 4.0 (`train/labels`). Gaps and most geometries: the Materials Project, CC BY 4.0"
    " (doi 10.1063/1.4812323; `train/gaps`). Pretraining: a tight-binding model in the public domain (`train/tight-binding`)."
)
ENGINE = ROOT / "runtime" / "bandrt" / "models" / DEFAULT_ENGINE.name


def published() -> dict[Path, str]:
    """What each file must say."""
    reports = {name: read_report(RESULTS / f"{name}.json") for name in REPORTS}
    readme, results = ROOT / "README.md", ROOT / "train" / "RESULTS.md"
    shown = [f"**{title(one)}**\n\n{compact_table(one, 'shipped engine')}" for one in reports[REPORTS[0]]["sets"]]
    sections = [section(one) for report in reports.values() for one in report["sets"]]
    rows = json.loads((RESULTS / "ablation.json").read_text(encoding="utf-8"))
    text = replace_block(results.read_text(encoding="utf-8"), "shipped", "\n\n".join(sections))
    return {
        ENGINE.with_name("README.md"): card(read_manifest(ENGINE), file_sha256(ENGINE), list(reports.values()), sources=SOURCES),
        readme: replace_block(readme.read_text(encoding="utf-8"), "figures", "\n\n".join(shown)),
        results: replace_block(text, "ablation", ablation.table(rows)),
    }


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
