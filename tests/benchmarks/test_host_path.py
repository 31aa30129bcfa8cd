"""The benchmark of everything beside a model runs, and adds up."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from tests.support.scripts import load_script


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    pytest.importorskip("resource")
    return load_script(Path(__file__).resolve().parents[2] / "benchmarks" / "host_path.py")


@pytest.fixture
def table(tmp_path: Path, examples: Path) -> Path:
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["cif"], *([one.read_text(encoding="utf-8")] for one in sorted(examples.glob("*.cif"))[:8])])
    return path


def test_it_says_what_each_process_costs(
    benchmark: ModuleType, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path)
    result = CliRunner().invoke(benchmark.main, [str(table), "--crystals", "6", "--workers", "0", "--repeats", "1"])
    assert result.exit_code == 0, result.output
    report = json.loads(next(tmp_path.glob("host_path-*.json")).read_text(encoding="utf-8"))
    assert report["crystals"] == {"count": 6, "predicted": 6}
    assert report["main_ms"] > 0
    assert report["all_ms"] == pytest.approx(report["main_ms"] + report["workers_ms"], abs=1e-3)
    assert report["main_crystals_per_s"] == pytest.approx(1e3 / report["main_ms"], rel=1e-2)
