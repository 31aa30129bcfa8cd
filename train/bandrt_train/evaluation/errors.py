"""What keeps an evaluation from being made or read."""

from __future__ import annotations

from bandrt.errors import BandrtError


class EvaluationError(BandrtError):
    """A model, data set or report that cannot be compared."""
