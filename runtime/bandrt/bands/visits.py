"""Vertical gaps of a walk that passes some k-points more than once, where an engine may give other energies each time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PER_VECTOR = 1e5
"""Fractional coordinates are told apart to so many parts of a reciprocal vector."""


def direct_gaps(frac_kpoints: NDArray[np.float64], top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least distance between filled and empty bands at one k-point, eV, (...), of one or many walks.

    Of a k-point that is passed more than once, whole reciprocal vectors apart or not, it is that between the highest filled and the
    lowest empty energy of all its visits: never less than the gap, and equal to it where both edges lie there.

    Args:
        frac_kpoints: (..., n_kpoints, 3).
        top: (..., n_kpoints) eV, the highest filled energy at each.
        bottom: (..., n_kpoints) eV, the lowest empty one.
    """
    parts = np.rint(frac_kpoints * _PER_VECTOR)
    parts -= _PER_VECTOR * np.floor(parts / _PER_VECTOR)
    a, b, c = np.moveaxis(parts, -1, 0)
    place = (a * _PER_VECTOR + b) * _PER_VECTOR + c  # whole numbers below 2^53; (..., n_kpoints)
    order = np.argsort(place, axis=-1, kind="stable")
    place, top, bottom = (np.take_along_axis(values, order, -1) for values in (place, top, bottom))
    begins = np.ones(place.shape, np.bool_)
    begins[..., 1:] = place[..., 1:] != place[..., :-1]
    starts = np.flatnonzero(begins)  # the visits of a k-point stand together, and those of a walk
    apart = np.minimum.reduceat(bottom.reshape(-1), starts) - np.maximum.reduceat(top.reshape(-1), starts)
    walks = np.searchsorted(starts, np.arange(0, place.size, place.shape[-1]))
    return np.asarray(np.minimum.reduceat(apart, walks).reshape(place.shape[:-1]))
