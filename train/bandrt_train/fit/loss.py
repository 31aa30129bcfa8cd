"""Learning from gaps alone: the band edges of a prediction are differentiable, so a known gap says where they should be."""

from __future__ import annotations

import torch
from torch import Tensor


def gap_loss(energies: Tensor, band_gap: Tensor, weight: Tensor, n_valence: int) -> Tensor:
    """Compare the band edges over the path with those that known gaps ask for, weighted mean over crystals, eV.

    The zero of energy is mid-gap, so an insulator's edges lie at minus and plus half its gap: both distances count, and their
    sum is at least the error of the gap. In a metal the halves overlap: only a gap between them counts.

    Args:
        energies: (B, n_bands, K) predicted, eV relative to E_F or mid-gap.
        band_gap: (B,) eV, 0 for metals.
        weight: (B,) what each counts: the sum is divided by B, so a batch of noisy labels counts less than one of others.
        n_valence: how many of the bands are the lower half.
    """
    valence_top = energies[:, :n_valence].amax(dim=(1, 2))  # (B,)
    conduction_bottom = energies[:, n_valence:].amin(dim=(1, 2))
    insulator = (valence_top + 0.5 * band_gap).abs() + (conduction_bottom - 0.5 * band_gap).abs()
    metal = torch.relu(conduction_bottom - valence_top)
    return (weight * torch.where(band_gap > 0.0, insulator, metal)).mean()
