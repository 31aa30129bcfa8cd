"""Small models and the crystals they are tried on, for the tests of training and export."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bandrt.features import Features
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_export.parity import featurize_all, packaged_crystals
from bandrt_train.data.recipes import default_recipe
from bandrt_train.model.bandformer import Bandformer, build_model
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.released.config import ReleasedConfig
from bandrt_train.model.released.model import ReleasedBandformer

RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=48))
SMALL = ModelConfig(
    d_model=24, n_heads=4, encoder_layers=2, decoder_layers=2, d_feedforward=32, n_gaussians=9, n_bands=6, n_kpoints=48
)
SMALL_RELEASED = ReleasedConfig(
    d_model=24, encoder_heads=4, encoder_layers=2, decoder_heads=3, decoder_layers=2, dropout=0.0, n_kpoints=48
)

PORTABLE_OPS = set(
    "Add Cast Clip Concat Constant Cos Div Equal Exp Expand Flatten Floor Gather Gelu Gemm Greater LayerNormalization Log"
    " MatMul Max Min Mul Neg Pow Range Reciprocal ReduceMean ReduceSum Reshape Round Shape Sin Slice Softmax Softplus"
    " Split Sqrt Squeeze Sub Tile Transpose Unsqueeze Where".split()
)
"""Operations that ONNX Runtime, TensorRT and TensorRT-RTX all take; no scatter, no DFT, no fused attention."""

BLOCH_RECIPE = default_recipe("bloch", RECIPE.kpath)
BLOCH = replace(
    SMALL, variant="bloch", n_hoppings=5, edge_values=True, crystal_counts=True, atomic_levels=True
)  # more hoppings than the export takes at once


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


def perturbed_released(config: ReleasedConfig = SMALL_RELEASED, *, seed: int = 0) -> ReleasedBandformer:
    """A released model in which no parameter or statistic has the value it starts from."""
    generator = torch.Generator().manual_seed(seed)
    model = ReleasedBandformer(config).eval()
    with torch.no_grad():
        mean, variance = model.encoder.norm.running_mean, model.encoder.norm.running_var
        assert mean is not None
        assert variance is not None
        for parameter in (*model.parameters(), mean):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        variance.add_(torch.rand(config.d_model, generator=generator))
    return model


def write_released(path: Path, model: ReleasedBandformer, *, prefix: str = "", **changes: Any) -> Path:
    """Write a checkpoint in the layout of the released code; keyword arguments replace or add entries."""
    config = model.config
    content = {
        "model": {prefix + name: tensor for name, tensor in model.state_dict().items()},
        "optimizer": {"state": {}, "param_groups": []},
        "model_args": {
            "d_model": config.d_model,
            "enc_heads": config.encoder_heads,
            "enc_num_layers": config.encoder_layers,
            "dec_heads": config.decoder_heads,
            "dec_num_layers": config.decoder_layers,
            "dropout": config.dropout,
        },
        "iter_num": 1000,
        "best_val_loss": torch.tensor(0.25),
        "config": {"dataset": "nm-6-cleaned-maxlen-30.pt"},
    }
    torch.save(content | changes, path)
    return path
