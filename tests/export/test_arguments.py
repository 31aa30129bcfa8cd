"""Words that an export takes are checked before it works for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.errors import ArgumentError
from bandrt_export.onnx import export_onnx
from bandrt_export.plan.build import build_plan


def test_an_unknown_precision_or_backend_is_refused_before_anything_is_read_or_written(tmp_path: Path) -> None:
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(ArgumentError, match="precision is 'fp8', allowed: 'fp32', 'fp16'"):
        export_onnx(tmp_path / "nosuch.pt", out, precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="backend is 'onnx', allowed: 'tensorrt', 'tensorrt-rtx'"):
        build_plan(tmp_path / "nosuch.onnx", out, backend="onnx")  # type: ignore[arg-type]
    assert not out.parent.exists()
