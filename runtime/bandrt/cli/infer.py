"""``bandrt infer``."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from bandrt.cli import EXIT_SOME_FAILED, options, say_done
from bandrt.cli.criteria import DIRECT, GAP, criteria_of
from bandrt.cli.progress import Progress
from bandrt.cli.runs import run_lines, say_refined, show_run
from bandrt.engine import DEFAULT_ENGINE, NULL_ENGINE
from bandrt.manifest import MAX_BANDS, BandRule
from bandrt.quoting import printable
from bandrt.results.store import Mode
from bandrt.run.defaults import TIMEOUT_SECONDS
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.interrupt import exit_code
from bandrt.run.record import report_values
from bandrt.run.refine import refine as refine_run
from bandrt.run.refine import refined_folder
from bandrt.run.shard import WHOLE, Shard
from bandrt.screening.criteria import Criteria
from bandrt.sources import left_out
from bandrt.sources.standard_input import STANDARD_INPUT, Piped, read_piped
from bandrt.sources.tables import STRUCTURE_COLUMN


@click.command("infer", short_help="Predict the band structures of crystals.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=options.PATH)
@options.out("Folder for the results, new or empty.", required=True)
@click.option(
    "--engine",
    default=DEFAULT_ENGINE,
    type=options.ENGINE,
    help="Model file, or fast or accurate for one that comes with bandrt, null for none at all; accurate by default.",
)
@click.option("--resume", is_flag=True, help="Go on with an earlier run in the folder.")
@options.overwrite("Delete an earlier run in the folder and start again.")
@click.option("--retry-failed", is_flag=True, help="Go on, and try again what failed before.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be done, and stop.")
@options.workers("Processes that read and featurise; what keeps the device fed by default, 0 for none but this.", least=0)
@click.option(
    "--timeout",
    type=options.Number(0.0, min_open=True),
    default=TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Give up a crystal that a worker does not get on with.",
)
@click.option(
    "--max-atoms", type=click.IntRange(1), help="Of the largest primitive cell; on the CPU 600 by default, which takes 1.5 GB."
)
@click.option(
    "--bands", type=click.IntRange(BandRule().n_bands, MAX_BANDS), metavar="N",
    help="Bands to predict, an even number, half of them below the Fermi level; 6 by default, more with the engine accurate alone.",
)  # fmt: skip
@options.device(f"{options.DEVICES}, or several GPUs, cuda:0,cuda:1; by default the CPU, for a plan the first GPU.")
@click.option("--batch-size", type=click.IntRange(1), help="Crystals per run of the model; what suits the device by default.")
@options.threads()
@options.no_hand_over("Let the engine itself predict crystals that it would leave to another one.")
@click.option(
    "--structure-column",
    default=STRUCTURE_COLUMN,
    show_default=True,
    metavar="NAME",
    help="Column of tables with the crystals, CIFs or pymatgen's JSON.",
)
@click.option(
    "--keep",
    multiple=True,
    callback=lambda context, parameter, given: _columns(given),
    metavar="COLUMNS",
    help="Columns of tables to carry through to the results, by commas; may be repeated.",
)
@click.option(
    "--shard",
    default=str(WHOLE),
    callback=lambda context, parameter, given: Shard.parse(given),
    metavar="NUMBER/OF",
    help="Predict one of OF shares of the inputs, NUMBER from 1 to OF, as a job of an array; `bandrt merge` puts them together.",
)
@click.option(
    "--refine", type=click.IntRange(1), metavar="N",
    help="Then predict the N most promising with the engine accurate, into OUT-refined; needs --gap, --direct or --indirect.",
)  # fmt: skip
@GAP
@DIRECT
@options.as_json("the outcome")
@options.quiet()
def command(
    paths: tuple[Path, ...],
    out: Path,
    engine: Path,
    resume: bool,
    overwrite: bool,
    retry_failed: bool,
    dry: bool,
    workers: int | None,
    timeout: float,
    max_atoms: int | None,
    bands: int | None,
    device: str | None,
    batch_size: int | None,
    threads: int | None,
    no_hand_over: bool,
    structure_column: str,
    keep: tuple[str, ...],
    shard: Shard,
    refine: int | None,
    gap: str | None,
    direct: bool | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Predict the band structures of every crystal under PATH...

    PATH is a folder (searched), a CIF, POSCAR, CONTCAR, *.vasp, extended XYZ, XSF, .res or geometry.in file, an input of pw.x
    (.pwi, .in), JSON of pymatgen, JARVIS, matbench or OPTIMADE, a table (.csv, .jsonl, .parquet) with a column of CIFs, a .traj or
    .db of ASE, or an archive (.zip, .tar). The folder of the results has summary.csv, a row for each crystal; errors.jsonl, a line
    for each input that failed; run.json, what was run; and parts/, the bands.
    With - for PATH, a crystal, a table or a list of paths is read from standard input.

    \b
    Examples:
      bandrt infer crystals -o bands
      bandrt infer table.csv.gz more.zip -o bands --resume
      find /data -name '*.cif' -print0 | bandrt infer - -o bands
      bandrt infer crystals -o bands --engine fast --refine 2000 --gap 1.0:1.6
      bandrt infer crystals -o shards/3 --shard 3/16

    Exit codes: 0 all predicted, 1 stopped by an error, 2 wrong usage, 3 finished but some inputs failed, 130 interrupted (143 by
    SIGTERM, 129 by SIGHUP).
    """
    if overwrite and (resume or retry_failed):
        raise click.UsageError("--overwrite starts again, --resume and --retry-failed go on; choose one")
    mode: Mode = "overwrite" if overwrite else "resume" if resume or retry_failed else "new"
    choices = InferOptions(
        engine=engine,
        device=device,
        threads=threads,
        bands=bands,
        workers=workers,
        timeout=timeout,
        max_atoms=max_atoms,
        batch_size=batch_size,
        hand_over=not no_hand_over,
        mode=mode,
        retry_failed=retry_failed,
        structure_column=structure_column,
        keep=keep,
        shard=shard,
    )
    wanted = _wanted(refine, gap, direct, engine)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    inputs = _piped(structure_column) if _is_piped(paths) else list(paths)
    if dry:
        said = dry_run(inputs, out, choices)
        click.echo(options.json_text(said) if as_json else "\n".join(f"{name}: {value}" for name, value in said.items()))
        return 0
    with Progress("crystals", quiet=quiet) as progress:
        report = infer(inputs, out, choices, on_progress=partial(show_run, progress))
    interrupted = report.status == "interrupted"
    left = [] if interrupted or isinstance(inputs, Piped) else _left_out(inputs, out)
    with suppress(OSError, ValueError):  # nobody reads it: the results are there all the same
        for line in [*run_lines(report, out, can_retry=True), *left]:
            click.echo(line, err=True)
    if as_json:
        say_done(options.json_text({"out": str(out)} | report_values(report)))
    if interrupted:
        return exit_code(report.signal)
    code = EXIT_SOME_FAILED if report.total_failed else 0
    if wanted is None or refine is None:
        return code
    again = InferOptions(threads=threads, workers=workers, timeout=timeout, mode=mode, retry_failed=retry_failed)
    with Progress("crystals", quiet=quiet) as progress:
        refined = refine_run(out, wanted, refined_folder(out), again, top=refine, on_progress=partial(show_run, progress))
    return say_refined(refined, refined_folder(out)) or code


