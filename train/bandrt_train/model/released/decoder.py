"""The released decoder: the path is a function of the k-point number, and its Fourier modes are the sequence.

Coordinates become waves as in the paper, the waves are Fourier transformed along the path, and the modes attend to each other
and to the atoms. Modules and parameters are named as in the released code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bandrt_train.model.released.config import ReleasedConfig


class KpointEncoding(nn.Module):
    """Turn coordinates into waves, ``omega_n = 100^(-n / (dim - 1))`` for n = 0 .. dim - 1, ``dim = d_model / 6``."""

    omega: Tensor

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        dim = config.d_model // 6
        exponent = -torch.arange(dim, dtype=torch.float64) / (dim - 1)
        self.register_buffer("omega", (100.0**exponent).float())

    def forward(self, kpoints: Tensor) -> Tensor:
        """(B, K, 3) to (B, K, d_model): component by component, its cosines, then its sines."""
        phase = kpoints.unsqueeze(-1) * self.omega * (2.0 * math.pi)  # (B, K, 3, dim)
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1).flatten(-2)


class ModeEncoding(nn.Module):
    """The standard sinusoidal encoding of a place in a sequence."""

    pe: Tensor

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        place = torch.arange(config.n_modes, dtype=torch.float64).unsqueeze(-1)
        rate = torch.exp(-math.log(10_000.0) * torch.arange(0, config.d_model, 2, dtype=torch.float64) / config.d_model)
        waves = torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=-1)  # (n_modes, d_model / 2, 2)
        self.register_buffer("pe", waves.flatten(1).float().unsqueeze(0))

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, n_modes, d_model) to the same, each with its place added."""
        return sequence + self.pe


class Decoder(nn.Module):
    """From k-points and encoded atoms to one feature per Fourier mode."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.pe = ModeEncoding(config)
        self.k_proj = nn.Linear(2 * config.d_model, config.d_model)
        self.kpe = KpointEncoding(config)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                config.d_model,
                config.decoder_heads,
                dim_feedforward=2 * config.d_model,
                dropout=config.dropout,
                activation="relu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, kpoints: Tensor, memory: Tensor, present: Tensor) -> Tensor:
        """(B, K, 3), atoms (B, N, d_model) and which of them are there (B, N) to (B, n_modes, d_model)."""
        spectrum = torch.fft.rfft(self.kpe(kpoints), dim=1, norm="ortho")
        sequence = self.pe(self.k_proj(torch.cat([spectrum.real, spectrum.imag], dim=-1)))
        for layer in self.layers:
            sequence = layer(sequence, memory, memory_key_padding_mask=~present)
        normed: Tensor = self.norm(sequence)
        return normed
