"""Progress on standard error: a bar for people, a line now and then for batch logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import click

T = TypeVar("T")
LOG_SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


class Progress:
    """Shows how far a stream is, from the first time it is told; a context manager."""

    def __init__(self, unit: str, *, quiet: bool = False) -> None:
        """Count things of this name, in the plural; quietly, where nobody wants to know."""
        self._unit = unit
        self._quiet = quiet
        self._bar: Any = None
        self._next_line = time.monotonic() + LOG_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.close()

    def echo(self, line: str) -> None:
        """Print a line on standard output, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        click.echo(line)

    def counted(self, things: Iterable[T], total: int) -> Iterator[T]:
        """The same things, shown as they go by, of which there are so many."""
        for done, thing in enumerate(things):
            self.show(done, total)
            yield thing
        self.show(total, total)

    def show(self, done: int, total: int | None, note: str = "", *, before: int = 0) -> None:
        """Say how far it is.

        Args:
            done: how many are dealt with.
            total: of how many, if that is known.
            note: what else there is to say.
            before: how many of them an earlier run dealt with.
        """
        if self._quiet:
            return
        try:
            self._show(done, total, note, before)
        except (OSError, ValueError):
            self._quiet = True  # standard error was closed: nobody wants to know

    def _show(self, done: int, total: int | None, note: str, before: int) -> None:
        if self._bar is None and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=before, unit=f" {self._unit}", dynamic_ncols=True, leave=False)
        if self._bar is not None:
            self._bar.total, self._bar.initial = total, before
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOG_SECONDS
            of = f" of {total}" if total else ""
            click.echo(", ".join(filter(None, (f"{done}{of} {self._unit}", note))), err=True)
