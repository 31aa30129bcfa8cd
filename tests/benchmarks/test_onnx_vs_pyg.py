"""The benchmark of ONNX Runtime against PyTorch Geometric runs on a trained checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.support.scripts import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "onnx_vs_pyg.py"


def test_it_times_both_sides_of_a_checkpoint(exported: Any) -> None:
    module = load_script(SCRIPT)
    arguments = ["--checkpoint", str(exported.checkpoint), "--batch", "2", "--repeats", "1", "--no-save"]
    result = CliRunner().invoke(module.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "ratio" in result.output
