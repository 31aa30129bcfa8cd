"""The checkpoint that a command is given."""

from __future__ import annotations

from bandrt.cli.options import ShippedPath
from bandrt_train.weights import SHIPPED_CHECKPOINTS

CHECKPOINT = ShippedPath(SHIPPED_CHECKPOINTS)
"""A file, or the name of an engine that comes with bandrt, for its checkpoint."""
