"""Electrons into bands: where the energy zero is, metal or not, the gap, and which bands are those around the Fermi level.

Bands are counted from half filling, which no energy decides: the window of a `BandRule` is a view on them. The highest nonempty
band of a metal, by which the window is chosen, changes when a band grazes the Fermi level; the counted bands do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.manifest import WINDOW_HALF, ZERO_GAP_EV, BandRule

KEPT = 12
"""Bands kept up to half filling, and as many above it, where three on each side of the Fermi level are wanted."""
HALVINGS = 50
"""Of the interval that holds the Fermi level: far below rounding."""
WITHIN_EV = 2.0 * ZERO_GAP_EV
"""How far inside a band that is half full, or an overlap of bands, the Fermi level lies at least."""
HALF = 1e-6
"""Electrons: a band is half full, or it is not, but for rounding."""


@dataclass(frozen=True, eq=False)
class Filled:
    """Bands of one crystal at K k-points, around half filling.

    Attributes:
        energies: (n, K) eV relative to E_F of a metal or to mid-gap; the first half, `KEPT` unless more were asked for, are those
            that the electrons would fill. NaN where the crystal has no such band.
        is_metal: whether bands of both halves overlap or touch, here or on the mesh, or the number of electrons is odd.
        band_gap: eV, here and on the mesh; 0 for metals.
    """

    energies: NDArray[np.float64]
    is_metal: bool
    band_gap: float

    @property
    def n_nonempty(self) -> int:
        """How many of these bands are not empty."""
        half = len(self.energies) // 2
        if not self.is_metal:
            return half
        return int((np.nan_to_num(self.energies, nan=np.inf)[half:].min(axis=1) < -ZERO_GAP_EV).sum()) + half

    def window(self, rule: BandRule, n_nonempty: int | None = None) -> NDArray[np.float64]:
        """The bands of a rule, (n_bands, K), around the highest nonempty one, or around a given one of these.

        Raises:
            InputError: ``too-few-bands`` where the crystal has not as many.
        """
        chosen = self.around(rule, n_nonempty)
        if np.isnan(chosen).any():
            raise InputError("too-few-bands", f"{rule.n_bands} bands are wanted, and this crystal has not as many in the model")
        return chosen

    def given(self, rule: BandRule, n_nonempty: int | None = None) -> NDArray[np.float64]:
        """What an engine gives: the same, and all NaN where one of those bands is missing that decide on gap and metal."""
        chosen = self.around(rule, n_nonempty)
        return np.full_like(chosen, np.nan) if np.isnan(chosen[rule.window]).any() else chosen

    def around(self, rule: BandRule, n_nonempty: int | None = None) -> NDArray[np.float64]:
        """The same, where bands may be missing: (n_bands, K), NaN where the crystal has no such band."""
        first = (self.n_nonempty if n_nonempty is None else n_nonempty) - rule.n_valence
        start, end = max(first, 0), max(min(first + rule.n_bands, len(self.energies)), 0)
        chosen = np.full((rule.n_bands, self.energies.shape[1]), np.nan)
        chosen[start - first : max(end, start) - first] = self.energies[start:end]
        return chosen


def kept_for(rule: BandRule) -> int:
    """How many bands are kept up to half filling, and as many above it, where those of a rule are wanted and some may cross."""
    return KEPT + max(0, rule.n_valence - WINDOW_HALF, rule.n_bands - rule.n_valence - WINDOW_HALF)


def n_filled(electrons: float) -> int:
    """How many bands electrons fill, the last perhaps by half: everything is counted from here."""
    return int(np.ceil(electrons / 2.0 - HALF))


def is_odd(electrons: float) -> bool:
    """Whether the last of them is half full, so that the crystal is a metal."""
    return 2.0 * n_filled(electrons) - electrons > 0.5


def fill(
    path: NDArray[np.floating[Any]],
    mesh: NDArray[np.floating[Any]],
    weights: NDArray[np.floating[Any]],
    electrons: float,
    *,
    smearing_ev: float,
    kept: int | None = KEPT,
) -> Filled:
    """Fill the bands of one crystal.

    The Fermi level of a metal is that of a Fermi function on the mesh, but never beyond where it lies without smearing: in the last
    band of an odd number of electrons, or in the overlap of the halves of an even one.

    Args:
        path: (K, n) eV, ascending, of the k-path.
        mesh: (M, n) eV of a mesh that stands for the whole Brillouin zone.
        weights: (M,) of its points, adding up to one.
        electrons: in a cell.
        smearing_ev: of the Fermi function that finds the Fermi level of a metal; it goes with the mesh, see `MeshRecipe`.
        kept: bands kept up to half filling, and as many above it; None: all.

    Raises:
        InputError: ``too-few-bands`` where the bands cannot hold the electrons, or hold no more.
    """
    half, n_bands = n_filled(electrons), path.shape[1]
    if not 0 < half < n_bands:
        raise InputError("too-few-bands", f"{electrons:g} electrons do not fill {n_bands} bands in part")
    bottom = min(path[:, half].min(), mesh[:, half].min())
    top = max(path[:, half - 1].max(), mesh[:, half - 1].max())
    gap = float(bottom) - float(top)
    is_metal = is_odd(electrons) or gap <= ZERO_GAP_EV
    if is_metal:
        last = path[:, half - 1]
        least, most = within(last.min(), last.max()) if is_odd(electrons) else within(bottom, top)
        zero = float(np.clip(fermi_level(mesh, weights, electrons, smearing_ev), least, most))
    else:
        zero = 0.5 * (float(path[:, half - 1].max()) + float(path[:, half].min()))
    kept = max(half, n_bands - half) if kept is None else kept
    energies = np.full((2 * kept, len(path)), np.nan)
    first, end = max(0, half - kept), min(n_bands, half + kept)
    energies[first - half + kept : end - half + kept] = (path[:, first:end].astype(np.float64) - zero).T
    return Filled(energies, is_metal, 0.0 if is_metal else gap)


def within(low: float, high: float) -> tuple[float, float]:
    """Between which levels the Fermi level lies that would lie between two without smearing: `WITHIN_EV` inside, so that bands
    that reach from one to the other cross it on both sides, or in the middle where there is no such room.

    Where a band is narrower than the Fermi function is wide, and nearly full or empty, the level of that function lies beyond it.

    Args:
        low: eV, the bottom of the band that is half full, or of the upper half of the bands.
        high: eV, the top of that band, or of the lower half.
    """
    margin = min(WITHIN_EV, 0.5 * (float(high) - float(low)))
    return float(low) + margin, float(high) - margin


def fermi_level(
    energies: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]], electrons: float, smearing_ev: float
) -> float:
    """The level up to which bands hold so many electrons: ``sum_k w_k sum_n 2 f = electrons``, found by halving.

    Args:
        energies: (K, n) eV.
        weights: (K,).
        electrons: more than none and fewer than these bands can hold.
        smearing_ev: of the Fermi function.
    """
    values, share = np.asarray(energies, np.float64), np.asarray(weights, np.float64)
    low, high = float(values.min()) - 1.0, float(values.max()) + 1.0
    for _ in range(HALVINGS):
        level = 0.5 * (low + high)
        filled = 1.0 - np.tanh(0.5 * (values - level) / smearing_ev)  # twice the Fermi function
        if float(share @ filled.sum(axis=1)) < electrons:
            low = level
        else:
            high = level
    return 0.5 * (low + high)
