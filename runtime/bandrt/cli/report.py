"""``bandrt report``."""

from __future__ import annotations

from pathlib import Path

import click

from bandrt.cli import options, say_done
from bandrt.cli.criteria import criteria_options
from bandrt.cli.progress import Progress
from bandrt.quoting import counted
from bandrt.report.write import TOP, write_report
from bandrt.results.derived import check_replaced
from bandrt.results.store import REPORT
from bandrt.screening.criteria import Criteria


@click.command("report", short_help="Write results as one page: gaps, accuracy, a table, band structures.")
@click.argument("results", metavar="OUT", type=options.PATH)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@criteria_options
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, metavar="N", help="Crystals to draw, at most.")
@click.option("--as-predicted", is_flag=True, help="Draw those that are predicted to be what is wanted, without probabilities.")
@click.option("--engine", type=options.ENGINE, help="Where the engine of the run is, if not where it was.")
@options.out(f"The page, *.html; OUT/{REPORT} by default.")
@options.overwrite("Replace the page if it is there already.")
@options.quiet()
def command(
    results: Path,
    ids: tuple[str, ...],
    criteria: Criteria,
    top: int,
    as_predicted: bool,
    engine: Path | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write the results of `bandrt infer`, OUT, as one page that opens in a browser and needs no network.

    It says what was run, how gaps are distributed, how far off they are expected to be, and what failed. Its table has all
    crystals, sorts, searches and exports; up to --top of them have their band structures in it. These are the crystals ID..., ids
    or patterns such as "mp-1*"; or the most probable, where --gap, --direct or --indirect says what is wanted, as in
    `bandrt screen`; or the first. The name of the page is printed.

    \b
    Examples:
      bandrt report bands -o report.html
      bandrt report bands --gap 1.0:1.6 --exclude Pb --top 200 -o report.html
      bandrt report bands mp-149 "mp-1*" -o report.html

    Exit codes: 0 written, 1 stopped by an error, 2 wrong usage.
    """
    path = results / REPORT if out is None else out
    if out is None:
        check_replaced(path)
    with Progress("figures", quiet=quiet) as progress:
        written = write_report(
            results,
            path,
            ids=ids,
            criteria=criteria,
            top=top,
            engine=engine,
            as_predicted=as_predicted,
            overwrite=overwrite,
            on_progress=progress.show,
        )
    crystals = counted(written.n_crystals, "crystal")
    failed = f", {counted(written.n_failed, 'failure')}" if written.n_failed else ""
    click.echo(f"{crystals}{failed}, {written.n_drawn} with bands; {written.n_bytes / 1e6:.1f} MB", err=True)
    say_done(options.printed(path))
