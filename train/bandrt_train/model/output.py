"""What every variant of the model says, whatever it computes with."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BandOutput(NamedTuple):
    """What a model says about B crystals, in eV relative to E_F or mid-gap."""

    center: Tensor
    """(B, n_bands): mean of each band over the path."""
    dispersion: Tensor
    """(B, n_bands, K): deviation from it; its mean over the path is zero."""
    energies: Tensor
    """(B, n_bands, K): the sum of both."""
    uncertainty: Tensor | None = None
    """(B,): expected mean absolute error of the energies; None from a model that does not estimate it."""
