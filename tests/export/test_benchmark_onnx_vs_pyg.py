"""The benchmark of ONNX Runtime against PyTorch Geometric runs on a trained checkpoint."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from click.testing import CliRunner

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "onnx_vs_pyg.py"


def test_it_times_both_sides_of_a_checkpoint(exported: Any) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_onnx_vs_pyg", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = ["--checkpoint", str(exported.checkpoint), "--batch", "2", "--repeats", "1", "--no-save"]
    result = CliRunner().invoke(module.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "ratio" in result.output
