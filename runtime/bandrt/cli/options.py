"""Options that several commands have, spelled and explained once."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from bandrt.engine import NAMED_ENGINES, shipped_path
from bandrt.engine.session import MAX_THREADS
from bandrt.files import from_home
from bandrt.quoting import printable
from bandrt.run.workers import MAX_WORKERS


class NamedPath(click.Path):
    """A path that was given: an empty one, as of a shell variable that is not set, would be this folder.

    A ``~`` that the shell leaves, such as that of ``--out=~/bands``, is the home folder, too.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)  # what cannot be read is reported by whoever reads it

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty one; go home from ``~``."""
        if not os.fspath(value):
            self.fail("a path is empty; is a variable of the shell not set?", param, ctx)
        return super().convert(from_home(os.fsdecode(value)), param, ctx)


class ShippedPath(NamedPath):
    """A file, or the name of an engine that comes with bandrt for a file of it, where nothing here is called so."""

    def __init__(self, shipped: Mapping[str, Path]) -> None:
        super().__init__()
        self._shipped = shipped

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn an argument into a path."""
        return shipped_path(value, self._shipped) or super().convert(value, param, ctx)


class OutPath(NamedPath):
    """Where a command writes; ``-``, by which other programs mean standard output, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse standard output: a file is written under another name, and moved into place when it is whole."""
        if value == "-":
            self.fail("nothing is written to standard output; name a file or folder (./- for one that is called so)", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number within a range; what is none (nan), or has no end (inf), is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is not finite."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


PATH = NamedPath()
"""A file or folder."""
ENGINE = ShippedPath(NAMED_ENGINES)
"""A model file, or the name of one that comes with bandrt, that without inference too."""
DEVICES = "cpu, cuda or cuda:N, or, for ONNX engines, tensorrt:N or nv-tensorrt-rtx:N"
"""What a help text says of ``--device``."""
SEED = click.IntRange(0, 2**32 - 1)
"""What every generator of random numbers takes."""
Command = TypeVar("Command", bound=Callable[..., Any])


def out(help: str, *, required: bool = False) -> Callable[[Command], Command]:
    """``-o`` and ``--out``: where a command writes. Whether it can is the command's to find out, with `bandrt.files`."""
    return click.option("-o", "--out", "out", required=required, type=OutPath(), help=help)


def overwrite(help: str = "Replace what is there already.") -> Callable[[Command], Command]:
    """``--overwrite``: without it, nothing that is there is replaced."""
    return click.option("--overwrite", is_flag=True, help=help)


def device(help: str) -> Callable[[Command], Command]:
    """``--device``: where an engine runs."""
    return click.option("--device", metavar="DEVICE", help=help)


def no_hand_over(help: str) -> Callable[[Command], Command]:
    """``--no-hand-over``: an engine keeps crystals that it would leave to another one."""
    return click.option("--no-hand-over", is_flag=True, help=help)


def threads(of: str = "of the model") -> Callable[[Command], Command]:
    """``--threads``: CPU threads."""
    return click.option("--threads", type=click.IntRange(1, MAX_THREADS), help=f"CPU threads {of}; all cores by default.")


def workers(help: str, *, default: int | None = None, least: int = 1) -> Callable[[Command], Command]:
    """``--workers``: processes beside this one."""
    return click.option(
        "--workers", type=click.IntRange(least, MAX_WORKERS), default=default, show_default=default is not None, help=help
    )


def quiet() -> Callable[[Command], Command]:
    """``-q`` and ``--quiet``: of every command that shows how far it is."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")


def as_json(what: str) -> Callable[[Command], Command]:
    """``--json``: for programs, on standard output."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON on standard output.")


def json_text(values: Any) -> str:
    """What ``--json`` prints: in ASCII, paths as text, and no numbers that JSON does not have (``ValueError``)."""
    return json.dumps(values, indent=1, default=os.fspath, allow_nan=False)


def printed(path: Path) -> str:
    """A path for standard output: as it is for a program, without what a terminal obeys for people."""
    return printable(str(path)) if sys.stdout.isatty() else str(path)
