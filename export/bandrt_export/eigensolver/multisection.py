"""Eigenvalues of tridiagonal matrices, each on its own, by counting how many lie below a shift.

The count is that of negative pivots of T - shift (Sturm). Every round cuts the interval that holds an eigenvalue into many.

Source: Barth, Martin and Wilkinson, Numer. Math. 9, 386 (1967); many cuts a round: Lo, Philippe and Sameh, SIAM J. Sci. Stat.
Comput. 8, s155 (1987).
"""

from __future__ import annotations

import numpy as np

from bandrt.hamiltonian.trips import SHARED_CUTS
from bandrt_export.eigensolver.graph import FLOAT, INT, Value, concat, loop, op, scan
from bandrt_export.eigensolver.tridiagonal import Tridiagonal

CUTS, ROUNDS = 15, 3
"""Of each eigenvalue's interval in further rounds: the last is a 2^20th of the first, 1e-4 eV of 100."""
MARGIN_EV = 1e-3
"""Beyond the first and the last eigenvalue."""
SMALLEST_PIVOT = 1e-10
"""eV: a smaller one is taken, and counted, as so much below zero, as if the diagonal were that much lower."""


def eigenvalues(matrix: Tridiagonal, flat_levels: Value, wanted: Value, n_wanted: int, nowhere_ev: float) -> Value:
    """Find eigenvalues of tridiagonal matrices merged with further levels, by their index in ascending order.

    Args:
        matrix: R matrices of n rows.
        flat_levels: (n, R, 1) eV, further levels.
        wanted: (R, n_wanted) float32, their indices, ascending; for one that is not there, some finite number comes out.
        n_wanted: how many.
        nowhere_ev: levels from there on, on the diagonal or flat, are none, and are not looked for.

    Returns:
        (R, n_wanted) eV.
    """
    diagonal, off_squared = matrix
    above = concat(0, off_squared.cut(0, 0, 1) * 0.0, off_squared.cut(0, 0, -1))  # (n, R, 1): beside the diagonal, one row up
    low, width = _interval(diagonal, off_squared, above, flat_levels, nowhere_ev)  # (R, 1)
    constant = wanted.graph.constant

    def counts(shifts: Value) -> Value:
        """How many levels lie below shifts (R, S), as float32."""

        def row(pivot: Value, count: Value, d: Value, e2: Value, flat: Value) -> list[Value]:
            exact = d - shifts - e2 / pivot
            new = (op("Abs", exact) < SMALLEST_PIVOT).where(-SMALLEST_PIVOT, exact)
            return [new, count + (new < 0.0).cast(FLOAT) + (flat < shifts).cast(FLOAT)]

        zeros = shifts * 0.0
        return scan([zeros + 1.0, zeros], [diagonal, above, flat_levels], row, n_axes=2)[1]

    shared = counts(low + width * constant([_fractions(SHARED_CUTS)]))  # (R, SHARED_CUTS)
    below = (shared.unsqueeze(1) <= wanted.unsqueeze(2)).cast(FLOAT).sum(2, keepdims=False)  # (R, n_wanted)
    width = width * (1.0 / (SHARED_CUTS + 1))
    lows = low + below * width

    def narrowed(trip: Value, low: Value, width: Value) -> tuple[list[Value], list[Value]]:
        shifts = low.unsqueeze(2) + width.unsqueeze(2) * constant([[_fractions(CUTS)]])  # (R, n_wanted, CUTS)
        found = counts(shifts.reshape(0, n_wanted * CUTS)).reshape(0, n_wanted, CUTS)
        narrow = width * (1.0 / (CUTS + 1))
        return [low + (found <= wanted.unsqueeze(2)).cast(FLOAT).sum(2, keepdims=False) * narrow, narrow], []

    lows, width = loop(constant([ROUNDS], INT), [lows, width], narrowed)
    return lows + width * 0.5


def _interval(diagonal: Value, off_squared: Value, above: Value, flat_levels: Value, nowhere_ev: float) -> tuple[Value, Value]:
    """Where all levels lie, by Gershgorin's circles: the lower end and the width, (R, 1) eV. What is no level moves no end."""
    reach = off_squared.root() + above.root() + MARGIN_EV
    is_orbital, is_flat = diagonal < nowhere_ev, flat_levels < nowhere_ev
    low = is_orbital.where(diagonal - reach, nowhere_ev).min(0, keepdims=False)
    high = is_orbital.where(diagonal + reach, -nowhere_ev).max(0, keepdims=False)
    low = low.least(is_flat.where(flat_levels - MARGIN_EV, nowhere_ev).min(0, keepdims=False))
    high = high.most(is_flat.where(flat_levels + MARGIN_EV, -nowhere_ev).max(0, keepdims=False))
    return low, high - low


def _fractions(cuts: int) -> list[float]:
    """Where an interval is cut."""
    return [float(cut) for cut in (np.arange(cuts) + 1.0) / (cuts + 1)]
