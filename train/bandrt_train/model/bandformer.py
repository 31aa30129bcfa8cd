"""Bandformer: from a batch of crystal graphs and k-paths to bands. The reference that every export is measured against."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_batch

from bandrt.manifest import Variant
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.counts import CrystalCounts
from bandrt_train.model.decoder import Decoder, Memory, mean_atom
from bandrt_train.model.encoder import Encoder, GaussianExpansion, SparseAttention, SparseEdges
from bandrt_train.model.heads import BandHeads
from bandrt_train.model.levels import AtomicLevels
from bandrt_train.model.loops import LoopReading, SparseBonds, SparseLoops
from bandrt_train.model.modes import ModeDecoder, ModeHeads
from bandrt_train.model.node_features import NODE_FEATURES
from bandrt_train.model.output import BandOutput
from bandrt_train.model.released.config import ReleasedConfig
from bandrt_train.model.released.model import ReleasedBandformer
from bandrt_train.model.variants import Config


class BandLoss(NamedTuple):
    """The training loss and its parts, scalars, eV."""

    total: Tensor
    center: Tensor
    dispersion: Tensor


class Bandformer(nn.Module):
    """The paper's model on PyG batches (see `graph_data`).

    Under autocast, what turns k-points into waves and what reads bands in eV keep full precision.
    """

    decoder_type: ClassVar[type[Decoder | ModeDecoder]] = Decoder
    heads_type: ClassVar[type[BandHeads]] = BandHeads

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.node_features = NODE_FEATURES[config.node_features](config)
        self.expansion = GaussianExpansion(config)
        self.encoder = Encoder(config, SparseAttention)
        self.counts = CrystalCounts(config) if config.crystal_counts else None
        self.decoder = self.decoder_type(config)
        self.heads = self.heads_type(config)

    def forward(self, data: Data) -> BandOutput:
        """Predict the bands of a PyG batch."""
        edges = SparseEdges(data.edge_index, self.expansion(data.edge_length))
        memory = self.atoms(data, edges)
        crystal = mean_atom(memory)
        sequence = self.decoder(data.kpoints, memory)
        with _full_precision(data):
            output: BandOutput = self.heads(sequence.float(), crystal.float())
        return output

    def atoms(self, data: Data, edges: SparseEdges) -> Memory:
        """Encode the atoms of all crystals."""
        nodes = self.encoder(self.node_features(data.atomic_numbers), edges)
        memory = Memory(*to_dense_batch(nodes, data.batch, batch_size=len(data.kpoints)))
        if self.counts is None:
            return memory
        atomic_numbers = to_dense_batch(data.atomic_numbers, data.batch, batch_size=len(data.kpoints))[0]
        with _full_precision(data):
            return Memory(self.counts(memory.nodes.float(), memory.mask, atomic_numbers), memory.mask)


class FourierBandformer(Bandformer):
    """The bands of a path as Fourier series: the decoder works on modes in the place of k-points."""

    decoder_type = ModeDecoder
    heads_type = ModeHeads


class BlochBandformer(Bandformer):
    """Our variant: a k-point is known by the closed loops of hoppings at k, before it meets the others of its path."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.loops = SparseLoops(config)
        self.reading = LoopReading(config)
        self.levels = AtomicLevels(config) if config.atomic_levels else None

    def forward(self, data: Data) -> BandOutput:
        """Predict the bands of a PyG batch."""
        n_crystals, path = len(data.kpoints), self.heads.stride.down(data.kpoints)
        edges = SparseEdges(data.edge_index, self.expansion(data.edge_length))
        memory = self.atoms(data, edges)
        kpoints = path[data.batch[data.edge_index[1]]]  # (n_edges, n_computed, 3)
        with _full_precision(data):
            turns = torch.matmul(kpoints, data.edge_image.to(kpoints.dtype).unsqueeze(-1)).squeeze(-1)
            loops = self.loops(memory.nodes[memory.mask].float(), SparseBonds(*edges, data.edge_length, turns))
            loops, atomic_numbers = (
                to_dense_batch(of_atoms, data.batch, batch_size=n_crystals)[0] for of_atoms in (loops, data.atomic_numbers)
            )
            levels = None if self.levels is None else self.levels(memory.nodes.float(), memory.mask, atomic_numbers)
            read = self.reading(memory.nodes.float(), loops, memory.mask, None if levels is None else levels.loop_weight)
        crystal = mean_atom(memory)
        sequence = self.decoder(path, memory, read.sequence)
        with _full_precision(data):
            output: BandOutput = self.heads(sequence.float(), crystal.float(), read, levels)
        return output


def _full_precision(data: Data) -> torch.autocast:
    """Suspend autocast where the data are."""
    return torch.autocast(data.kpoints.device.type, enabled=False)


Reference = Bandformer | ReleasedBandformer
"""The reference model of any variant: PyG batch to `BandOutput`."""
REFERENCES: dict[Variant, type[Reference]] = {
    "paper": Bandformer,
    "fourier": FourierBandformer,
    "bloch": BlochBandformer,
    "released": ReleasedBandformer,
}
"""The reference module of each variant; `bandrt_export.dense.bandformer.DENSE` holds the exported one under the same name."""


@overload
def build_model(config: ModelConfig) -> Bandformer: ...
@overload
def build_model(config: ReleasedConfig) -> ReleasedBandformer: ...
def build_model(config: Config) -> Reference:
    """Make the reference model of the configured variant, freshly initialised."""
    if isinstance(config, ReleasedConfig):
        return ReleasedBandformer(config)
    kind = REFERENCES[config.variant]
    assert issubclass(kind, Bandformer)
    return kind(config)


def band_loss(
    output: BandOutput, targets: Tensor, mask: Tensor, dispersion_weight: float = 1.0, weight: Tensor | None = None
) -> BandLoss:
    """Compare bands with labels: ``L1(center) + dispersion_weight * L1(dispersion)``, in eV.

    Centre and dispersion of both sides are taken over the labelled k-points, so that a path labelled in part is compared
    with the same part of the prediction. A band without any labelled k-point does not count.

    Args:
        output: what the model says.
        targets: (B, n_bands, K) labels, eV; anything finite where masked out.
        mask: bool, (B, n_bands, K) or anything that expands to it, e.g. (B, 1, K): where labels are known.
        dispersion_weight: the paper's lambda.
        weight: (B,) what each crystal counts, 1 unless given; the sum is divided by the number of bands, so a batch of doubtful
            labels counts less than one of others.
    """
    known = mask.expand_as(targets).to(targets.dtype)
    count = known.sum(dim=-1)  # (B, n_bands)
    labelled = (count > 0).to(targets.dtype)
    error = (output.energies - targets) * known
    center_error = error.sum(dim=-1) / count.clamp(min=1.0)
    deviation_error = (error - center_error.unsqueeze(-1)) * known
    n_bands = labelled.sum().clamp(min=1.0)
    if weight is not None:
        labelled = labelled * weight.unsqueeze(-1)
    center = (center_error.abs() * labelled).sum() / n_bands
    dispersion = (deviation_error.abs().sum(dim=-1) / count.clamp(min=1.0) * labelled).sum() / n_bands
    return BandLoss(center + dispersion_weight * dispersion, center, dispersion)
