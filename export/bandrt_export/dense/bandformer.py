"""The dense model: the same parameters as the reference, on padded arrays, in operations that every backend takes.

Atoms find their neighbours by a gather instead of message passing, and attention is written out as MatMul, Softmax, MatMul with
finite mask values. The state dictionaries are equal by name and shape, and loading one into the other is the checked mapping; what
is linear is then multiplied together where that saves work (`dense_encoder`, `dense_decoder`, `dense_reading`).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bandrt.contract import GRAPH_INPUTS, REQUIRED_INPUTS
from bandrt.manifest import Variant
from bandrt_export.dense.decoder import ExplicitSelfAttention, FoldedCrossAttention
from bandrt_export.dense.encoder import DenseEdges, GatheredAttention
from bandrt_export.dense.loops import DenseBonds, DenseLoops
from bandrt_export.dense.reading import PooledReading
from bandrt_export.dense.released import DenseReleased
from bandrt_train.model.bandformer import Bandformer
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.counts import CrystalCounts
from bandrt_train.model.decoder import CrossAttention, Decoder, Memory, mean_atom
from bandrt_train.model.encoder import EdgeBiasedAttention, Encoder, GaussianExpansion
from bandrt_train.model.heads import BandHeads
from bandrt_train.model.levels import AtomicLevels
from bandrt_train.model.loops import LoopReading
from bandrt_train.model.modes import ModeDecoder, ModeHeads
from bandrt_train.model.node_features import NODE_FEATURES


class DenseBands(NamedTuple):
    """The outputs, named and shaped as in the graph contract."""

    band_energies: Tensor
    """(B, n_bands, K) eV."""
    band_center: Tensor
    """(B, n_bands) eV."""
    band_dispersion: Tensor
    """(B, n_bands, K) eV."""


class DenseBandformer(nn.Module):
    """The paper's model with the inputs and outputs of the graph contract."""

    decoder_type: ClassVar[type[Decoder | ModeDecoder]] = Decoder
    heads_type: ClassVar[type[BandHeads]] = BandHeads
    inputs: ClassVar[tuple[str, ...]] = REQUIRED_INPUTS
    outputs: ClassVar[tuple[str, ...]] = DenseBands._fields
    parity_limit_ev: ClassVar[float] = 1e-4  # measured exports stay a hundred times below
    full_precision: ClassVar[frozenset[str]] = frozenset({"node_features", "expansion", "counts", "decoder.encoding", "heads"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.node_features = NODE_FEATURES[config.node_features](config)
        self.expansion = GaussianExpansion(config)
        self.encoder = Encoder(config, EdgeBiasedAttention)
        self.counts = CrystalCounts(config) if config.crystal_counts else None
        self.decoder = self.decoder_type(config, ExplicitSelfAttention)
        self.heads = self.heads_type(config)

    @classmethod
    def from_reference(cls, model: Bandformer) -> DenseBandformer:
        """Copy a reference model's parameters and buffers; every one must have its place, by name and shape."""
        dense = cls(model.config)
        dense.load_state_dict(model.state_dict(), strict=True)
        dense.rearrange()
        return dense.eval()

    def rearrange(self) -> None:
        """Put in place of trained modules what computes the same faster."""
        for layer in self.encoder.layers:
            attention = layer.attention
            assert isinstance(attention, EdgeBiasedAttention)
            layer.attention = GatheredAttention(attention)
        for layer in self.decoder.layers:
            cross_attention = layer.cross_attention
            assert isinstance(cross_attention, CrossAttention)
            layer.cross_attention = FoldedCrossAttention(cross_attention)

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
            neighbor=(neighbor_index + first_atom[:, None, None]).flatten(0, 1),
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

    inputs = GRAPH_INPUTS
    full_precision = DenseBandformer.full_precision | {"levels", "loops", "reading.loops", "reading.bands"}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.loops = DenseLoops(config)
        self.reading: LoopReading | PooledReading = LoopReading(config)
        self.levels = AtomicLevels(config) if config.atomic_levels else None

    def rearrange(self) -> None:
        """Put in place of trained modules what computes the same faster."""
        super().rearrange()
        assert isinstance(self.reading, LoopReading)
        self.reading = PooledReading(self.reading)

    def forward(
        self,
        atomic_numbers: Tensor,
        neighbor_index: Tensor,
        neighbor_distance: Tensor,
        neighbor_mask: Tensor,
        atom_mask: Tensor,
        kpoints: Tensor,
        neighbor_image: Tensor | None = None,
    ) -> DenseBands:
        """Predict the bands of a padded batch; see `DenseBandformer.forward`.

        Args:
            neighbor_image: (B, N, D, 3) int32, lattice translations of the neighbours, in the vectors that k-points refer to.
        """
        assert neighbor_image is not None
        n_crystals, n_atoms = atomic_numbers.shape
        kpoints = self.heads.stride.down(kpoints)
        edges = self.edges(neighbor_index, neighbor_distance, neighbor_mask)
        memory = self.atoms(atomic_numbers, atom_mask, edges)
        image = neighbor_image.flatten(1, 2).to(kpoints.dtype)  # (B, N * D, 3)
        turns = torch.unflatten(torch.matmul(image, kpoints.transpose(1, 2)), 1, (n_atoms, -1))  # (B, N, D, K)
        bonds = DenseBonds(
            neighbor=edges.neighbor,
            gaussians=edges.gaussians,
            distance=neighbor_distance.flatten(0, 1),
            mask=edges.mask,
            turns=turns.flatten(0, 1),
            n_groups=torch.sym_min(n_atoms, neighbor_index.shape[2]),
        )
        loops = self.loops(memory.nodes.flatten(0, 1), bonds).unflatten(0, (n_crystals, n_atoms))
        levels = None if self.levels is None else self.levels(memory.nodes, atom_mask, atomic_numbers)
        read = self.reading(memory.nodes, loops, atom_mask, None if levels is None else levels.loop_weight)
        bands = self.heads(self.decoder(kpoints, memory, read.sequence), mean_atom(memory), read, levels)
        return DenseBands(bands.energies, bands.center, bands.dispersion)


Dense = DenseBandformer | DenseReleased
"""The dense model of any variant. Besides `forward`, each class says which tensors of the graph contract it takes, in the order of
`forward` (`inputs`), and gives (`outputs`), how many eV fp32 rounding may cost (`parity_limit_ev`), and which modules and constants
keep their products in fp32 in fp16 (`full_precision`)."""
DENSE: dict[Variant, type[Dense]] = {
    "paper": DenseBandformer,
    "fourier": DenseFourier,
    "bloch": DenseBloch,
    "released": DenseReleased,
}
"""The dense module of each variant, under the same names as `bandrt_train.model.bandformer.REFERENCES`."""
