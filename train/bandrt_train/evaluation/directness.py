"""Direct or indirect: of labels and predictions judged alike, on the same k-points.

Labels cover most of a path, not all of it, and what lies between computed k-points is interpolated. So gap and direct gap of both
are read off the k-points of the path that have labels of the two bands at the gap, and a gap is called direct where the direct gap
exceeds it by no more than `SAME_EV`. What a label says there must be what it says where it was computed, or it is not judged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import DEGENERACY_EV

SAME_EV = 0.01
"""eV: two valleys whose energies differ by less are one as far as labels go, by their interpolation and their convergence."""
TRUSTED_EV = 0.05
"""eV: how far the gap of a label on the path may be from that of all its k-points, where it is judged."""

Floats = NDArray[np.float64]


class Edges(NamedTuple):
    """What the two bands at the gap say of n crystals, over the k-points that are compared; NaN where there is none."""

    gap: Floats
    """(n,) eV: from the top of the lower band to the bottom of the upper one; negative where they overlap."""
    direct_gap: Floats
    """(n,) eV: the smallest distance between them at one k-point."""

    @property
    def excess(self) -> Floats:
        """(n,) eV, not negative: by how much the direct gap exceeds the gap."""
        return self.direct_gap - self.gap


def edges(energies: NDArray[np.floating[Any]], known: NDArray[np.bool_], n_valence: int) -> Edges:
    """Read gap and direct gap off some k-points.

    Args:
        energies: (n, n_bands, K) eV, numbered by energy.
        known: (n, n_bands, K), of the labels: k-points count where both bands at the gap are.
        n_valence: how many bands are the lower half.
    """
    there = known[:, n_valence - 1] & known[:, n_valence]  # (n, K)
    lower, upper = (np.asarray(energies[:, band], np.float64) for band in (n_valence - 1, n_valence))
    top = np.where(there, lower, -np.inf).max(axis=1)
    bottom = np.where(there, upper, np.inf).min(axis=1)
    vertical = np.where(there, upper - lower, np.inf).min(axis=1)
    compared = there.any(axis=1)
    return Edges(np.where(compared, bottom - top, np.nan), np.where(compared, vertical, np.nan))


def is_direct(excess: Floats, tolerance_ev: float = SAME_EV) -> NDArray[np.bool_]:
    """Whether gaps are direct, (n,) bool, by how much the direct gap exceeds them; not where nothing is known."""
    return excess <= tolerance_ev


def decided_by_tolerance(excess: Floats) -> int:
    """How many labels are called direct that would not be if energies had to be equal, as far as an engine tells them apart."""
    return int((is_direct(excess) & ~is_direct(excess, DEGENERACY_EV)).sum())
