"""Small models and the crystals they are tried on, for the tests of training and export."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from bandrt.features import Features
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_export.parity import featurize_all, packaged_crystals
from bandrt_train.model import Bandformer, build_model
from bandrt_train.model_config import ModelConfig
from bandrt_train.recipes import default_recipe

RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=48))
SMALL = ModelConfig(
    d_model=24, n_heads=4, encoder_layers=2, decoder_layers=2, d_feedforward=32, n_gaussians=9, n_bands=6, n_kpoints=48
)

BLOCH_RECIPE = default_recipe("bloch", RECIPE.kpath)
BLOCH = replace(SMALL, variant="bloch", n_hoppings=5, edge_values=True)  # more hoppings than the export takes at once


def perturbed(config: ModelConfig = SMALL, *, seed: int = 0) -> Bandformer:
    """A model in which no parameter or buffer of a head has the value it starts from: fresh ones hide exchanged layers."""
    generator = torch.Generator().manual_seed(seed)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        model.heads.set_statistics(*(torch.rand(config.n_bands, generator=generator) + 0.5 for _ in range(3)))
    return model


@cache
def real_features() -> list[Features]:
    """The packaged real crystals, smallest first, on paths of 48 points."""
    return featurize_all(packaged_crystals(), RECIPE)


@cache
def bloch_features() -> list[Features]:
    """The same with the neighbours that ``bloch`` needs."""
    return featurize_all(packaged_crystals(), BLOCH_RECIPE)


def isolated(features: Features) -> Features:
    """The same crystal, its atoms so far apart that no one has a neighbour."""
    return replace(features, neighbor_mask=features.neighbor_mask & False)
