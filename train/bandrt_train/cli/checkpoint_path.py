"""The checkpoint that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bandrt.cli.options import NamedPath
from bandrt_train.weights import NAME, SHIPPED


class CheckpointPath(NamedPath):
    """A file, or the word ``shipped`` for the checkpoint that comes with bandrt, where no file is called so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn an argument into a path."""
        return SHIPPED if value == NAME and not Path(NAME).exists() else super().convert(value, param, ctx)
