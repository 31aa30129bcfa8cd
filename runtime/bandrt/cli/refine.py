"""``bandrt refine``."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import click

from bandrt.cli import options
from bandrt.cli.criteria import criteria_options
from bandrt.cli.progress import Progress
from bandrt.cli.runs import say_refined, show_run
from bandrt.engine import DEFAULT_ENGINE
from bandrt.results.store import Mode
from bandrt.run.infer import InferOptions
from bandrt.run.refine import refine, refined_folder
from bandrt.screening.criteria import Criteria

TOP = 2000


@click.command("refine", short_help="Predict the most promising crystals again with the accurate engine.")
@click.argument("results", metavar="OUT", type=options.PATH)
@criteria_options
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, metavar="N", help="How many crystals, at most.")
@click.option(
    "--as-predicted",
    is_flag=True,
    help="Those that are predicted to be what is wanted, in the order of OUT, whatever their probability.",
)
@options.out("Folder for the results; OUT-refined by default.")
@click.option("--engine", default=DEFAULT_ENGINE, type=options.ENGINE, help="What predicts them again; accurate by default.")
@click.option("--resume", is_flag=True, help="Go on with an earlier run in the folder.")
@options.overwrite("Delete an earlier run in the folder and start again.")
@options.device(f"{options.DEVICES}; by default the CPU, for a plan the first GPU.")
@options.threads()
@options.workers("Processes that read and featurise; what keeps the device fed by default, 0 for none but this.", least=0)
@options.quiet()
def command(
    results: Path,
    criteria: Criteria,
    top: int,
    as_predicted: bool,
    out: Path | None,
    engine: Path,
    resume: bool,
    overwrite: bool,
    device: str | None,
    threads: int | None,
    workers: int | None,
    quiet: bool,
) -> int:
    """Predict those crystals in OUT again that most probably are what is wanted, as bandrt screen ranks them.

    The results are a folder of their own, whose name is printed. `bandrt screen OUT --refined FOLDER` ranks all crystals anew, with
    these in the place of the first ones.

    \b
    Examples:
      bandrt refine bands --top 2000 --gap 1.0:1.6
      bandrt screen bands --refined bands-refined --gap 1.0:1.6
      bandrt refine bands --max-atoms 6 --as-predicted --top 100000

    Exit codes: 0 all predicted, 1 stopped by an error, 2 wrong usage, 3 finished but some failed, 130 interrupted (143 by SIGTERM,
    129 by SIGHUP).
    """
    if resume and overwrite:
        raise click.UsageError("--overwrite starts again, --resume goes on; choose one")
    mode: Mode = "overwrite" if overwrite else "resume" if resume else "new"
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    choices = InferOptions(engine=engine, device=device, threads=threads, workers=workers, mode=mode)
    folder = refined_folder(results) if out is None else out
    with Progress("crystals", quiet=quiet) as progress:
        report = refine(
            results, criteria, folder, choices, top=top, as_predicted=as_predicted, on_progress=partial(show_run, progress)
        )
    return say_refined(report, folder)
