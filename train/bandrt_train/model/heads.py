"""The heads: from features of a path and a crystal to the centre and the shape of every band."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.levels import LevelFeatures
from bandrt_train.model.loops import LoopFeatures
from bandrt_train.model.output import BandOutput
from bandrt_train.model.stride import Stride


class LevelReading(nn.Module):
    """The same question of every band, whatever its number: made of these orbitals, where does it lie and how is it bent?"""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model, half = config.d_model, config.d_model // 2
        self.share = nn.Parameter(torch.full((config.n_bands,), 0.5))
        self.center_character, self.center_crystal = nn.Linear(d_model, half), nn.Linear(2 * d_model, half)
        self.shape_character, self.shape_kpoint = nn.Linear(d_model, half), nn.Linear(d_model, half)
        self.center_band, self.shape_band = (nn.Parameter(torch.zeros(config.n_bands, half)) for _ in range(2))
        self.center, self.shape = nn.Linear(half, 1), nn.Linear(half, 1)
        for last in (self.center, self.shape):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def of_centers(self, levels: LevelFeatures, pooled: Tensor) -> Tensor:
        """(B, n_bands), in units of their spread, from (B, 2 * d_model)."""
        hidden = self.center_character(levels.character) + self.center_crystal(pooled).unsqueeze(1) + self.center_band
        center: Tensor = self.center(F.gelu(hidden))
        return center.squeeze(-1)

    def of_shapes(self, levels: LevelFeatures, sequence: Tensor) -> Tensor:
        """(B, K, n_bands), in units of their spread, from (B, K, d_model)."""
        band = self.shape_character(levels.character) + self.shape_band  # (B, n_bands, half)
        shape: Tensor = self.shape(F.gelu(self.shape_kpoint(sequence).unsqueeze(2) + band.unsqueeze(1)))
        return shape.squeeze(-1)


class BandHeads(nn.Module):
    """Two numbers per band: its centre, once per crystal, and its deviation from it, at each k-point.

    Both start as the mean of the training data (`set_statistics`), and learn what to add, in units of its spread. With levels, half
    of these is added to the centres from the start.
    """

    numbers_per_band: ClassVar[int] = 1
    """What is read of each element of the sequence, for each band."""
    center_mean: Tensor
    center_scale: Tensor
    dispersion_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        half = config.d_model // 2
        self.center = nn.Sequential(nn.Linear(2 * config.d_model, half), nn.GELU(), nn.Linear(half, config.n_bands))
        n_numbers = self.numbers_per_band * config.n_bands
        self.dispersion = nn.Sequential(nn.Linear(config.d_model, half), nn.GELU(), nn.Linear(half, n_numbers))
        for head in (self.center, self.dispersion):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)
        self.levels = LevelReading(config) if config.atomic_levels else None
        self.stride = Stride(config)
        self.register_buffer("center_mean", torch.zeros(config.n_bands))
        self.register_buffer("center_scale", torch.ones(config.n_bands))
        self.register_buffer("dispersion_scale", torch.ones(config.n_bands))

    def set_statistics(self, center_mean: Tensor, center_scale: Tensor, dispersion_scale: Tensor) -> None:
        """Remember the training data: mean and spread of the centres, spread of the dispersions, each (n_bands,), eV."""
        self.center_mean.copy_(center_mean)
        self.center_scale.copy_(center_scale)
        self.dispersion_scale.copy_(dispersion_scale)

    def forward(
        self, sequence: Tensor, crystal: Tensor, loops: LoopFeatures | None = None, levels: LevelFeatures | None = None
    ) -> BandOutput:
        """Read the bands from the k-points (B, K, d_model) and the crystal feature (B, d_model).

        With loops, their deviation is added to what the k-points say, and the centres are read before the decoder: what it makes
        of a path helps with the shape of bands but, on few crystals, not with their height. With levels, bands start from these.
        Where not all k-points of the path are computed, the others are interpolated.
        """
        path = sequence if loops is None else loops.sequence
        if levels is not None:
            crystal = crystal + levels.crystal
        pooled = torch.cat([path.mean(dim=1), crystal], dim=-1)
        shape = self.dispersion(sequence)  # (B, K, n_bands)
        if loops is not None:
            shape = shape + loops.deviation
        if self.levels is None or levels is None:
            return self.bands(pooled, self.stride.up(shape.transpose(1, 2)))
        offset = self.levels.share * levels.energies + self.center_scale * self.levels.of_centers(levels, pooled)
        shape = shape + self.levels.of_shapes(levels, sequence)
        return self.bands(pooled, self.stride.up(shape.transpose(1, 2)), offset)

    def bands(self, pooled: Tensor, shape: Tensor, offset: Tensor | None = None) -> BandOutput:
        """Put bands together.

        Args:
            pooled: (B, 2 * d_model), what the centres are read of.
            shape: (B, n_bands, K) bands in units of their spread.
            offset: (B, n_bands) eV, added to the centres.
        """
        center = self.center_mean + self.center_scale * self.center(pooled)
        if offset is not None:
            center = center + offset
        deviation = shape * self.dispersion_scale.unsqueeze(-1)
        dispersion = deviation - deviation.mean(dim=-1, keepdim=True)
        return BandOutput(center, dispersion, center.unsqueeze(-1) + dispersion)
