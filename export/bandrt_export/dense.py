"""The dense model: the same parameters as the reference, on padded arrays, in operations that every backend takes.

Two things differ from the reference, and neither has parameters: atoms find their neighbours by a flat gather instead of
message passing, and attention is written out as MatMul, Softmax, MatMul with finite mask values. So the state dictionaries
are equal by name and shape, and loading one into the other is the checked mapping.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bandrt.manifest import Variant
from bandrt_export.contract import INPUTS
from bandrt_export.dense_loops import DenseBonds, DenseLoops
from bandrt_export.dense_reading import PooledReading
from bandrt_export.dense_released import DenseReleased
from bandrt_export.masking import masked_softmax
from bandrt_train.counts import CrystalCounts
from bandrt_train.decoder import CrossAttention, Decoder, Memory, SelfAttention
from bandrt_train.encoder import EdgeBiasedAttention, Encoder, GaussianExpansion
from bandrt_train.heads import BandHeads
from bandrt_train.loops import LoopReading
from bandrt_train.model import Bandformer
from bandrt_train.model_config import ModelConfig
from bandrt_train.modes import ModeDecoder, ModeHeads
from bandrt_train.node_features import NODE_FEATURES


class DenseEdges(NamedTuple):
    """The neighbours of all atoms of a batch, atoms counted through it: M = B * N."""

    neighbor: Tensor
    """(M * D,) int64: the neighbours of atom 0, then those of atom 1, ..."""
    gaussians: Tensor
    """(M, D, n_gaussians): expanded distances."""
    mask: Tensor
    """(M, D) bool: which slots hold a neighbour."""


class DenseBands(NamedTuple):
    """The outputs, named and shaped as in the graph contract."""

    band_energies: Tensor
    """(B, n_bands, K) eV."""
    band_center: Tensor
    """(B, n_bands) eV."""
    band_dispersion: Tensor
    """(B, n_bands, K) eV."""


def mean_atom(memory: Memory) -> Tensor:
    """The mean over the atoms of each crystal, (B, d_model); zero for a crystal of padding alone."""
    present = memory.mask.unsqueeze(-1).to(memory.nodes.dtype)  # (B, N, 1)
    return (memory.nodes * present).sum(dim=1) / present.sum(dim=1).clamp(min=1.0)


class GatheredAttention(EdgeBiasedAttention):
    """Edge-biased attention over `DenseEdges`."""

    def forward(self, nodes: Tensor, edges: DenseEdges) -> Tensor:
        """(M, d_model) to (M, d_model)."""
        n_slots = edges.mask.shape[1]
        query = self.split_heads(self.query(nodes)).unsqueeze(-1)  # (M, n_heads, d_head, 1)
        key = self._neighbors(self.key(nodes), edges.neighbor, n_slots)  # (M, D, n_heads, d_head)
        value = self._neighbors(self.value(nodes), edges.neighbor, n_slots)
        if self.edge_value is not None:
            value = value + self.split_heads(self.edge_value(edges.gaussians))
        bias = self.edge_bias(edges.gaussians).transpose(1, 2)  # (M, n_heads, D)
        score = torch.matmul(key.transpose(1, 2), query).squeeze(-1) * self.scale + bias
        weight = masked_softmax(score, edges.mask.unsqueeze(1))
        gathered = torch.matmul(weight.unsqueeze(2), value.transpose(1, 2))  # (M, n_heads, 1, d_head)
        return gathered.flatten(1)

    def _neighbors(self, projected: Tensor, neighbor: Tensor, n_slots: int) -> Tensor:
        return self.split_heads(projected.index_select(0, neighbor).unflatten(0, (-1, n_slots)))


class ExplicitSelfAttention(SelfAttention):
    """Self-attention with the softmax written out."""

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        query, key, value = (self.split_heads(part) for part in self.query_key_value(sequence).chunk(3, dim=-1))
        score = torch.matmul(query * self.scale, key.transpose(-1, -2))  # (B, n_heads, K, K)
        return self.join_heads(torch.matmul(torch.softmax(score, dim=-1), value))


class ExplicitCrossAttention(CrossAttention):
    """Cross-attention with the softmax written out."""

    def forward(self, sequence: Tensor, memory: Memory) -> Tensor:
        """(B, K, d_model) to (B, K, d_model)."""
        query = self.split_heads(self.query(sequence))
        key, value = (self.split_heads(part) for part in self.key_value(memory.nodes).chunk(2, dim=-1))
        score = torch.matmul(query, (key * self.scale).transpose(-1, -2))  # (B, n_heads, K, N)
        return self.join_heads(torch.matmul(masked_softmax(score, memory.mask[:, None, None, :]), value))


class DenseBandformer(nn.Module):
    """The paper's model with the inputs and outputs of the graph contract."""

    decoder_type: ClassVar[type[Decoder | ModeDecoder]] = Decoder
    heads_type: ClassVar[type[BandHeads]] = BandHeads
    inputs: ClassVar[tuple[str, ...]] = INPUTS
    outputs: ClassVar[tuple[str, ...]] = DenseBands._fields
    dynamic_slots: ClassVar[bool] = False
    parity_limit_ev: ClassVar[float] = 1e-4  # measured exports stay a hundred times below
    full_precision: ClassVar[frozenset[str]] = frozenset({"node_features", "expansion", "counts", "decoder.encoding", "heads"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.node_features = NODE_FEATURES[config.node_features](config)
        self.expansion = GaussianExpansion(config)
        self.encoder = Encoder(config, GatheredAttention)
        self.counts = CrystalCounts(config) if config.crystal_counts else None
        self.decoder = self.decoder_type(config, ExplicitSelfAttention, ExplicitCrossAttention)
        self.heads = self.heads_type(config)

    @classmethod
    def from_reference(cls, model: Bandformer) -> DenseBandformer:
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
    ) -> DenseBands:
        """Predict the bands of a padded batch.

        Args:
            atomic_numbers: (B, N) int32, 0 on padding.
            neighbor_index: (B, N, D) int32, within its crystal.
            neighbor_distance: (B, N, D) float32, Å.
            neighbor_mask: (B, N, D) bool.
            atom_mask: (B, N) bool.
            kpoints: (B, K, 3) float32.
        """
        edges = self.edges(neighbor_index, neighbor_distance, neighbor_mask)
        memory = self.atoms(atomic_numbers, atom_mask, edges)
        bands = self.heads(self.decoder(kpoints, memory), mean_atom(memory))
        return DenseBands(bands.energies, bands.center, bands.dispersion)

    def atoms(self, atomic_numbers: Tensor, atom_mask: Tensor, edges: DenseEdges) -> Memory:
        """Encode the atoms of all crystals."""
        nodes = self.encoder(self.node_features(atomic_numbers.flatten()), edges).unflatten(0, atomic_numbers.shape)
        return Memory(nodes if self.counts is None else self.counts(nodes, atom_mask, atomic_numbers), atom_mask)

    def edges(self, neighbor_index: Tensor, neighbor_distance: Tensor, neighbor_mask: Tensor) -> DenseEdges:
        """Count the neighbours of all crystals, (B, N, D), through the batch."""
        n_crystals, n_atoms, _ = neighbor_index.shape
        first_atom = torch.arange(n_crystals, device=neighbor_index.device) * n_atoms  # (B,)
        return DenseEdges(
            neighbor=(neighbor_index + first_atom[:, None, None]).flatten(),
            gaussians=self.expansion(neighbor_distance.flatten(0, 1)),
            mask=neighbor_mask.flatten(0, 1),
        )


class DenseFourier(DenseBandformer):
    """The bands of a path as Fourier series, to and fro by products with constant matrices."""

    decoder_type = ModeDecoder
    heads_type = ModeHeads
    full_precision = DenseBandformer.full_precision | {"decoder.tokens"}


class DenseBloch(DenseBandformer):
    """Our variant with the inputs and outputs of the graph contract; it takes the images of the neighbours, too."""

    inputs = (*INPUTS, "neighbor_image")
    full_precision = DenseBandformer.full_precision | {"loops", "reading.loops", "reading.bands"}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.loops = DenseLoops(config)
        self.reading: LoopReading | PooledReading = LoopReading(config)

    @classmethod
    def from_reference(cls, model: Bandformer) -> DenseBloch:
        """Copy a reference model's parameters and buffers, then rearrange what comes after the loops."""
        dense = super().from_reference(model)
        assert isinstance(dense, DenseBloch)
        assert isinstance(dense.reading, LoopReading)
        dense.reading = PooledReading(dense.reading)
        return dense.eval()

    def forward(
        self,
        atomic_numbers: Tensor,
        neighbor_index: Tensor,
        neighbor_distance: Tensor,
        neighbor_mask: Tensor,
        atom_mask: Tensor,
        kpoints: Tensor,
        neighbor_image: Tensor,
    ) -> DenseBands:
        """Predict the bands of a padded batch; see `DenseBandformer.forward`.

        Args:
            neighbor_image: (B, N, D, 3) int32, lattice translations of the neighbours, in the vectors that k-points refer to.
        """
        n_crystals, n_atoms = atomic_numbers.shape
        edges = self.edges(neighbor_index, neighbor_distance, neighbor_mask)
        memory = self.atoms(atomic_numbers, atom_mask, edges)
        image = neighbor_image.flatten(1, 2).to(kpoints.dtype)  # (B, N * D, 3)
        turns = torch.matmul(image, kpoints.transpose(1, 2)).unflatten(1, (n_atoms, -1))  # (B, N, D, K)
        bonds = DenseBonds(
            neighbor=edges.neighbor.unflatten(0, (n_crystals * n_atoms, -1)),
            gaussians=edges.gaussians,
            distance=neighbor_distance.flatten(0, 1),
            mask=edges.mask,
            turns=turns.flatten(0, 1),
            n_groups=torch.sym_min(n_atoms, neighbor_index.shape[2]),
        )
        loops = self.loops(memory.nodes.flatten(0, 1), bonds).unflatten(0, (n_crystals, n_atoms))
        read = self.reading(memory.nodes, loops, atom_mask)
        bands = self.heads(self.decoder(kpoints, memory, read.sequence), mean_atom(memory), read)
        return DenseBands(bands.energies, bands.center, bands.dispersion)


Dense = DenseBandformer | DenseReleased
"""The dense model of any variant. Besides `forward`, each class says which tensors of the graph contract it takes, in the order of
`forward` (`inputs`), and gives (`outputs`), whether crystals may bring any number of neighbour slots or just those of the graph
recipe (`dynamic_slots`), how many eV fp32 rounding may cost (`parity_limit_ev`), and which modules and constants keep their
products in fp32 in fp16 (`full_precision`)."""
DENSE: dict[Variant, type[Dense]] = {
    "paper": DenseBandformer,
    "fourier": DenseFourier,
    "bloch": DenseBloch,
    "released": DenseReleased,
}
"""The dense module of each variant, under the same names as `bandrt_train.model.REFERENCES`."""
