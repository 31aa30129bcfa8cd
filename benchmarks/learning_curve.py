"""Error against number of crystals: one configuration trained on more and more of a data set, judged on its test split.

    python -m benchmarks.learning_curve train/configs/paper.toml DATA --sizes 250,1000,4000,16000 -o CURVE.json

A smaller training set is part of every larger one, and none shares a formula with the test split. Every size takes about as many
steps (--steps), in no more than --max-epochs; the weights kept are those with the lowest error on the validation split. Beside
the curve stands the training mean of the largest set. The figures are those of Table I of arXiv 2411.16483, by its definitions.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch

from bandrt.files import replaced
from bandrt.machine.versions import package_versions, processor
from bandrt_train.data.dataset import Dataset
from bandrt_train.evaluation.baselines import training_mean
from bandrt_train.evaluation.metrics import evaluate
from bandrt_train.evaluation.predictions import predict_entries
from bandrt_train.fit.config import FitConfig, read_config
from bandrt_train.fit.run import fit


@click.command()
@click.argument("config", type=click.Path(exists=True, path_type=Path))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--sizes", required=True, help="Numbers of training crystals, by commas.")
@click.option("--steps", default=4000, show_default=True)
@click.option("--max-epochs", default=60, show_default=True)
@click.option("--batch-size", default=16, show_default=True)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path))
def main(config: Path, data: Path, sizes: str, steps: int, max_epochs: int, batch_size: int, out: Path) -> None:
    """Train at every size, and write the curve."""
    torch.set_num_threads(1)
    whole = Dataset(data)
    settings = read_config(config)
    settings = dataclasses.replace(
        settings,
        model=dataclasses.replace(settings.model, n_kpoints=whole.header.recipe.featurization.kpath.n_kpoints),
        batch_size=batch_size,
    )
    wanted = [int(size) for size in sizes.split(",")]
    if wanted[-1] > len(whole.indices("train")):
        raise click.UsageError(f"{data} has {len(whole.indices('train'))} training crystals, fewer than {wanted[-1]}")
    curve: list[dict[str, Any]] = []
    mean = _training_mean(whole)
    with tempfile.TemporaryDirectory() as folder:
        for size in wanted:
            chosen = dataclasses.replace(settings, epochs=_epochs(size, steps, max_epochs, batch_size))
            curve.append(_trained(chosen, data, size, Path(folder) / str(size)))
            click.echo(f"{size}: {curve[-1]['test']['total']}")
            _write(out, whole, settings, mean, curve)


def _epochs(size: int, steps: int, max_epochs: int, batch_size: int) -> int:
    return min(max_epochs, max(1, math.ceil(steps * batch_size / size)))


def _trained(config: FitConfig, data: Path, size: int, folder: Path) -> dict[str, Any]:
    start = time.process_time()
    dataset = Dataset(data, size)
    result = fit(config, dataset, folder)
    entries = dataset.split("test")
    predicted = predict_entries(result.checkpoint, dataset, entries)
    targets = [entry.targets for entry in entries]
    return {
        "n_crystals": size,
        "epochs": config.epochs,
        "best_epoch": result.best_epoch,
        "cpu_minutes": round((time.process_time() - start) / 60.0, 1),
        "test": evaluate(predicted.energies, targets, predicted.model.rule).as_dict(),
    }


def _training_mean(whole: Dataset) -> dict[str, Any]:
    targets = [entry.targets for entry in whole.split("test")]
    mean = training_mean([whole[i].targets for i in whole.indices("train")], len(targets))
    return evaluate(mean, targets, whole.header.recipe.bands).as_dict()


def _write(out: Path, whole: Dataset, config: FitConfig, mean: dict[str, Any], curve: list[dict[str, Any]]) -> None:
    report = {
        "data": {"name": whole.folder.name, "fingerprint": whole.header.fingerprint, "counts": whole.header.counts},
        "model": dataclasses.asdict(config.model),
        "batch_size": config.batch_size,
        "training mean": mean,
        "curve": curve,
        "machine": {"processor": processor(), "python": platform.python_version(), "date": date.today().isoformat()},
        "versions": package_versions(("torch", "torch_geometric", "numpy", "bandrt")),
    }
    with replaced(out) as file:
        json.dump(report, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
