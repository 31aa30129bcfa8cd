"""The released encoder: atoms exchange messages by GATv2 attention.

`GATv2Conv` removes the edges of an atom to its own images and gives each atom one to itself, whose feature is the mean over
those that arrive (zero without any). Modules and parameters are named as in the released code.
Source: Brody et al., arXiv 2105.14491, as PyTorch Geometric implements it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from bandrt_train.model.released.config import N_SPECIES, ReleasedConfig

N_GAUSSIANS = 41
MAX_DISTANCE = 8.0
"""Å: centre of the last Gaussian."""
GAUSSIAN_WIDTH = 0.2
"""Å: width of each Gaussian, and the distance between two."""
GAUSSIAN_NORM = 1.12
D_EDGE = 64
"""Features of an edge."""


def expand_distance(distance: Tensor) -> Tensor:
    """Expand distances, (...) Å, in Gaussians, (..., N_GAUSSIANS)."""
    centers = torch.linspace(0.0, MAX_DISTANCE, N_GAUSSIANS, device=distance.device)
    return torch.exp(-(((distance.unsqueeze(-1) - centers) / GAUSSIAN_WIDTH) ** 2)) / GAUSSIAN_NORM


class SpeciesEmbedding(nn.Module):
    """A learned vector per species, times sqrt(d_model)."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.first_atomic_number = config.first_atomic_number
        self.scale = math.sqrt(config.d_model)
        self.lut = nn.Embedding(N_SPECIES, config.d_model)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """(...) atomic numbers to (..., d_model); padding, 0, gives the vector of row 0."""
        vectors: Tensor = self.lut((atomic_numbers - self.first_atomic_number).clamp(min=0))
        return vectors * self.scale


class EncoderLayer(nn.Module):
    """GATv2 attention, residual, then LayerNorm."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        d_head = config.d_model // config.encoder_heads
        self.conv = GATv2Conv(config.d_model, d_head, config.encoder_heads, edge_dim=D_EDGE, residual=True)
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, nodes: Tensor, pairs: Tensor, edges: Tensor) -> Tensor:
        """Update atoms (n_atoms, d_model) along pairs (2, n_edges), source above target, of features (n_edges, D_EDGE)."""
        updated: Tensor = self.norm(self.conv(nodes, pairs, edges))
        return updated


class AtomNorm(nn.BatchNorm1d):
    """Batch normalisation over the atoms of a batch, as the released code trains it.

    In training, by mean and spread of the batch at hand, which also move the running statistics by a tenth; otherwise by those.
    A batch that is one atom has no spread, and torch refuses it: it is normalised by the running statistics and leaves them.
    """

    def forward(self, nodes: Tensor) -> Tensor:
        """(n_atoms, d_model) to the same."""
        if len(nodes) > 1:
            return super().forward(nodes)
        return nn.functional.batch_norm(nodes, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Encoder(nn.Module):
    """From species and distances to one vector per atom."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.edge_embed = nn.Linear(N_GAUSSIANS, D_EDGE)
        self.atom_embed = SpeciesEmbedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = AtomNorm(config.d_model)

    def forward(self, atomic_numbers: Tensor, pairs: Tensor, distance: Tensor) -> Tensor:
        """(n_atoms,), (2, n_edges) and (n_edges,) Å to (n_atoms, d_model)."""
        nodes = self.atom_embed(atomic_numbers)
        edges = self.edge_embed(expand_distance(distance))
        for layer in self.layers:
            nodes = layer(nodes, pairs, edges)
        normed: Tensor = self.norm(nodes)
        return normed
