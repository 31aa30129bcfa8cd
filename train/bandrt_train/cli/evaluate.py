"""``bandrt train evaluate``, ``compare`` and ``card``: what a model is worth."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bandrt_train.data.dataset import Entry
    from bandrt_train.evaluation.judgement import Judgement, SplitChoice

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", nargs=-1, required=True, type=PATH)
@click.option("--split", type=click.Choice(["train", "validation", "test", "all"]), default="validation", show_default=True)
@click.option(
    "--training", multiple=True, type=PATH,
    help="Data set the model was trained on, for baselines and known formulas; by default each DATA. May be given again.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for report.json, report.html and crystals.csv."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of a table.")
def evaluate(
    model: Path, data: tuple[Path, ...], split: SplitChoice, training: tuple[Path, ...], output: Path | None, as_json: bool
) -> None:
    """Compare MODEL, a checkpoint or an engine, with the labels of each DATA, beside the training mean and the nearest neighbour.

    DATA are data sets of bands or of gaps. The nearest neighbour is the training crystal of the most similar composition.
    """
    from bandrt_train.data.dataset import Dataset
    from bandrt_train.evaluation.judgement import judge
    from bandrt_train.evaluation.markdown import calibration_line
    from bandrt_train.evaluation.metrics import table_one
    from bandrt_train.evaluation.report import summary, write_report
    from bandrt_train.evaluation.tables import text_table

    if output is not None:
        from bandrt_train.evaluation.plots import require_matplotlib

        require_matplotlib()
    teachers = [Dataset(folder) for folder in training or (data if split != "all" else ())]
    judgements = [judge(model, Dataset(folder), split, training=teachers, progress=_counted) for folder in data]
    for judgement in judgements:
        _note(model, judgement)
    values = summary(model, judgements)
    if output is not None:
        from bandrt_train.evaluation.page import page

        write_report(output, values, judgements, page(values, judgements))
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False, indent=1))
        return
    for one, judgement in zip(values["sets"], judgements, strict=True):
        name = "all" if split == "all" else f"{split} split"
        click.echo(f"{name} of {judgement.dataset.folder}, {len(judgement.indices)} crystals")
        click.echo(text_table({who: table_one(errors) for who, errors in judgement.errors.items()}))
        if line := calibration_line(one):
            click.echo(line)
    if output is not None:
        click.echo(f"report: {output / 'report.html'}")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Compare run folders on their validation split, as a Markdown table: mean and spread of those that differ in the seed alone.

    A row is called NAME, or by how it differs from the first run.
    """
    from bandrt_train.evaluation import ablation

    named = [run.rpartition("=") for run in runs]
    rows = [row.as_dict() for row in ablation.compare([ablation.read_run(Path(folder), name) for name, _, folder in named])]
    click.echo(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else ablation.table(rows))


@click.command()
@click.argument("engine", type=PATH)
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...", type=PATH)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write.")
@click.option("--sources", default="", help="Where the training data are from, and their licence.")
def card(engine: Path, reports: tuple[Path, ...], output: Path, sources: str) -> None:
    """Write the model card of ENGINE from its manifest and from each REPORT, a report.json of bandrt train evaluate."""
    from bandrt.engine import read_manifest
    from bandrt.files import file_sha256, replaced
    from bandrt_train.evaluation.card import card as written
    from bandrt_train.evaluation.report import read_report

    text = written(read_manifest(engine), file_sha256(engine), [read_report(path) for path in reports], sources=sources)
    with replaced(output) as file:
        file.write(text)


def _note(model: Path, judgement: Judgement) -> None:
    """Say on standard error what may make these figures too good."""
    folder = judgement.dataset.folder
    if judgement.seen is not None and judgement.split != "train" and (n := int(judgement.seen.sum())):
        click.echo(f"note: {n} of {len(judgement.indices)} crystals of {folder} have formulas of training crystals", err=True)
    elif not judgement.training_known:
        click.echo(f"note: {model} was trained on data not given here; formulas of {folder} may be among them", err=True)


def _counted(entries: Iterable[Entry], n: int) -> Iterable[Entry]:
    from tqdm import tqdm

    counted: Iterable[Entry] = tqdm(entries, total=n, unit="crystal", disable=None)
    return counted
