"""Bands as Fourier series over their path: the decoder's sequence is a list of modes, not of k-points.

Every walk begins and ends at Γ (see `bandrt.kpaths`), so a band is a periodic function of the place on its path, and its first and
last energies are one. Point i of K is at ``i / (K - 1)`` of a period; mode m is ``a_m cos(2 pi m t) + b_m sin(2 pi m t)``. Bands
have corners where they cross and where the path turns, so their modes fall off as ``1 / m^2``.

Both transforms are products with constant matrices, so the export has them as they are.
Source: the discussion of arXiv 2411.16483v1; its second version predicts such modes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.decoder import CrossAttention, DecoderLayer, KpointEncoding, Memory, SelfAttention
from bandrt_train.model.heads import BandHeads
from bandrt_train.model.levels import LevelFeatures
from bandrt_train.model.loops import LoopFeatures
from bandrt_train.model.output import BandOutput

CORNER_MODE = 8.0
"""From about here on the modes of DFT bands fall off."""


def mode_waves(config: ModelConfig) -> Tensor:
    """Cosines of all modes at all k-points, then their sines, (2 * n_modes, K) float64."""
    place = torch.arange(config.n_kpoints, dtype=torch.float64) / (config.n_kpoints - 1)
    phase = 2.0 * math.pi * torch.arange(config.n_modes, dtype=torch.float64).unsqueeze(-1) * place
    return torch.cat([torch.cos(phase), torch.sin(phase)])


def analysis(config: ModelConfig) -> Tensor:
    """The matrix from a function on the path to its modes, (2 * n_modes, K) float32; Γ, both first and last, counts once."""
    weight = torch.full((config.n_kpoints,), 2.0 / (config.n_kpoints - 1), dtype=torch.float64)
    weight[[0, -1]] /= 2.0
    return (mode_waves(config) * weight).float()


def synthesis(config: ModelConfig) -> Tensor:
    """The matrix from modes, in units of what modes of bands are like, to a function on the path, (2 * n_modes, K) float32."""
    usual = 1.0 / (1.0 + (torch.arange(config.n_modes, dtype=torch.float64) / CORNER_MODE) ** 2)
    return (mode_waves(config) * torch.cat([usual, usual]).unsqueeze(-1)).float()


class ModeTokens(nn.Module):
    """The path as a list of modes: the waves of its k-points, transformed along it, and the number of each mode."""

    analysis: Tensor
    number: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoding = KpointEncoding(config)
        self.project = nn.Linear(2 * config.d_model, config.d_model)
        rate = 10_000.0 ** -(torch.arange(0, config.d_model, 2, dtype=torch.float64) / config.d_model)
        phase = torch.arange(config.n_modes, dtype=torch.float64).unsqueeze(-1) * rate  # (n_modes, d_model / 2)
        self.register_buffer("number", torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1).float(), persistent=False)
        self.register_buffer("analysis", analysis(config), persistent=False)

    def forward(self, kpoints: Tensor) -> Tensor:
        """(B, K, 3) to (B, n_modes, d_model)."""
        even, odd = torch.matmul(self.analysis, self.encoding(kpoints)).chunk(2, dim=1)  # (B, n_modes, d_model) each
        tokens: Tensor = self.project(torch.cat([even, odd], dim=-1)) + self.number
        return tokens


class ModeDecoder(nn.Module):
    """From k-points and encoded atoms to one feature per mode."""

    def __init__(
        self,
        config: ModelConfig,
        self_attention: type[SelfAttention] = SelfAttention,
        cross_attention: type[CrossAttention] = CrossAttention,
    ) -> None:
        super().__init__()
        self.tokens = ModeTokens(config)
        self.layers = nn.ModuleList(DecoderLayer(config, self_attention, cross_attention) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, kpoints: Tensor, memory: Memory) -> Tensor:
        """(B, K, 3) to (B, n_modes, d_model)."""
        sequence = self.tokens(kpoints)
        for layer in self.layers:
            sequence = layer(sequence, memory)
        normed: Tensor = self.norm(sequence)
        return normed


class ModeHeads(BandHeads):
    """Two numbers of each mode for each band: how much of its cosine, and of its sine. The centre is read of mode 0, the mean."""

    numbers_per_band = 2
    synthesis: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("synthesis", synthesis(config), persistent=False)

    def forward(
        self, sequence: Tensor, crystal: Tensor, loops: LoopFeatures | None = None, levels: LevelFeatures | None = None
    ) -> BandOutput:
        """Read the bands from the modes (B, n_modes, d_model) and the crystal feature (B, d_model)."""
        even, odd = self.dispersion(sequence).chunk(2, dim=-1)  # (B, n_modes, n_bands) each
        modes = torch.cat([even, odd], dim=1).transpose(1, 2)  # (B, n_bands, 2 * n_modes)
        return self.bands(torch.cat([sequence[:, 0], crystal], dim=-1), torch.matmul(modes, self.synthesis))
