"""Closed loops: what each k-point feels of each atom, as tight binding has it.

Bloch energies come from sums of hoppings times ``e^{2 pi i k.R}``. Those that start and end on the same atom depend neither on the
origin nor on the image in which an atom is written, so a model may see them:

    one step to an own image   ``sum_R t_ii(R) cos(2 pi k.R)``
    there and back             ``sum_j |sum_R t_ij(R) e^{2 pi i k.R}|^2``

with R over the images of a neighbour j of i, and ``t`` a small network of the distance and both atoms' states, in several channels.
They are equal at k, -k and k + G and, pooled over atoms, at k-points that a symmetry of the crystal exchanges, for its graph has
complete shells. As in the encoder, `SparseLoops` and the dense loops of the export have the same parameters under the same names.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig

BOND_LENGTH = 2.5
"""Å: a usual bond; hoppings fall with ``(BOND_LENGTH / distance)^2``, as Harrison's do, before the network has its say."""
SHORTEST_BOND = 0.5
"""Å: nearer atoms hop no more strongly."""
AMPLITUDE_FLOOR = 1e-4
"""Added to a two-step loop before its square root, so that the gradient stays finite where it vanishes."""

MASKED_SCORE = -1e4
"""Attention score of padding, as in the export: its softmax weight is exactly zero beside any real score."""


class SparseBonds(NamedTuple):
    """The edges of a PyG batch with what a k-point sees of them."""

    pairs: Tensor
    """(2, n_edges) int64: the neighbour j above the atom i."""
    gaussians: Tensor
    """(n_edges, n_gaussians): expanded distances."""
    distance: Tensor
    """(n_edges,) Å."""
    turns: Tensor
    """(n_edges, K): k.R, in turns."""


class Waves(NamedTuple):
    """``e^{2 pi i k.R}``."""

    real: Tensor
    imaginary: Tensor


def waves(turns: Tensor) -> Waves:
    """Real and imaginary part at angles in turns; whole turns come off first, so that far images cost no digits."""
    angle = 2.0 * math.pi * (turns - torch.round(turns))
    return Waves(torch.cos(angle), torch.sin(angle))


def amplitude(two_step: Tensor) -> Tensor:
    """Energies go with the root of a two-step loop: two atoms of one kind have ``E = +-|h|``."""
    return torch.sqrt(two_step + AMPLITUDE_FLOOR)


