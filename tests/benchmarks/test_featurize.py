"""The featurisation benchmark runs, on our side and on pymatgen's."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from tests.support.scripts import load_script

STAGES = ("read CIF", "symmetry", "graph", "k-path", "total")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "featurize.py"
    return load_script(path)


def test_it_times_every_stage_on_the_example_crystals(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = CliRunner().invoke(benchmark.main, ["--crystals", "3", "--repeats", "1", "--pymatgen-sample", "0", "--no-save"])
    assert result.exit_code == 0, result.output
    assert all(stage in result.output for stage in STAGES)
    assert "pymatgen" not in result.output


def test_it_times_the_same_steps_in_pymatgen(benchmark: ModuleType, examples: Path) -> None:
    pytest.importorskip("pymatgen")
    text = (examples / "AlAs_mp-2172.cif").read_text(encoding="utf-8")
    ours, theirs = benchmark.time_stages(text), benchmark.time_pymatgen(text)
    assert tuple(ours) == tuple(theirs) == STAGES
    chunks = benchmark.time_chunks([text] * 3, 1)
    assert tuple(chunks) == STAGES
    total = benchmark.compare([(ours, theirs)], chunks)["stages_ms"]["total"]
    assert total["ratio_alone"] > 1
    assert total["ratio_in_chunks"] > 1
