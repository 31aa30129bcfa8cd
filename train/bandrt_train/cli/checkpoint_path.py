"""The checkpoint that a command is given."""

from __future__ import annotations

from bandrt.cli.options import ShippedPath
from bandrt_train.weights import SHIPPED

CHECKPOINT = ShippedPath(SHIPPED)
"""A file, or the word ``shipped`` for the checkpoint that comes with bandrt."""
