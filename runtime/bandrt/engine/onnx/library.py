"""ONNX Runtime itself, imported here and nowhere else."""

from __future__ import annotations

import os
from typing import Any

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def load_onnxruntime() -> Any:
    """The module ``onnxruntime``, which is told before it is loaded to report nothing: some builds send events to their maker.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    os.environ[NO_TELEMETRY] = "1"
    import onnxruntime

    return onnxruntime
