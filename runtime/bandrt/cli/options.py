"""Options that several commands have, spelled and explained once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click


class NamedPath(click.Path):
    """A path that was given: an empty one, as of a shell variable that is not set, would be this folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty one."""
        if not os.fspath(value):
            self.fail("a path is empty; is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


PATH = NamedPath()
"""A file or folder."""
Command = TypeVar("Command", bound=Callable[..., Any])


def out(help: str, *, required: bool = False) -> Callable[[Command], Command]:
    """``-o`` and ``--out``: where a command writes. Whether it can is the command's to find out, with `bandrt.files`."""
    return click.option("-o", "--out", "out", required=required, type=PATH, help=help)


def overwrite(help: str = "Replace what is there already.") -> Callable[[Command], Command]:
    """``--overwrite``: without it, nothing that is there is replaced."""
    return click.option("--overwrite", is_flag=True, help=help)


def device(help: str) -> Callable[[Command], Command]:
    """``--device``: where an engine runs."""
    return click.option("--device", metavar="DEVICE", help=help)


def threads(of: str = "of the model") -> Callable[[Command], Command]:
    """``--threads``: CPU threads."""
    return click.option("--threads", type=click.IntRange(1), help=f"CPU threads {of}; all cores by default.")


def workers(help: str, *, default: int | None = None, least: int = 1) -> Callable[[Command], Command]:
    """``--workers``: processes beside this one."""
    return click.option("--workers", type=click.IntRange(least), default=default, show_default=default is not None, help=help)


def as_json(what: str) -> Callable[[Command], Command]:
    """``--json``: for programs, on standard output."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON on standard output.")