class ClosedLoops(nn.Module):
    """The network of hoppings; a subclass closes the loops.

    Of a subclass, ``forward(nodes, bonds)`` takes (n_atoms, d_model) and bonds in the form that it knows, and returns (n_atoms, K,
    2 * n_hoppings): the one-step sums of all channels, then the amplitudes of their two-step loops.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.distance = nn.Linear(config.n_gaussians, config.d_model)
        self.center = nn.Linear(config.d_model, config.d_model, bias=False)
        self.neighbor = nn.Linear(config.d_model, config.d_model, bias=False)
        self.channels = nn.Sequential(nn.GELU(), nn.Linear(config.d_model, config.n_hoppings))

    def hoppings(self, hidden: Tensor, distance: Tensor) -> Tensor:
        """From the summed projections (..., d_model) of distance and atoms, and the distance (...) in Å, to (..., n_hoppings)."""
        decay = (BOND_LENGTH / distance.clamp(min=SHORTEST_BOND)) ** 2
        hopping: Tensor = self.channels(hidden) * decay.unsqueeze(-1)
        return hopping


class SparseLoops(ClosedLoops):
    """Loops over the edges of a PyG batch: the reference."""

    def forward(self, nodes: Tensor, bonds: SparseBonds) -> Tensor:
        """(n_atoms, d_model) to (n_atoms, K, 2 * n_hoppings)."""
        neighbor, center = bonds.pairs
        hidden = self.distance(bonds.gaussians) + self.center(nodes)[center] + self.neighbor(nodes)[neighbor]
        hopping = self.hoppings(hidden, bonds.distance)  # (n_edges, n_hoppings)
        pairs, member, bonds_of_pair = torch.unique(center * len(nodes) + neighbor, return_inverse=True, return_counts=True)
        start, end = pairs // len(nodes), pairs % len(nodes)
        shifting = (bonds_of_pair > 1) | (start == end)  # |t e^{i k.R}| of a lone bond is |t| at every k
        kept = shifting[member]
        steady = _summed(hopping[~kept] ** 2, center[~kept], len(nodes))  # (n_atoms, n_hoppings)
        place = torch.cumsum(shifting, dim=0) - 1
        start, end, member = start[shifting], end[shifting], place[member[kept]]
        real, imaginary = (
            _summed(wave.unsqueeze(-1) * hopping[kept].unsqueeze(1), member, len(start)) for wave in waves(bonds.turns[kept])
        )  # (n_pairs, K, n_hoppings)
        own = (start == end).nonzero()[:, 0]
        one_step = _summed(real[own], start[own], len(nodes))
        two_step = _summed(real**2 + imaginary**2, start, len(nodes)) + steady.unsqueeze(1)
        return torch.cat([one_step, amplitude(two_step)], dim=-1)


def _summed(values: Tensor, index: Tensor, n_rows: int) -> Tensor:
    """Rows (n, ...) added up by where they belong, to (n_rows, ...)."""
    return values.new_zeros(n_rows, *values.shape[1:]).index_add_(0, index, values)


class LoopFeatures(NamedTuple):
    """What the loops of all atoms say of each k-point."""

    sequence: Tensor
    """(B, K, d_model): for the decoder to start from."""
    deviation: Tensor
    """(B, K, n_bands): for the bands themselves, in units of their spread."""


class LoopReading(nn.Module):
    """Read the loops of all atoms at each k-point, in two ways.

    A feature for the decoder is an attention over the atoms that differs from k-point to k-point. And the bands take the loops
    directly, each weighted by the state of its atom, which is tight binding to first order and learned from few crystals.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_loops = 2 * config.n_hoppings
        self.n_heads = config.n_heads
        self.loops = nn.Linear(n_loops, config.d_model)
        self.atom = nn.Linear(config.d_model, config.d_model)
        self.mix = nn.Sequential(
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.d_model, config.d_model),
            nn.GELU(),
            nn.Linear(config.d_model, config.d_model),
        )
        self.score = nn.Linear(config.d_model, config.n_heads)
        self.value = nn.Linear(config.d_model, config.d_model)
        self.gate = nn.Linear(config.d_model, n_loops)
        self.bands = nn.Linear(n_loops, config.n_bands, bias=False)
        nn.init.zeros_(self.bands.weight)

    def forward(self, nodes: Tensor, loops: Tensor, mask: Tensor, loop_weight: Tensor | None = None) -> LoopFeatures:
        """Pool over atoms.

        Args:
            nodes: (B, N, d_model) encoded atoms.
            loops: (B, N, K, 2 * n_hoppings).
            mask: (B, N) bool, which are atoms.
            loop_weight: (B, n_bands, N, 2 * n_hoppings): what each band takes of each loop beyond that, if its orbitals are known.
        """
        present = mask.to(nodes.dtype)[:, :, None, None]  # (B, N, 1, 1)
        resolved = self.mix(self.loops(loops) + self.atom(nodes).unsqueeze(2))  # (B, N, K, d_model)
        score = torch.where(mask[:, :, None, None], self.score(resolved), MASKED_SCORE)
        weight = torch.softmax(score, dim=1) * present  # (B, N, K, n_heads)
        value = self.value(resolved).unflatten(-1, (self.n_heads, -1))  # (B, N, K, n_heads, d_head)
        sequence = (weight.unsqueeze(-1) * value).sum(dim=1).flatten(-2)
        weighted = (loops * self.gate(nodes).unsqueeze(2) * present).sum(dim=1)  # (B, K, 2 * n_hoppings)
        share = present.sum(dim=1).clamp(min=1.0)  # (B, 1, 1)
        deviation = self.bands(weighted / share)
        if loop_weight is not None:
            by_kpoint = loops.transpose(2, 3).flatten(1, 2)  # (B, N * 2 * n_hoppings, K)
            deviation = deviation + torch.matmul(loop_weight.flatten(2), by_kpoint).transpose(1, 2)
        return LoopFeatures(sequence, deviation)
