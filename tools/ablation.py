"""Train every variant alike and compare them: ``python tools/ablation.py FOLDER [--seeds 0 1] [--only NAME...]``.

Each run sees the same crystals, on 32 points of the path, for as many epochs, and keeps its last weights, so that no row is the
luckiest epoch of many. Runs that are there already are kept. Prints the rows of ``train/results/ablation.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bandrt.recipe import Frame, KpathRecipe
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.data.builder import build_dataset, build_gap_dataset
from bandrt_train.data.dataset import Dataset, DatasetRecipe
from bandrt_train.data.recipes import default_recipe
from bandrt_train.evaluation.ablation import compare, training_run
from bandrt_train.fit.config import FitConfig, GapConfig, OptimizerConfig
from bandrt_train.fit.run import fit
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.variants import BandVariant

ROOT = Path(__file__).resolve().parents[1] / "train"
N_KPOINTS = 32
EPOCHS = 30
MODEL = ModelConfig(
    node_features="elemental",
    d_model=96,
    encoder_layers=3,
    decoder_layers=3,
    d_feedforward=192,
    edge_values=True,
    n_modes=N_KPOINTS // 2,
    n_kpoints=N_KPOINTS,
)
BLOCH = replace(MODEL, variant="bloch", decoder_layers=1)
COUNTS = replace(BLOCH, crystal_counts=True)
LEVELS = replace(COUNTS, atomic_levels=True)
CONFIG = FitConfig(
    optimizer=OptimizerConfig(2e-3, weight_decay=0.05, warmup_epochs=3.0),
    gaps=GapConfig(weight=0.2, batch_size=24),
    epochs=EPOCHS,
    keep="last",
    batch_size=8,
)


@dataclass(frozen=True)
class Trial:
    """What a row of the table is trained with."""

    model: ModelConfig
    optimizer: dict[str, Any] = field(default_factory=dict)
    frame: Frame = "fractional"
    gaps: bool = False
    tight_binding: bool = False


PAPER = {"learning_rate": 1e-3}
"""The paper's decoder of three layers learns worse at twice this rate."""
TRIALS = {
    "paper": Trial(MODEL, PAPER),
    "paper, one-hot atoms": Trial(replace(MODEL, node_features="one_hot"), PAPER),
    "paper, Cartesian k-points": Trial(MODEL, PAPER, frame="cartesian"),
    "fourier": Trial(replace(MODEL, variant="fourier"), PAPER),
    "bloch": Trial(BLOCH),
    "bloch, one-hot atoms": Trial(replace(BLOCH, node_features="one_hot")),
    "bloch, counts": Trial(COUNTS),
    "bloch, gaps": Trial(BLOCH, gaps=True),
    "bloch, counts, gaps": Trial(COUNTS, gaps=True),
    "bloch, counts, tight binding first": Trial(COUNTS, tight_binding=True),
    "bloch, counts, levels, gaps": Trial(LEVELS, gaps=True),
    "bloch, counts, levels, tight binding first, gaps": Trial(LEVELS, gaps=True, tight_binding=True),
    "bloch, counts, twice as wide": Trial(replace(COUNTS, d_model=192, d_feedforward=384), PAPER),
}


def dataset(folder: Path, trial: Trial, source: Path) -> Dataset:
    """The data set of a source for a trial, built if it is not there."""
    variant: BandVariant = "bloch" if trial.model.variant == "bloch" else "paper"
    place = folder / "data" / f"{source.name.partition('.')[0]}-{variant}-{trial.frame}"
    if not (place / "dataset.json").exists():
        recipe = DatasetRecipe(default_recipe(variant, KpathRecipe(n_kpoints=N_KPOINTS, frame=trial.frame)))
        if source.is_dir():
            build_dataset([source], place, recipe, resume=True)
        else:
            build_gap_dataset([source], place, recipe, resume=True)
    return Dataset(place)


def run(folder: Path, name: str, seed: int) -> Path:
    """Train one trial, unless it is there."""
    trial = TRIALS[name]
    place = folder / f"{name.replace(', ', '_').replace(' ', '-')}-{seed}"
    config = replace(CONFIG, model=trial.model, optimizer=replace(CONFIG.optimizer, **trial.optimizer), seed=seed)
    if (place / "validation.json").exists():
        return place
    start = None
    if trial.tight_binding:
        before = place.with_name(place.name + "-before")
        start = load_checkpoint(fit(config, dataset(folder, trial, ROOT / "tight-binding"), before, resume=True).checkpoint)
    gaps = dataset(folder, trial, ROOT / "gaps" / "materials-project.csv.gz") if trial.gaps else None
    fit(config, dataset(folder, trial, ROOT / "labels"), place, start=start, gaps=gaps, resume=True)
    return place


def main() -> int:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where runs and data sets are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = []
    for name in options.only:
        for seed in options.seeds:
            runs.append(training_run(run(options.folder, name, seed), name))
            sys.stderr.write(f"{name}, seed {seed}: {runs[-1].metrics['energy_mae_ev']:.3f} eV\n")
    sys.stdout.write(json.dumps([row.as_dict() for row in compare(runs)], ensure_ascii=False, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
