"""``bandrt train evaluate``, ``compare`` and ``card``: what a model is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_file, check_folder
from bandrt_train.cli.checkpoint_path import require_model

if TYPE_CHECKING:
    from bandrt_train.evaluation.judgement import Judgement, SplitChoice


@click.command(short_help="Compare a model with the labels of data sets.")
@click.argument("model", type=options.PATH)
@click.argument("data", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--split", type=click.Choice(["train", "validation", "test", "all"]), default="validation", show_default=True,
    help="Which part of each DATA.",
)  # fmt: skip
@click.option(
    "--training", multiple=True, type=options.PATH,
    help="Data set the model was trained on, for baselines and known formulas; by default each DATA. May be given again.",
)  # fmt: skip
@options.out("Folder for report.json, report.html and crystals.csv, new or empty.")
@options.overwrite("Replace an earlier report in the folder.")
@options.as_json("the report")
@options.quiet()
def evaluate(
    model: Path,
    data: tuple[Path, ...],
    split: SplitChoice,
    training: tuple[Path, ...],
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare MODEL, a checkpoint or an engine, with the labels of each DATA.

    DATA are data sets of bands or of gaps. Beside the model stand the training mean and the nearest neighbour. The nearest
    neighbour is the training crystal of the most similar composition.

    \b
    Example:
      bandrt train evaluate run/checkpoint.pt data --split test -o report

    Exit codes: 0 compared, 1 stopped by an error, 2 wrong usage.
    """
    require_model(model)
    if out is not None:
        check_folder(out)
    from bandrt_train.data.dataset import Dataset
    from bandrt_train.evaluation.judgement import judge
    from bandrt_train.evaluation.markdown import calibration_line
    from bandrt_train.evaluation.metrics import table_one
    from bandrt_train.evaluation.report import PAGE, check_report_folder, summary, write_report
    from bandrt_train.evaluation.tables import text_table

    if out is not None:
        from bandrt.bands.figures import require_matplotlib

        require_matplotlib(extra="train", what="the report of an evaluation")
        check_report_folder(out, overwrite=overwrite)
    teachers = [Dataset(folder) for folder in training or (data if split != "all" else ())]
    with Progress("crystals", quiet=quiet) as progress:
        judgements = [judge(model, Dataset(folder), split, training=teachers, progress=progress.counted) for folder in data]
    for judgement in judgements:
        _note(model, judgement)
    values = summary(model, judgements)
    if out is not None:
        from bandrt_train.evaluation.page import page

        write_report(out, values, judgements, page(values, judgements))
    say = click.echo if out is None else say_done
    if as_json:
        say(options.json_text(values))
        return
    for one, judgement in zip(values["sets"], judgements, strict=True):
        name = "all" if split == "all" else f"{split} split"
        say(f"{name} of {judgement.dataset.folder}, {len(judgement.indices)} crystals")
        say(text_table({who: table_one(errors) for who, errors in judgement.errors.items()}))
        if line := calibration_line(one):
            say(line)
    if out is not None:
        say(f"report: {out / PAGE}")


@click.command(short_help="Compare training runs, as a table.")
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@options.as_json("the rows")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare run folders on their validation split, as a Markdown table.

    Runs that differ in the seed alone share a row, with mean and spread. A row is called NAME, or by how it differs from the first
    run.

    \b
    Example:
      bandrt train compare run-0 run-1 smaller=other-run
    """
    from bandrt_train.evaluation import ablation

    named = [run.rpartition("=") for run in runs]
    rows = [row.as_dict() for row in ablation.compare([ablation.training_run(Path(folder), name) for name, _, folder in named])]
    click.echo(options.json_text(rows) if as_json else ablation.table(rows))


@click.command(short_help="Write the model card of an engine.")
@click.argument("engine", type=options.PATH)
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...", type=options.PATH)
@options.out("Markdown file to write.", required=True)
@options.overwrite("Replace the file if it is there already.")
@click.option("--sources", default="", help="Where the training data are from, and their licence.")
def card(engine: Path, reports: tuple[Path, ...], out: Path, overwrite: bool, sources: str) -> None:
    """Write the model card of ENGINE from its manifest and its reports.

    Each REPORT is a report.json of `bandrt train evaluate`.

    \b
    Example:
      bandrt train card model.onnx report/report.json -o CARD.md
    """
    check_file(out, overwrite=overwrite)
    from bandrt.engine import read_manifest
    from bandrt.files import file_sha256, replaced
    from bandrt_train.evaluation.card import card as written
    from bandrt_train.evaluation.report import read_report

    text = written(read_manifest(engine), file_sha256(engine), [read_report(path) for path in reports], sources=sources)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as file:
        file.write(text)


def _note(model: Path, judgement: Judgement) -> None:
    """Say on standard error what may make these figures too good."""
    folder = judgement.dataset.folder
    if judgement.seen is not None and judgement.split != "train" and (n := int(judgement.seen.sum())):
        click.echo(f"note: {n} of {len(judgement.indices)} crystals of {folder} have formulas of training crystals", err=True)
    elif not judgement.training_known:
        click.echo(f"note: {model} was trained on data not given here; formulas of {folder} may be among them", err=True)
