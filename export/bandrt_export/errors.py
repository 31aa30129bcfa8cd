"""What goes wrong when a checkpoint is turned into an engine."""

from __future__ import annotations

from bandrt.errors import BandrtError


class ExportError(BandrtError):
    """A checkpoint cannot be exported, or what came out is not the same model."""
