"""What commands that predict show of their runs, and what two of them say of a second stage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from bandrt.cli import EXIT_SOME_FAILED, options, say_done
from bandrt.cli.progress import Progress
from bandrt.quoting import counted, shortened
from bandrt.results.store import ERRORS, SET_ASIDE, SUMMARY
from bandrt.run.interrupt import exit_code
from bandrt.run.report import STAGES, RunReport

MOST_TOLD = 300
"""Letters of a failure that stands for others of its code; all of it is in the file of failures."""
SLOW = 0.1
"""Crystals per second, below which it is seconds per crystal that are told."""


def show_run(progress: Progress, report: RunReport) -> None:
    """Show how far a run is."""
    done = report.skipped + report.predicted + report.failed + report.elsewhere
    skipped = f", {report.skipped} by earlier runs" if report.skipped else ""
    compiling = f", compiling for {report.compiling}" if report.compiling else ""
    speed = f", {_speed(report)}" if report.predicted else ""
    note = f"{report.failed} failed{skipped}{speed}{compiling}"
    progress.show(done, report.expected, note, before=report.skipped + report.elsewhere)


def run_lines(report: RunReport, out: Path, *, can_retry: bool = False) -> list[str]:
    """What became of a run, for people.

    Args:
        report: of the run.
        out: its output folder.
        can_retry: whether its command can be told to try failures of earlier runs again.
    """
    if report.status == "interrupted":
        lines = [f"interrupted after {counted(report.predicted, 'prediction')}; go on with --resume"]
    else:
        see = f"see {out / ERRORS}" if report.total_failed else f"see {out / SUMMARY}"
        lines = [f"{report.total_predicted} predicted, {report.total_failed} failed ({see})"]
    if report.skipped:
        lines.append(f"{report.skipped} input{'s were' if report.skipped > 1 else ' was'} done by earlier runs")
    if can_retry and (before := report.total_failed - report.failed):
        lines.append(f"{before} of the failures {'are' if before > 1 else 'is'} of earlier runs; --retry-failed tries again")
    if report.set_aside:
        one = report.set_aside == 1
        of = "an input that has changed or is gone, is" if one else "inputs that have changed or are gone, are"
        lines.append(f"{counted(report.set_aside, 'earlier prediction')}, of {of} in {out / SET_ASIDE} now")
    if report.elsewhere:
        lines.append(f"{report.elsewhere} input{'s are' if report.elsewhere > 1 else ' is'} in other shards")
    width = max((len(str(count)) for count in report.failure_codes.values()), default=0)
    for code, count in _most_first(report.failure_codes):
        message = report.first_messages.get(code, "")
        told = f"{': ' if count == 1 else ', such as '}{shortened(message, MOST_TOLD)}" if message else ""
        lines.append(f"  {count:>{width}}  {code}{told}")
    if report.warning_codes:
        (first, n), *others = _most_first(report.warning_codes)
        counts = [f"{counted(n, 'crystal')} with {first}", *(f"{n} with {code}" for code, n in others)]
        lines.append(f"warnings: {', '.join(counts)}; see the column warnings in {SUMMARY}")
    if report.status == "finished":
        lines += [f"--keep {name}: in none of the inputs" for name in report.lacking]
    seconds = report.seconds
    stages = ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in STAGES)
    wall = f"{seconds['wall']:.1f} s"
    lines.append(f"{_speed(report)} ({wall}; {stages})" if report.predicted else f"{wall} ({stages})")
    return lines


def _speed(report: RunReport) -> str:
    """How fast a run is that has predicted something."""
    slow = 0.0 < report.rate < SLOW
    return f"{1.0 / report.rate:.0f} s a crystal" if slow else f"{report.rate:.1f} crystals/s"


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """What was counted, the most common first, ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def say_refined(report: RunReport, folder: Path) -> int:
    """Say what became of a second stage and where its results are, and give the exit code."""
    with suppress(OSError, ValueError):  # nobody reads it: the results are there all the same
        for line in run_lines(report, folder):
            click.echo(line, err=True)
    say_done(options.printed(folder))
    if report.status == "interrupted":
        return exit_code(report.signal)
    return EXIT_SOME_FAILED if report.total_failed else 0
