"""Bandformer: from a batch of crystal graphs and k-paths to bands. The reference that every export is measured against."""

from __future__ import annotations

from typing import NamedTuple, overload

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_batch

from bandrt.manifest import Variant
from bandrt_train.band_output import BandOutput
from bandrt_train.decoder import Decoder, Memory
from bandrt_train.encoder import Encoder, GaussianExpansion, SparseAttention, SparseEdges
from bandrt_train.model_config import ModelConfig
from bandrt_train.node_features import NODE_FEATURES
from bandrt_train.released.config import ReleasedConfig
from bandrt_train.released.model import ReleasedBandformer


class BandLoss(NamedTuple):
    """The training loss and its parts, scalars, eV."""

    total: Tensor
    center: Tensor
    dispersion: Tensor


class BandHeads(nn.Module):
    """Two numbers per band: its centre, once per crystal, and its deviation from it, at each k-point.

    Both start as the mean of the training data (`set_statistics`), and learn what to add, in units of its spread.
    """

    center_mean: Tensor
    center_scale: Tensor
    dispersion_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        half = config.d_model // 2
        self.center = nn.Sequential(nn.Linear(2 * config.d_model, half), nn.GELU(), nn.Linear(half, config.n_bands))
        self.dispersion = nn.Sequential(nn.Linear(config.d_model, half), nn.GELU(), nn.Linear(half, config.n_bands))
        for head in (self.center, self.dispersion):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)
        self.register_buffer("center_mean", torch.zeros(config.n_bands))
        self.register_buffer("center_scale", torch.ones(config.n_bands))
        self.register_buffer("dispersion_scale", torch.ones(config.n_bands))

    def set_statistics(self, center_mean: Tensor, center_scale: Tensor, dispersion_scale: Tensor) -> None:
        """Remember the training data: mean and spread of the centres, spread of the dispersions, each (n_bands,), eV."""
        self.center_mean.copy_(center_mean)
        self.center_scale.copy_(center_scale)
        self.dispersion_scale.copy_(dispersion_scale)

    def forward(self, sequence: Tensor, crystal: Tensor) -> BandOutput:
        """Read the bands from the k-points (B, K, d_model) and the crystal feature (B, d_model)."""
        pooled = torch.cat([sequence.mean(dim=1), crystal], dim=-1)
        center = self.center_mean + self.center_scale * self.center(pooled)
        deviation = self.dispersion(sequence).transpose(1, 2) * self.dispersion_scale.unsqueeze(-1)  # (B, n_bands, K)
        dispersion = deviation - deviation.mean(dim=-1, keepdim=True)
        return BandOutput(center, dispersion, center.unsqueeze(-1) + dispersion)


class Bandformer(nn.Module):
    """The paper's model on PyG batches (see `graph_data`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.node_features = NODE_FEATURES[config.node_features](config)
        self.expansion = GaussianExpansion(config)
        self.encoder = Encoder(config, SparseAttention)
        self.decoder = Decoder(config)
        self.heads = BandHeads(config)

    def forward(self, data: Data) -> BandOutput:
        """Predict the bands of a PyG batch."""
        edges = SparseEdges(data.edge_index, self.expansion(data.edge_length))
        nodes = self.encoder(self.node_features(data.atomic_numbers), edges)
        memory = Memory(*to_dense_batch(nodes, data.batch, batch_size=len(data.kpoints)))
        crystal = memory.nodes.sum(dim=1) / memory.mask.sum(dim=1, keepdim=True)
        output: BandOutput = self.heads(self.decoder(data.kpoints, memory), crystal)
        return output


Config = ModelConfig | ReleasedConfig
"""The configuration of any variant; its field `variant` says which."""
Reference = Bandformer | ReleasedBandformer
"""The reference model of any variant: PyG batch to `BandOutput`."""
CONFIGS: dict[Variant, type[Config]] = {"paper": ModelConfig, "released": ReleasedConfig}
"""The configuration of each variant."""
REFERENCES: dict[Variant, type[Reference]] = {"paper": Bandformer, "released": ReleasedBandformer}
"""The reference module of each variant; `bandrt_export.dense.DENSE` holds the exported one under the same name."""


@overload
def build_model(config: ModelConfig) -> Bandformer: ...
@overload
def build_model(config: ReleasedConfig) -> ReleasedBandformer: ...
def build_model(config: Config) -> Reference:
    """Make the reference model of the configured variant, freshly initialised."""
    return REFERENCES[config.variant](config)


def band_loss(output: BandOutput, targets: Tensor, mask: Tensor, dispersion_weight: float = 1.0) -> BandLoss:
    """Compare bands with labels: ``L1(center) + dispersion_weight * L1(dispersion)``, in eV.

    Centre and dispersion of both sides are taken over the labelled k-points, so that a path labelled in part is compared
    with the same part of the prediction. A band without any labelled k-point does not count.

    Args:
        output: what the model says.
        targets: (B, n_bands, K) labels, eV; anything finite where masked out.
        mask: bool, (B, n_bands, K) or anything that expands to it, e.g. (B, 1, K): where labels are known.
        dispersion_weight: the paper's lambda.
    """
    known = mask.expand_as(targets).to(targets.dtype)
    count = known.sum(dim=-1)  # (B, n_bands)
    labelled = (count > 0).to(targets.dtype)
    error = (output.energies - targets) * known
    center_error = error.sum(dim=-1) / count.clamp(min=1.0)
    deviation_error = (error - center_error.unsqueeze(-1)) * known
    n_bands = labelled.sum().clamp(min=1.0)
    center = (center_error.abs() * labelled).sum() / n_bands
    dispersion = (deviation_error.abs().sum(dim=-1) / count.clamp(min=1.0)).sum() / n_bands
    return BandLoss(center + dispersion_weight * dispersion, center, dispersion)
