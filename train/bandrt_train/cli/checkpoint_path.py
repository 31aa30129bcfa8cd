"""The checkpoint, or the model of either kind, that a command is given."""

from __future__ import annotations

from pathlib import Path

from bandrt import engine
from bandrt.cli.options import ShippedPath
from bandrt_train import description
from bandrt_train.weights import SHIPPED_CHECKPOINTS

CHECKPOINT = ShippedPath(SHIPPED_CHECKPOINTS)
"""A file, or the name of an engine that comes with bandrt, for its checkpoint."""


def require_model(path: Path) -> None:
    """Refuse a model that there is not: an engine by its suffix, anything else as a checkpoint.

    Commands ask this before they load torch, so that a wrong name is told at once, and where torch is not installed, too.

    Raises:
        EngineError: ``engine-not-found``.
        CheckpointError: ``checkpoint-not-found``.
    """
    is_engine = path.suffix.lower() in (engine.ONNX_SUFFIX, engine.PLAN_SUFFIX)
    (engine if is_engine else description).require_there(path)