def _wanted(refine: int | None, gap: str | None, direct: bool | None, engine: Path) -> Criteria | None:
    """What is wanted of crystals that are refined; None where none are."""
    if refine is None:
        if gap is not None or direct is not None:
            raise click.UsageError("--gap, --direct and --indirect say which crystals --refine takes; bandrt screen ranks results")
        return None
    if gap is None and direct is None:
        raise click.UsageError("--refine needs --gap, --direct or --indirect: which crystals are promising?")
    if engine == NULL_ENGINE:
        raise click.UsageError("--refine needs predictions to choose by, and the engine null computes nothing; take --engine fast")
    if engine == DEFAULT_ENGINE:
        raise click.UsageError("--refine predicts again with the engine accurate; predict with another one first: --engine fast")
    return criteria_of(gap, direct)


def _columns(given: Sequence[str]) -> tuple[str, ...]:
    """Names of columns from lists with commas; quotes hold together a name that has one."""
    names = [name.strip() for names in given for name in next(csv.reader([names], skipinitialspace=True), [""])]
    if not all(names):
        raise click.BadParameter("a name of a column is empty")
    return tuple(names)


def _is_piped(paths: Sequence[Path]) -> bool:
    """Whether inputs come from standard input, and from there alone."""
    if STANDARD_INPUT in paths and len(paths) > 1:
        raise click.UsageError("- is standard input, and stands alone; a file of this name is ./-")
    return STANDARD_INPUT in paths


def _piped(structure_column: str) -> Piped | list[Path]:
    """What is piped in."""
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("- reads from standard input, and nothing is piped in; pipe a crystal, or paths, one a line")
    return read_piped(sys.stdin.buffer, structure_column)


def _left_out(paths: Sequence[Path], out: Path) -> list[str]:
    """How many files in the folders were not read, by their endings, and folders of earlier results."""
    counts = left_out(paths, skip=[out])
    return [f"left out: {', '.join(f'{count} {printable(ending)}' for ending, count in counts.most_common())}"] if counts else []
