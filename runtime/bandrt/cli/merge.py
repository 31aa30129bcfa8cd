"""``bandrt merge``."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.quoting import counted
from bandrt.results.store import ERRORS, SUMMARY
from bandrt.run.merge import MergeReport, merge


@click.command("merge", short_help="Put the results of several runs together.")
@click.argument("results", metavar="OUT...", nargs=-1, required=True, type=options.PATH)
@options.out("Folder for all results, new or empty.", required=True)
@click.option("--incomplete", is_flag=True, help="Merge what there is, though runs have not finished or shards are missing.")
@options.overwrite("Delete an earlier run in the folder and start again.")
@options.as_json("the outcome")
@options.quiet()
def command(results: tuple[Path, ...], out: Path, incomplete: bool, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Write the results of the runs in OUT... to one folder, which is like that of a run of all their inputs.

    The runs are shards of one array (`bandrt infer --shard`), or others of the same engine and options. Shards come in the order of
    their inputs, other runs one after the other. What several runs predicted is taken from the first; a prediction counts before a
    failure. The runs stay as they are.

    \b
    Examples:
      bandrt merge shards/* -o bands
      bandrt merge monday tuesday -o both

    Exit codes: 0 merged, 1 stopped by an error, 2 wrong usage.
    """
    with Progress("crystals", quiet=quiet) as progress:
        report = merge(results, out, incomplete=incomplete, overwrite=overwrite, on_progress=progress.show)
    with suppress(OSError, ValueError):  # nobody reads it: the results are there all the same
        for line in _summary(report, out):
            click.echo(line, err=True)
    said = {"out": str(out)} | dataclasses.asdict(report)
    say_done(options.json_text(said) if as_json else options.printed(out))


def _summary(report: MergeReport, out: Path) -> list[str]:
    see = out / (ERRORS if report.n_failed else SUMMARY)
    lines = [f"{counted(report.n_runs, 'run')} merged: {report.n_predicted} predicted, {report.n_failed} failed (see {see})"]
    if n := report.n_repeated:
        lines.append(f"{counted(n, 'result')} left out, of inputs that another run has, too")
    if not report.is_whole:
        lines.append("some runs have not finished, or shards are missing: go on with all inputs and --resume")
    return lines
