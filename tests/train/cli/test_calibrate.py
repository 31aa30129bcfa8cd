"""``bandrt train calibrate`` from real gaps to a shortlist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.engine.calibration_file import calibration_path
from bandrt_train.evaluation.screening.labelled import checksum
from bandrt_train.evaluation.screening.report import crystals_of, read_screening

ROOT = Path(__file__).resolve().parents[3]
TABLE = ROOT / "train" / "gaps" / "materials-project.csv.gz"


@pytest.mark.slow
def test_an_engine_gets_probabilities_that_its_results_are_ranked_by(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, report = tmp_path / "mine.onnx", tmp_path / "screening.json"
    shutil.copy(SHIPPED_ENGINES["fast"], engine)
    assert read_manifest(engine).calibration is None
    arguments = ["train", "calibrate", str(engine), str(TABLE), "--max-atoms", "4", "--threads", "1", "-q", "-o", str(report)]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "on the test split:" in said
    assert "Nothing is known of direct gaps." in said
    assert said.splitlines()[-1] == f"calibration: {calibration_path(engine)}"
    made = crystals_of(read_screening(report))
    assert read_manifest(engine).calibration == made.calibration
    assert made.calibration.gaps_sha256 == checksum(made.gaps["validation"])
    assert made.direct is None
    assert run(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    (tmp_path / "in").mkdir()
    shutil.copy(examples / "AlAs_mp-2172.cif", tmp_path / "in")
    out = str(tmp_path / "out")
    assert run(["infer", str(tmp_path / "in"), "-o", out, "--engine", str(engine), "--threads", "1", "--workers", "0", "-q"]) == 0
    assert run(["screen", out, "--gap", "1:2", "--json"]) == 0
    printed = capsys.readouterr().out
    [row] = json.loads(printed[printed.index("{") :])["crystals"]
    assert 0.0 < row["p_match"] < 1.0


def test_a_table_that_is_none_and_a_report_that_is_there_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    target = ["--calibration", str(tmp_path / "calibration.json")]
    assert run(["train", "calibrate", "fast", str(tmp_path / "table.csv"), *target]) == 1
    assert "error [not-a-gap-table]" in capsys.readouterr().err
    assert not (tmp_path / "calibration.json").exists()
    (tmp_path / "there.json").write_text("{}")
    assert run(["train", "calibrate", "fast", str(TABLE), *target, "-o", str(tmp_path / "there.json")]) == 2
    assert "error [output-exists]" in capsys.readouterr().err
