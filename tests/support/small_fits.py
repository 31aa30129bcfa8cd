"""A training run of seconds: a coarse path, a tiny model, a few epochs; and whether two runs are the same."""

from __future__ import annotations

from pathlib import Path

import torch

from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.dataset import DatasetRecipe, SplitRule
from bandrt_train.fit.config import FitConfig, OptimizerConfig
from bandrt_train.model.config import ModelConfig

N_KPOINTS = 32
RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=N_KPOINTS)), splits=SplitRule(validation=0.25, test=0.05))
TINY = ModelConfig(
    d_model=12, n_heads=2, encoder_layers=1, decoder_layers=1, d_feedforward=24, n_gaussians=8, dropout=0.0, n_kpoints=N_KPOINTS
)
CONFIG = FitConfig(
    model=TINY, optimizer=OptimizerConfig(3e-3, warmup_epochs=1.0, ema_decay=0.9), epochs=6, patience=6, batch_size=8
)


def assert_same_run(folder: Path, expected: Path) -> None:
    """Weights, optimiser, schedule, averages, log and result are equal."""
    for name in ("checkpoint.pt", "last.ckpt"):
        found, wanted = (_tensors(torch.load(run / name, weights_only=True)) for run in (folder, expected))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted), name
    for name in ("log.csv", "validation.json", "config.json"):
        assert (folder / name).read_text(encoding="utf-8") == (expected / name).read_text(encoding="utf-8"), name


def _tensors(value: object, path: str = "") -> dict[str, torch.Tensor]:
    """Every tensor and number of a nested value, by where it is."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    if isinstance(value, int | float):
        return {path: torch.tensor(value, dtype=torch.float64)}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {key: tensor for name, one in inner for key, tensor in _tensors(one, f"{path}/{name}").items()}
