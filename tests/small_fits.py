"""A training run of seconds: a coarse path, a tiny model, a few epochs."""

from __future__ import annotations

from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.dataset import DatasetRecipe, SplitRule
from bandrt_train.fit_config import FitConfig, OptimizerConfig
from bandrt_train.model_config import ModelConfig

N_KPOINTS = 32
RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=N_KPOINTS)), splits=SplitRule(validation=0.25, test=0.05))
TINY = ModelConfig(
    d_model=12, n_heads=2, encoder_layers=1, decoder_layers=1, d_feedforward=24, n_gaussians=8, dropout=0.0, n_kpoints=N_KPOINTS
)
CONFIG = FitConfig(
    model=TINY, optimizer=OptimizerConfig(3e-3, warmup_epochs=1.0, ema_decay=0.9), epochs=6, patience=6, batch_size=8
)
