"""Closed loops on padded arrays: the parameters of `bandrt_train.loops.SparseLoops`, in operations that every backend takes.

The reference sums the hoppings to each neighbour by scattering edges to pairs of atoms. Here the slots of an atom that lead to one
neighbour are summed by a matrix of equal indices, (D, D) for each atom, so that memory grows with atoms and not with their square.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bandrt_train.loops import ClosedLoops, Waves, amplitude, waves

CHANNELS_AT_ONCE = 4
"""Channels whose sums over slots are held together. This bounds memory: each takes 64 kB an atom for 32 slots and 256 k-points."""


class DenseBonds(NamedTuple):
    """The neighbours of all atoms of a batch, atoms counted through it: M = B * N."""

    neighbor: Tensor
    """(M, D) int64: counted through the batch."""
    gaussians: Tensor
    """(M, D, n_gaussians): expanded distances."""
    distance: Tensor
    """(M, D) Å."""
    mask: Tensor
    """(M, D) bool: which slots hold a neighbour."""
    turns: Tensor
    """(M, D, K): k.R, in turns."""


class DenseLoops(ClosedLoops):
    """Loops over `DenseBonds`."""

    def forward(self, nodes: Tensor, bonds: DenseBonds) -> Tensor:
        """(M, d_model) to (M, K, 2 * n_hoppings)."""
        n_atoms, n_slots = bonds.neighbor.shape
        present = bonds.mask.to(nodes.dtype)
        neighbor = self.neighbor(nodes).index_select(0, bonds.neighbor.flatten()).unflatten(0, (-1, n_slots))
        hidden = self.distance(bonds.gaussians) + self.center(nodes).unsqueeze(1) + neighbor  # (M, D, d_model)
        hopping = self.hoppings(hidden, bonds.distance) * present.unsqueeze(-1)  # (M, D, n_hoppings)
        center = torch.arange(n_atoms, device=nodes.device).unsqueeze(1)
        own = hopping * (bonds.neighbor == center).to(nodes.dtype).unsqueeze(-1)
        same = (bonds.neighbor.unsqueeze(1) == bonds.neighbor.unsqueeze(2)).to(nodes.dtype) * present.unsqueeze(1)  # (M, D, D)
        share = present / same.sum(dim=2).clamp(min=1.0)  # (M, D): of the slots of one neighbour, all of which sum to the same
        wave = waves(bonds.turns)  # (M, D, K)
        two_step = torch.cat([self._two_step(some, wave, same, share) for some in hopping.split(CHANNELS_AT_ONCE, dim=2)], dim=1)
        one_step = torch.matmul(wave.real.transpose(1, 2), own)  # (M, K, n_hoppings)
        return torch.cat([one_step, amplitude(two_step).transpose(1, 2)], dim=-1)

    def _two_step(self, hopping: Tensor, wave: Waves, same: Tensor, share: Tensor) -> Tensor:
        """Two-step loops of some channels: hoppings (M, D, channels) to (M, channels, K)."""
        to_pairs = (same.unsqueeze(1) * hopping.transpose(1, 2).unsqueeze(2)).flatten(1, 2)  # (M, channels * D, D)
        real, imaginary = (torch.matmul(to_pairs, part) for part in wave)  # (M, channels * D, K)
        squared = (real * real + imaginary * imaginary).unflatten(1, (-1, same.shape[1]))  # (M, channels, D, K)
        return torch.matmul(share[:, None, None, :], squared).squeeze(2)
