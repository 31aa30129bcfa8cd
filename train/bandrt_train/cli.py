"""``bandrt train``: band data to a data set, a data set to a checkpoint, and what a model is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bandrt_train.dataset_cli import dataset
from bandrt_train.download_cli import command as download
from bandrt_train.fit_cli import fit

if TYPE_CHECKING:
    from bandrt_train.dataset import Split

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def group() -> None:
    """Train models on DFT band structures: download, dataset, fit, evaluate."""


group.add_command(download)
group.add_command(dataset)


group.add_command(fit)


@group.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate(model: Path, data: Path, split: Split, as_json: bool) -> None:
    """Compare MODEL, a checkpoint or an engine, with the labels of DATA, beside predicting the training mean."""
    from bandrt_train.dataset import Dataset
    from bandrt_train.evaluate import evaluate as judge
    from bandrt_train.evaluate import text_table, training_mean
    from bandrt_train.predictions import EvaluationError, predict_entries

    opened = Dataset(data)
    entries, training = opened.split(split), opened.split("train")
    if not entries or not training:
        raise EvaluationError("empty-split", f"{data}: the {split if training else 'train'} split has no crystals")
    energies, rule, domain = predict_entries(model, opened, entries)
    targets = [entry.targets for entry in entries]
    evaluations = {"model": judge(energies, targets, rule)}
    if any(entry.targets.mask.any() for entry in training):
        mean = training_mean([entry.targets for entry in training], len(entries))
        evaluations["training mean"] = judge(mean, targets, rule)
    if opened.header.fingerprint not in (domain.data_sha256, domain.gaps_sha256):
        click.echo(f"note: {model} was trained on other data than {data}; formulas of this split may be among them", err=True)
    if as_json:
        values: dict[str, Any] = {name: one.as_dict() for name, one in evaluations.items()}
        click.echo(json.dumps({"split": split, "fingerprint": opened.header.fingerprint, **values}, indent=1))
    else:
        click.echo(f"{split} split of {data}, {len(entries)} crystals")
        click.echo(text_table(evaluations))
