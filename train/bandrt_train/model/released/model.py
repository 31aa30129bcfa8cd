"""The released Bandformer: from a batch of crystal graphs and k-paths to the Fourier modes of bands."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_batch

from bandrt_train.model.output import BandOutput
from bandrt_train.model.released.config import ReleasedConfig
from bandrt_train.model.released.decoder import Decoder
from bandrt_train.model.released.encoder import Encoder


class Spectrum(NamedTuple):
    """Fourier modes of each band as a function of the k-point number, ``E_k = sum_m c_m exp(2 pi i m k / K)``, eV."""

    real: Tensor
    """(B, n_bands, n_modes)."""
    imag: Tensor
    """(B, n_bands, n_modes); zero at mode 0."""


class ModeHead(nn.Module):
    """One number per band and mode."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.d_model, config.d_model // 2)
        self.fc2 = nn.Linear(config.d_model // 2, config.n_bands)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, n_modes, d_model) to (B, n_bands, n_modes)."""
        numbers: Tensor = self.fc2(nn.functional.gelu(self.fc1(sequence)))
        return numbers.transpose(1, 2)


class ReleasedBandformer(nn.Module):
    """The released model on PyG batches (see `graph_data`), its parameters named as in the released code.

    Under autocast, what reads modes in eV keeps full precision.
    """

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.mlp1 = ModeHead(config)
        self.mlp2 = ModeHead(config)

    def forward(self, data: Data) -> BandOutput:
        """Predict the bands of a PyG batch."""
        modes = self.spectrum(data)
        energies = torch.fft.irfft(torch.complex(modes.real, modes.imag), n=self.config.n_kpoints, dim=-1, norm="forward")
        center = energies.mean(dim=-1)
        return BandOutput(center, energies - center.unsqueeze(-1), energies)

    def spectrum(self, data: Data) -> Spectrum:
        """Predict the Fourier modes of the bands of a PyG batch."""
        nodes = self.encoder(data.atomic_numbers, data.edge_index, data.edge_length)
        memory, present = to_dense_batch(nodes, data.batch, batch_size=len(data.kpoints))
        sequence = self.decoder(data.kpoints, memory, present)
        with torch.autocast(data.kpoints.device.type, enabled=False):
            real, imag = self.mlp1(sequence.float()), self.mlp2(sequence.float())
        return Spectrum(real, torch.cat([torch.zeros_like(imag[..., :1]), imag[..., 1:]], dim=-1))
