"""Progress on standard error: a bar for people, a line now and then for batch logs."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

from bandrt.pipeline import RunReport

LOG_SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


class Progress:
    """Shows a run's report as it changes; a context manager."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._next_line = time.monotonic() + LOG_SECONDS

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(unit=" crystals", dynamic_ncols=True, leave=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, report: RunReport) -> None:
        """Show the report."""
        if self._bar is not None:
            self._bar.total = report.expected
            self._bar.update(report.skipped + report.predicted + report.failed - self._bar.n)
            self._bar.set_postfix(failed=report.failed, refresh=False)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOG_SECONDS
            of = f" of {report.expected}" if report.expected else ""
            click.echo(
                f"{report.predicted}{of} predicted, {report.failed} failed, {report.skipped} skipped, {report.rate:.1f} crystals/s",
                err=True,
            )
