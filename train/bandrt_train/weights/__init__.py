"""The checkpoint that the shipped engine was exported from, for engines of other precision or backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

SHIPPED: Final = Path(__file__).with_name("shipped.pt")
NAME: Final = "shipped"
"""What the command line calls it."""


class CheckpointPath(click.Path):
    """A file, or the word ``shipped`` for the checkpoint that comes with bandrt, where no file is called so."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn an argument into a path."""
        return SHIPPED if value == NAME and not Path(NAME).exists() else super().convert(value, param, ctx)
