"""The dense model of the released variant: Fourier transforms as constant matrices, GATv2 attention over padded neighbours.

Parameters have the names of the reference, so loading one state dictionary into the other is the checked mapping.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bandrt.contract import REQUIRED_INPUTS
from bandrt_export.dense.masking import masked_softmax
from bandrt_train.model.released.config import ReleasedConfig
from bandrt_train.model.released.decoder import KpointEncoding, ModeEncoding
from bandrt_train.model.released.encoder import D_EDGE, N_GAUSSIANS, SpeciesEmbedding, expand_distance
from bandrt_train.model.released.model import ModeHead, ReleasedBandformer

NEGATIVE_SLOPE = 0.2
"""Of the leaky rectifier in GATv2 attention."""


class DenseNeighbors(NamedTuple):
    """What each of M = B * N atoms hears: its neighbours in D slots, then itself."""

    speaker: Tensor
    """(M * (D + 1),) int64: atoms counted through the batch; the last of each D + 1 is the atom itself."""
    edges: Tensor
    """(M, D + 1, D_EDGE): features; the last is the mean over the neighbours, zero without any."""
    mask: Tensor
    """(M, D + 1) bool: which slots are heard; the last always."""


class DenseBandEnergies(NamedTuple):
    """The output, named and shaped as in the graph contract."""

    band_energies: Tensor
    """(B, n_bands, K) eV."""


class DenseGatv2(nn.Module):
    """GATv2 attention over `DenseNeighbors`, with a linear residual."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads = config.encoder_heads
        self.att = nn.Parameter(torch.empty(1, self.n_heads, d // self.n_heads))
        self.bias = nn.Parameter(torch.empty(d))
        self.lin_l = nn.Linear(d, d)
        self.lin_r = nn.Linear(d, d)
        self.lin_edge = nn.Linear(D_EDGE, d, bias=False)
        self.res = nn.Linear(d, d, bias=False)

    def forward(self, nodes: Tensor, neighbors: DenseNeighbors) -> Tensor:
        """(M, d_model) to (M, d_model)."""
        n_slots = neighbors.mask.shape[1]
        said = self.lin_l(nodes).index_select(0, neighbors.speaker).unflatten(0, (-1, n_slots))  # (M, D + 1, d_model)
        heard = said + self.lin_r(nodes).unsqueeze(1) + self.lin_edge(neighbors.edges)
        heard = torch.unflatten(nn.functional.leaky_relu(heard, NEGATIVE_SLOPE), -1, (self.n_heads, -1))
        score = (heard * self.att).sum(dim=-1).transpose(1, 2)  # (M, n_heads, D + 1)
        weight = masked_softmax(score, neighbors.mask.unsqueeze(1)).unsqueeze(2)
        value = said.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (M, n_heads, D + 1, d_head)
        gathered: Tensor = torch.matmul(weight, value).flatten(1) + self.res(nodes) + self.bias
        return gathered


class DenseEncoderLayer(nn.Module):
    """GATv2 attention, residual, then LayerNorm."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.conv = DenseGatv2(config)
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, nodes: Tensor, neighbors: DenseNeighbors) -> Tensor:
        """(M, d_model) to (M, d_model)."""
        updated: Tensor = self.norm(self.conv(nodes, neighbors))
        return updated


class FixedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the statistics of training, as multiplication and addition."""

    def forward(self, nodes: Tensor) -> Tensor:
        """(M, d_model) to (M, d_model)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return (nodes - self.running_mean) * scale + self.bias


class DenseEncoder(nn.Module):
    """From species and distances to one vector per atom."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.edge_embed = nn.Linear(N_GAUSSIANS, D_EDGE)
        self.atom_embed = SpeciesEmbedding(config)
        self.layers = nn.ModuleList(DenseEncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = FixedBatchNorm(config.d_model)

    def forward(self, atomic_numbers: Tensor, neighbor: Tensor, distance: Tensor, mask: Tensor) -> Tensor:
        """(M,) species; (M, D) neighbours counted through the batch, distances in Å, and which are there; to (M, d_model)."""
        itself = torch.arange(atomic_numbers.shape[0], device=neighbor.device).unsqueeze(-1)  # (M, 1)
        mask = mask & (neighbor != itself)  # an atom does not hear its own images
        edges = self.edge_embed(expand_distance(distance))  # (M, D, D_EDGE)
        present = mask.unsqueeze(-1).to(edges.dtype)
        mean = (edges * present).sum(dim=1, keepdim=True) / present.sum(dim=1, keepdim=True).clamp(min=1.0)
        neighbors = DenseNeighbors(
            speaker=torch.cat([neighbor, itself], dim=1).flatten(),
            edges=torch.cat([edges, mean], dim=1),
            mask=torch.cat([mask, torch.ones_like(itself, dtype=torch.bool)], dim=1),
        )
        nodes = self.atom_embed(atomic_numbers)
        for layer in self.layers:
            nodes = layer(nodes, neighbors)
        normed: Tensor = self.norm(nodes)
        return normed


class PackedAttention(nn.Module):
    """Projections of multi-head attention, named as in `torch.nn.MultiheadAttention`; a subclass writes out the softmax."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        d = config.d_model
        self.d_model = d
        self.n_heads = config.decoder_heads
        self.scale = (d // self.n_heads) ** -0.5
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * d))
        self.out_proj = nn.Linear(d, d)

    def project(self, source: Tensor, first: int, last: int) -> list[Tensor]:
        """Queries (0), keys (1) and values (2) from `first` to `last` of (B, L, d_model), each (B, n_heads, L, d_head)."""
        rows = slice(first * self.d_model, (last + 1) * self.d_model)
        projected = nn.functional.linear(source, self.in_proj_weight[rows], self.in_proj_bias[rows])
        parts = projected.chunk(last - first + 1, dim=-1)
        return [torch.unflatten(part, -1, (self.n_heads, -1)).transpose(1, 2) for part in parts]

    def combine(self, weight: Tensor, value: Tensor) -> Tensor:
        """Sum values (B, n_heads, N, d_head) by weights (B, n_heads, L, N) and mix the heads, to (B, L, d_model)."""
        combined: Tensor = self.out_proj(torch.matmul(weight, value).transpose(1, 2).flatten(-2))
        return combined


class ExplicitSelfAttention(PackedAttention):
    """Every mode looks at every other."""

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, n_modes, d_model) to the same."""
        query, key, value = self.project(sequence, 0, 2)
        score = torch.matmul(query * self.scale, key.transpose(-1, -2))  # (B, n_heads, n_modes, n_modes)
        return self.combine(torch.softmax(score, dim=-1), value)


class ExplicitCrossAttention(PackedAttention):
    """Every mode looks at every atom of its crystal."""

    def forward(self, sequence: Tensor, memory: Tensor, present: Tensor) -> Tensor:
        """(B, n_modes, d_model), atoms (B, N, d_model) and which are there (B, N) to (B, n_modes, d_model)."""
        [query] = self.project(sequence, 0, 0)
        key, value = self.project(memory, 1, 2)
        score = torch.matmul(query * self.scale, key.transpose(-1, -2))  # (B, n_heads, n_modes, N)
        return self.combine(masked_softmax(score, present[:, None, None, :]), value)


class DenseDecoderLayer(nn.Module):
    """Along the modes, to the atoms, then each mode alone, parameters named as in `torch.nn.TransformerDecoderLayer`."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn = ExplicitSelfAttention(config)
        self.multihead_attn = ExplicitCrossAttention(config)
        self.linear1 = nn.Linear(d, 2 * d)
        self.linear2 = nn.Linear(2 * d, d)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, sequence: Tensor, memory: Tensor, present: Tensor) -> Tensor:
        """(B, n_modes, d_model) to the same."""
        sequence = sequence + self.self_attn(self.norm1(sequence))
        sequence = sequence + self.multihead_attn(self.norm2(sequence), memory, present)
        updated: Tensor = sequence + self.linear2(torch.relu(self.linear1(self.norm3(sequence))))
        return updated


class DenseDecoder(nn.Module):
    """From k-points and encoded atoms to one feature per Fourier mode."""

    analysis: Tensor

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.pe = ModeEncoding(config)
        self.k_proj = nn.Linear(2 * config.d_model, config.d_model)
        self.kpe = KpointEncoding(config)
        self.layers = nn.ModuleList(DenseDecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.register_buffer("analysis", analysis_matrix(config), persistent=False)

    def forward(self, kpoints: Tensor, memory: Tensor, present: Tensor) -> Tensor:
        """(B, K, 3), (B, N, d_model) and (B, N) bool to (B, n_modes, d_model)."""
        real, imag = torch.matmul(self.analysis, self.kpe(kpoints)).chunk(2, dim=1)  # (B, n_modes, d_model) each
        sequence = self.pe(self.k_proj(torch.cat([real, imag], dim=-1)))
        for layer in self.layers:
            sequence = layer(sequence, memory, present)
        normed: Tensor = self.norm(sequence)
        return normed


class DenseReleased(nn.Module):
    """The released model with the inputs and the output of the graph contract."""

    inputs: ClassVar[tuple[str, ...]] = REQUIRED_INPUTS
    outputs: ClassVar = DenseBandEnergies._fields
    full_precision: ClassVar = frozenset({"decoder.kpe", "decoder.analysis", "mlp1", "mlp2"})
    parity_limit_ev: ClassVar = 1e-3  # rounding of all modes adds up where they are in phase, in energies of up to 80 eV
    synthesis: Tensor

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = DenseEncoder(config)
        self.decoder = DenseDecoder(config)
        self.mlp1 = ModeHead(config)
        self.mlp2 = ModeHead(config)
        self.register_buffer("synthesis", synthesis_matrix(config), persistent=False)

    @classmethod
    def from_reference(cls, model: ReleasedBandformer) -> DenseReleased:
        """Copy a reference model's parameters and buffers; every one must have its place, by name and shape."""
        dense = cls(model.config)
        dense.load_state_dict(model.state_dict(), strict=True)
        return dense.eval()

    def forward(
        self,
        atomic_numbers: Tensor,
        neighbor_index: Tensor,
        neighbor_distance: Tensor,
        neighbor_mask: Tensor,
        atom_mask: Tensor,
        kpoints: Tensor,
    ) -> DenseBandEnergies:
        """Predict the bands of a padded batch.

        Args:
            atomic_numbers: (B, N) int32, 0 on padding.
            neighbor_index: (B, N, D) int32, within its crystal.
            neighbor_distance: (B, N, D) float32, Å.
            neighbor_mask: (B, N, D) bool.
            atom_mask: (B, N) bool.
            kpoints: (B, K, 3) float32.
        """
        n_crystals, n_atoms = atomic_numbers.shape
        first_atom = torch.arange(n_crystals, device=atomic_numbers.device) * n_atoms  # (B,)
        nodes = self.encoder(
            atomic_numbers.flatten(),
            (neighbor_index + first_atom[:, None, None]).flatten(0, 1),
            neighbor_distance.flatten(0, 1),
            neighbor_mask.flatten(0, 1),
        )
        sequence = self.decoder(kpoints, nodes.unflatten(0, (n_crystals, n_atoms)), atom_mask)
        spectrum = torch.cat([self.mlp1(sequence), self.mlp2(sequence)], dim=-1)  # (B, n_bands, 2 * n_modes)
        return DenseBandEnergies(torch.matmul(spectrum, self.synthesis))


def analysis_matrix(config: ReleasedConfig) -> Tensor:
    """From K points to the real parts of all modes, then the imaginary ones, (2 * n_modes, K): rfft with norm "ortho"."""
    phase = _phase(config)
    return (torch.cat([torch.cos(phase), -torch.sin(phase)]) / math.sqrt(config.n_kpoints)).float()


def synthesis_matrix(config: ReleasedConfig) -> Tensor:
    """From real, then imaginary parts to K points, (2 * n_modes, K): irfft with norm "forward".

    Modes stand for themselves and their conjugates, but for the first and the last, whose imaginary parts do not count.
    """
    phase = _phase(config)
    twice = torch.full((config.n_modes, 1), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    real, imag = twice * torch.cos(phase), -twice * torch.sin(phase)
    imag[0] = imag[-1] = 0.0
    return torch.cat([real, imag]).float()


def _phase(config: ReleasedConfig) -> Tensor:
    """``2 pi m k / K``, (n_modes, K), reduced to one turn before it is rounded."""
    turns = torch.arange(config.n_modes)[:, None] * torch.arange(config.n_kpoints)[None, :] % config.n_kpoints
    return turns.double() * (2.0 * math.pi / config.n_kpoints)
