"""``bandrt train calibrate``."""

from __future__ import annotations

from pathlib import Path

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_file


@click.command("calibrate", short_help="Fit the probabilities of bandrt screen to an engine.")
@click.argument("engine", type=options.ENGINE)
@click.argument("gaps", nargs=-1, required=True, metavar="GAPS...", type=options.PATH)
@click.option("--labels", multiple=True, type=options.PATH, help="Band structures, for direct gaps; may be repeated.")
@click.option("--max-atoms", type=click.IntRange(1), help="Of crystals in GAPS, where large ones take too long.")
@click.option(
    "--calibration", type=options.OutPath(), help="JSON file to write; by default ENGINE.calibration.json, where it is found."
)
@options.out("JSON report to write, with the test and every crystal.")
@options.overwrite("Replace files that are there already.")
@options.threads()
@options.no_hand_over("Calibrate the engine as it is with --no-hand-over of infer.")
@options.quiet()
def calibrate(
    engine: Path,
    gaps: tuple[Path, ...],
    labels: tuple[Path, ...],
    max_atoms: int | None,
    calibration: Path | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    no_hand_over: bool,
    quiet: bool,
) -> None:
    """Fit how far gaps of ENGINE are from labels, and test it: what bandrt screen makes probabilities of.

    GAPS are tables of gaps. ENGINE predicts the formulas of their validation split, which it must not have learned, and the
    calibration is fitted to these; it is tested on the test split. A model that was trained with --folds has no such splits, and is
    refused. The calibration becomes part of the manifest of ENGINE, whose file stays as it is.

    \b
    Example:
      bandrt train calibrate model.onnx train/gaps/materials-project.csv.gz --labels train/labels -o screening.json

    Exit codes: 0 written, 1 stopped by an error, 2 wrong usage.
    """
    from bandrt.engine.calibration_file import calibration_path, write_calibration

    target = calibration_path(engine) if calibration is None else calibration
    check_file(target, overwrite=overwrite)
    if out is not None:
        check_file(out, overwrite=overwrite)
    from bandrt.loading import load
    from bandrt_train.data.dataset import Refusal
    from bandrt_train.evaluation.screening.calibrate import calibrate as calibrated
    from bandrt_train.evaluation.screening.report import values_of, write_screening
    from bandrt_train.evaluation.screening.tables import text_lines

    refusals: list[Refusal] = []
    with load(engine, threads=threads, hand_over=not no_hand_over) as opened, Progress("crystals", quiet=quiet) as progress:
        made = calibrated(opened, gaps, labels, refusals, max_atoms=max_atoms, progress=progress.show)
    values = values_of(made, gaps, max_atoms=max_atoms)
    if refusals:
        click.echo(f"{len(refusals)} labels cannot be used; the first [{refusals[0].code}]: {refusals[0].message}", err=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_calibration(made.calibration, target)
    if out is not None:
        write_screening(out, values)
    for line in text_lines(values):
        say_done(line)
    say_done(f"calibration: {target}")
