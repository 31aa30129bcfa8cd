"""How much there is of a crystal: what means and softmaxes over its atoms forget.

A cell of twenty atoms has ten times the bands of a cell of two, so its six bands around the Fermi level lie ten times closer; and
without spin an odd number of electrons makes a metal, whatever the atoms are. Neither can be told from averages over atoms.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.node_features import valence_electrons

LEARNED_COUNTS = 16
"""Amounts that the atoms are asked for by a learned question each, summed over the crystal."""


class CrystalCounts(nn.Module):
    """Sums over the atoms of a crystal: atoms, electrons, and amounts that are learned, all but the parity as logarithms."""

    valence: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("valence", torch.from_numpy(valence_electrons()).unsqueeze(1))
        self.amount = nn.Linear(config.d_model, LEARNED_COUNTS)
        self.mix = nn.Sequential(
            nn.Linear(4 + LEARNED_COUNTS, config.d_model),
            nn.GELU(),
            nn.Linear(config.d_model, config.d_model),
        )

    def forward(self, nodes: Tensor, mask: Tensor, atomic_numbers: Tensor) -> Tensor:
        """Tell every atom the counts of its crystal.

        Args:
            nodes: (B, N, d_model) encoded atoms.
            mask: (B, N) bool, which are atoms.
            atomic_numbers: (B, N) integers, anything on padding.

        Returns:
            (B, N, d_model): the atoms with the counts added, zero on padding.
        """
        numbers = torch.where(mask, atomic_numbers, 0)
        present = mask.to(nodes.dtype).unsqueeze(-1)  # (B, N, 1)
        atoms = present.sum(dim=1).clamp(min=1.0)  # (B, 1)
        electrons = numbers.to(nodes.dtype).sum(dim=1, keepdim=True)
        odd = electrons - 2.0 * torch.floor(0.5 * electrons)
        valence = F.embedding(numbers, self.valence).sum(dim=1).clamp(min=1.0)  # (B, 1)
        amounts = (F.softplus(self.amount(nodes)) * present).sum(dim=1)  # (B, LEARNED_COUNTS)
        # shifted and scaled to be of order one
        counts = [torch.log(atoms) - 2.0, torch.log(valence) - 3.5, odd, valence / atoms / 5.0 - 1.0, torch.log1p(amounts) - 2.0]
        mixed: Tensor = self.mix(torch.cat(counts, dim=-1)).unsqueeze(1)
        return (nodes + mixed) * present
