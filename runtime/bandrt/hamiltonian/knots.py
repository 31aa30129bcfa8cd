"""Knots: bands are computed at some k-points of each straight piece of a path, and cubic splines give the others.

A piece ends where the path turns, jumps or changes its step; both ends are knots, so nothing is interpolated across a corner. The
splines are those whose third derivative does not jump at the first and the last inner knot ("not-a-knot"), which are exact for
cubics. Source: de Boor, A Practical Guide to Splines (1978), chapter IV.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_EXACT_ATOMS = 10
"""Of a crystal whose bands are computed at every k-point; it takes less than a tenth of a second."""
STEPS = 2
"""Of the path between two knots, in larger crystals. In 42 crystals of 11 to 20 atoms the six bands around the Fermi level were
then 1.6 meV off on average and 0.19 eV at most, where bands cross; the gap 0.3 meV, and no metal was taken for an insulator."""
LEAST_INTERVALS = 8
"""Between the knots of a piece, as long as it has so many steps."""
SAME_STEP = 1e-4
"""Relative: steps that differ by less are equal; k-points come in single precision."""
SAME_POINT = 1e-6
"""Fractional."""


class Knots(NamedTuple):
    """Which of K k-points are computed, and how the others follow."""

    points: NDArray[np.intp]
    """(P,) indices of those that are computed."""
    matrix: NDArray[np.float64]
    """(K, P): energies at all k-points are this times those."""


def steps_between(n_atoms: int) -> int:
    """Steps of the path between two knots for a crystal of so many atoms."""
    return 1 if n_atoms <= MAX_EXACT_ATOMS else STEPS


def knots(kpoints: NDArray[np.floating[Any]], steps: int) -> Knots:
    """Choose knots on a path (K, 3), with as many steps between two; a k-point that the path passes again is computed once."""
    points = np.asarray(kpoints, np.float64)
    _, first, same = np.unique(np.round(points / SAME_POINT).astype(np.int64), axis=0, return_index=True, return_inverse=True)
    same = first[same.reshape(-1)]  # (K,): the first k-point that is the same
    matrix = np.zeros((len(points), len(points)))
    for start, end in _pieces(points):
        at, spline = _spline_of_piece(end - start, steps)
        rows = np.arange(start, end + 1)
        matrix[rows] = 0.0
        np.add.at(matrix, (rows[:, None], same[start + at][None]), spline)
    used = np.flatnonzero(matrix.any(axis=0))
    return Knots(used, matrix[:, used])


def _pieces(points: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """First and last k-point of each straight piece with equal steps; the last of one is the first of the next."""
    step = np.diff(points, axis=0)
    size = np.linalg.norm(step, axis=1)
    turns = np.linalg.norm(np.diff(step, axis=0), axis=1) > SAME_STEP * np.maximum(size[1:], size[:-1]) + SAME_POINT
    ends = [0, *(np.flatnonzero(turns) + 1).tolist(), len(points) - 1]
    yield from pairwise(ends)


@lru_cache(maxsize=1024)
def _spline_of_piece(n_steps: int, steps: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Knots of a piece, (k,) from 0 to n_steps, and the values at all of its points by those at the knots, (n_steps + 1, k)."""
    intervals = max(-(-n_steps // steps), min(n_steps, LEAST_INTERVALS))
    at = np.round(np.linspace(0, n_steps, intervals + 1)).astype(np.intp)
    if intervals == n_steps:
        return at, np.eye(n_steps + 1)
    return at, spline_matrix(at.astype(np.float64), np.arange(n_steps + 1.0))


def spline_matrix(knots: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (w,) of the spline through values at knots (k,), as a matrix (w, k); with fewer than four knots a polynomial.

    Args:
        knots: ascending.
        wanted: where, between the first and the last knot.
    """
    n = len(knots)
    if n < 4:
        return np.array([[np.prod([(x - q) / (p - q) for q in knots if q != p]) for p in knots] for x in wanted])
    h = np.diff(knots)
    # second derivatives m of values y: left @ m = right @ y
    left, right = np.zeros((n, n)), np.zeros((n, n))
    for i in range(1, n - 1):
        left[i, i - 1 : i + 2] = h[i - 1] / 6.0, (h[i - 1] + h[i]) / 3.0, h[i] / 6.0
        right[i, i - 1 : i + 2] = 1.0 / h[i - 1], -1.0 / h[i - 1] - 1.0 / h[i], 1.0 / h[i]
    left[0, :3] = -1.0 / h[0], 1.0 / h[0] + 1.0 / h[1], -1.0 / h[1]
    left[-1, -3:] = 1.0 / h[-2], -1.0 / h[-2] - 1.0 / h[-1], 1.0 / h[-1]
    second = np.linalg.solve(left, right)
    interval = np.clip(np.searchsorted(knots, wanted, side="right") - 1, 0, n - 2)
    b = ((wanted - knots[interval]) / h[interval])[:, None]
    a, unit, bend = 1.0 - b, np.eye(n), (h[interval] ** 2 / 6.0)[:, None]
    linear = a * unit[interval] + b * unit[interval + 1]
    values: NDArray[np.float64] = linear + bend * ((a**3 - a) * second[interval] + (b**3 - b) * second[interval + 1])
    return values
