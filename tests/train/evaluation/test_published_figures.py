"""README, model card and RESULTS.md say what the stored reports say, and those are about the engine that ships."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from bandrt.engine import DEFAULT_ENGINE, read_manifest
from bandrt.files import file_sha256
from bandrt_train.cli.group import group
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "train" / "results"


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    return load_script(ROOT / "tools" / "published_tables.py")


def test_every_published_figure_comes_from_a_stored_report(publish: ModuleType) -> None:
    pages = publish.published()
    assert {path.name for path in pages} == {"README.md", "RESULTS.md"}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run python tools/published_tables.py"


@pytest.mark.parametrize("name", ["test", "later", "validation", "external"])
def test_the_reports_are_about_the_shipped_engine(name: str) -> None:
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert report["model"]["sha256"] == file_sha256(DEFAULT_ENGINE), "a new engine ships: evaluate it (train/RESULTS.md)"
    if name in ("test", "validation"):
        assert all(one["split"] == name and one["n_formulas_seen"] == 0 for one in report["sets"])


def test_the_figures_in_the_sentences_of_the_readme_are_the_stored_ones(publish: ModuleType) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    test, later = (json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["sets"][0] for name in ("test", "later"))
    trained = read_manifest(DEFAULT_ENGINE).training
    latencies = [row["latency"]["p50_ms"] for row in publish.benchmark("bench")["latency"] if row["batch"] == 1]
    ranked = [one["calibration"]["spearman"] for one in (test, later)]
    for sentence in (
        f"Trained on {trained.n_crystals} DFT band structures and {trained.n_gaps:,} gaps.",
        f"{later['n_formulas_seen']} of them with formulas of which it knew a gap",
        f"a correlation of {ranked[0]:.2f} on the test split, {ranked[1]:.2f} on the later",
        f"[{min(latencies):.0f} to {max(latencies):.0f} ms](#speed)",
    ):
        assert sentence in readme


def test_the_labels_called_later_are_none_that_the_engine_was_trained_on() -> None:
    commands = (ROOT / "train" / "RESULTS.md").read_text(encoding="utf-8")
    trained, later = (re.search(rf"{name}=\$\(echo train/labels/dft-pbe-{{(.*?)}}", commands) for name in ("LABELS", "LATER"))
    assert trained
    assert later
    shards = {shard.name[8:20] for shard in (ROOT / "train" / "labels").glob("dft-pbe-*.jsonl.gz")}
    known, new = (set(found[1].split(",")) for found in (trained, later))
    assert not known & new
    assert known | new <= shards


def test_the_validation_errors_are_those_in_the_manifest() -> None:
    stored = json.loads((RESULTS / "validation.json").read_text(encoding="utf-8"))
    [bands] = [one for one in stored["sets"] if one["kind"] == "bands"]
    trained = read_manifest(DEFAULT_ENGINE).training.metrics
    if not bands["training_known"]:
        pytest.skip("the labels have grown since this engine was trained")
    for field in ("energy_mae_ev", "gap_mae_ev", "metal_accuracy"):
        assert bands["models"]["model"]["total"][field] == pytest.approx(trained[f"validation/{field}"], abs=1e-3)


def test_the_card_command_writes_what_is_published(publish: ModuleType, tmp_path: Path) -> None:
    reports = [str(RESULTS / f"{name}.json") for name in publish.REPORTS]
    arguments = ["card", str(DEFAULT_ENGINE), *reports, "-o", str(tmp_path / "card.md"), "--sources", publish.SOURCES]
    CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == DEFAULT_ENGINE.with_name("README.md").read_text(encoding="utf-8")


def test_what_is_out_of_date_is_found_and_named(publish: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "README.md"
    monkeypatch.setattr(publish, "published", lambda: {page: page.read_text(encoding="utf-8") + "new\n"})
    monkeypatch.setattr(publish.sys, "argv", ["published_tables.py", "--check"])
    assert publish.main() == 1
    assert not page.read_text(encoding="utf-8").endswith("new\n")
