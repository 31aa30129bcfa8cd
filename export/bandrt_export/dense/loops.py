"""Closed loops on padded arrays: the parameters of `bandrt_train.model.loops.SparseLoops`, in operations that every backend takes.

The reference sums the hoppings to each neighbour by scattering edges to pairs of atoms. Here the slots of an atom are grouped by
the neighbour that they lead to, so that memory grows with atoms and not with their square, and the small cells that databases are
full of have few groups.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bandrt_train.model.loops import ClosedLoops, Waves, amplitude, waves

CHANNELS_AT_ONCE = 4
"""Channels whose sums over slots are held together. This bounds memory: each takes 2 kB an atom and group of 256 k-points."""


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
    n_groups: int
    """G: different neighbours that an atom has at most."""


class DenseLoops(ClosedLoops):
    """Loops over `DenseBonds`."""

    def forward(self, nodes: Tensor, bonds: DenseBonds) -> Tensor:
        """(M, d_model) to (M, 2 * n_hoppings, K)."""
        n_atoms, n_slots = bonds.neighbor.shape
        present = bonds.mask.to(nodes.dtype)
        neighbor = self.neighbor(nodes).index_select(0, bonds.neighbor.flatten()).unflatten(0, (-1, n_slots))
        hidden = self.distance(bonds.gaussians) + self.center(nodes).unsqueeze(1) + neighbor  # (M, D, d_model)
        hopping = (self.hoppings(hidden, bonds.distance) * present.unsqueeze(-1)).transpose(1, 2)  # (M, n_hoppings, D)
        center = torch.arange(n_atoms, device=nodes.device).unsqueeze(1)
        own = hopping * (bonds.neighbor == center).to(nodes.dtype).unsqueeze(1)
        member = memberships(bonds.neighbor, present, bonds.n_groups)
        wave = waves(bonds.turns)  # (M, D, K)
        two_step = [self._two_step(some, wave, member) for some in torch.split(hopping, CHANNELS_AT_ONCE, dim=1)]
        return torch.cat([torch.matmul(own, wave.real), amplitude(torch.cat(two_step, dim=1))], dim=1)

    def _two_step(self, hopping: Tensor, wave: Waves, member: Tensor) -> Tensor:
        """Two-step loops of some channels: hoppings (M, channels, D) to (M, channels, K)."""
        to_groups = (hopping.unsqueeze(2) * member.unsqueeze(1)).flatten(1, 2)  # (M, channels * G, D)
        real, imaginary = (torch.matmul(to_groups, part) for part in wave)  # (M, channels * G, K)
        return torch.unflatten(real * real + imaginary * imaginary, 1, (-1, member.shape[1])).sum(dim=2)


def memberships(neighbor: Tensor, present: Tensor, n_groups: int) -> Tensor:
    """Group the slots of each atom by the neighbour that they lead to.

    Args:
        neighbor: (M, D) int64.
        present: (M, D): 1 for a slot that holds a neighbour, else 0.
        n_groups: G, different neighbours that an atom has at most.

    Returns:
        (M, G, D): 1 where a slot belongs to a group, else 0; slots that hold no neighbour belong to any.
    """
    n_slots = neighbor.shape[1]
    earlier = torch.ones(n_slots, n_slots, dtype=present.dtype, device=present.device).tril(-1)
    same = (neighbor.unsqueeze(1) == neighbor.unsqueeze(2)).to(present.dtype) * present.unsqueeze(1)  # (M, D, D)
    first = present * ((same * earlier).sum(dim=2) == 0)  # (M, D): of the slots of a group
    number = torch.matmul(first, earlier.T)  # (M, D): groups that begin before a slot
    group = torch.matmul(same, (first * number).unsqueeze(2)).squeeze(2)  # (M, D)
    return (group.unsqueeze(1) == torch.arange(n_groups, device=present.device).unsqueeze(1)).to(present.dtype)
