"""Hermitian matrices to tridiagonal ones of the same eigenvalues, by Householder's reflections.

A matrix A travels as its real and its imaginary part side by side, (R, n, 2n), R matrices at a time. Of the off-diagonal only the
modulus is kept: phases change no eigenvalue.

Source: Golub and Van Loan, Matrix Computations, 4th ed., 8.3.1; blocks of reflections as in LAPACK's ``zlatrd``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bandrt_export.eigensolver.graph import FLOAT, INT, Value, concat, counted, loop

SHORT_EV = 1e-12
"""A column this short is zero already."""
BLOCK = 8
"""Columns a block. A matrix is read once a column, and written once a block: with 8, large ones take a third less than with 4."""
EACH = 4
"""Vectors that a column brings to a block: two complex ones."""
STAGES = 3
"""How often columns that are done are cut off, since what a Loop carries keeps its shape. With 3, work is half of that without."""


class Tridiagonal(NamedTuple):
    """Rows of R tridiagonal matrices, as a Scan walks along them."""

    diagonal: Value
    """(n, R, 1) eV."""
    off_squared: Value
    """(n, R, 1) eV²: the squared modulus of the element right of the diagonal; zero in the last row."""


class _Reflections(NamedTuple):
    """What columns of a block make of A: A - P Q. Those of a whole block have zeros where a column is not done."""

    left: Value
    """P, (R, n, `EACH` a column)."""
    right: Value
    """Q, (R, `EACH` a column, 2n)."""


def tridiagonal(matrix: Value) -> Tridiagonal:
    """Make matrices (R, n, 2n), eV, tridiagonal.

    Rows that couple to none before them, such as those of padded atoms at the end, change nothing in the others.
    """
    size = matrix.size(1)
    blocks = (size + (BLOCK - 1)) / BLOCK
    left, done = size, size - size
    found: list[tuple[Value, Value]] = []
    for stage in range(STAGES):
        until = blocks * (stage + 1) / STAGES
        trips = until - done
        matrix, diagonal, off_squared = _reflected(matrix, counted(left), trips)
        found.append((diagonal, off_squared))
        if stage < STAGES - 1:
            gone = trips * BLOCK
            # halves first: a reshape and a cut of two axes between Loops are not built by TensorRT-RTX 1.7
            matrix = concat(2, *(half.cut(1, gone).cut(2, gone) for half in matrix.halves(2)))
            left, done = left - gone, until
    rows = [concat(0, *parts).reshape(-1, matrix.size(0), 1) for parts in zip(*found, strict=True)]
    return Tridiagonal(*(one.cut(0, 0, size) for one in rows))


def _reflected(matrix: Value, places: Value, trips: Value) -> list[Value]:
    """Do so many blocks of columns, from the first on.

    Args:
        matrix: (R, n, 2n).
        places: (n,) 0, 1...
        trips: (1,) how many blocks.

    Returns:
        The matrix, and by blocks, (trips, BLOCK, R, 1), the diagonal and the squared off-diagonal.
    """
    last = places.size(0) - 1

    def block(trip: Value, a: Value) -> tuple[list[Value], list[Value]]:
        first = trip.reshape(1) * BLOCK

        def column(step: Value, left: Value, right: Value) -> tuple[list[Value], list[Value]]:
            index = first + step.reshape(1)
            d, e2, new = _column(a, _Reflections(left, right), places, index, index.least(last))
            kept = EACH * (BLOCK - 1)
            return [concat(2, new.left, left.cut(2, 0, kept)), concat(1, new.right, right.cut(1, 0, kept))], [d, e2]

        none = a.graph.constant(np.zeros((1, EACH * BLOCK, 1))), a.graph.constant(np.zeros((1, 1, EACH * BLOCK)))
        begun = [a.cut(2, 0, 1) * none[1], a.cut(1, 0, 1) * none[0]]
        left, right, diagonal, off_squared = loop(a.graph.constant([BLOCK], INT), begun, column)
        return [a - left @ right], [diagonal, off_squared]

    return loop(trips, [matrix], block)


def _column(a: Value, done: _Reflections, places: Value, index: Value, inside: Value) -> tuple[Value, Value, _Reflections]:
    """Reflect one column.

    Args:
        a: (R, n, 2n), as it was at the start of the block.
        done: what the columns before it in the block make of it.
        places: (n,) 0, 1...
        index: (1,) which column; beyond the last, nothing is reflected.
        inside: the same, at most the last.

    Returns:
        The element on the diagonal and the squared modulus of that beside it, both (R, 1), and the reflection.
    """
    constant = a.graph.constant
    row = a.take(1, inside) - done.left.take(1, inside) @ done.right  # (R, 1, 2n)
    column = row.reshape(0, 2, -1) * constant([[[1.0], [-1.0]]])  # (R, 2, n): A is Hermitian
    here, below, next_one = (mask.cast(FLOAT) for mask in (places.equals(index), places > index, places.equals(index + 1)))
    d = (column * here).sum(2, keepdims=False).cut(1, 0, 1)  # (R, 1)
    x = column * below
    e2 = (x * x).sum(1, 2)  # (R, 1, 1)
    x0 = (x * next_one).sum(2)  # (R, 2, 1)
    norm, size = e2.root(), (x0 * x0).sum(1).root()
    phase = (size > SHORT_EV).where(x0 / size.most(SHORT_EV), constant([[[1.0], [0.0]]]))
    v = x + phase * norm * next_one  # (R, 2, n)
    length = (e2 + norm * size) * 2.0  # v† v
    tau = (length > SHORT_EV**2).cast(FLOAT) * 2.0 / length.most(SHORT_EV**2)
    product = v @ a - (v @ done.left) @ done.right  # (R, 2, 2n)
    by_real, by_imaginary = product.reshape(0, 2, 2, -1).halves(1)  # (R, 1, 2, n): Re v and Im v, times both parts of A
    first, second = by_imaginary.halves(2)
    turned = concat(2, second, first)
    av = (by_real * constant([[[[1.0], [-1.0]]]]) + turned).reshape(0, 2, -1)  # (R, 2, n): A v
    half = (v * av).sum(1, 2) * tau * 0.5
    w = (av - half * v) * tau
    left = concat(1, v, w).transpose(0, 2, 1)  # (R, n, 4)
    right = concat(2, concat(1, w, v), concat(1, _times_i(w), _times_i(v)))  # (R, 4, 2n)
    return d, e2.reshape(-1, 1), _Reflections(left, right)


def _times_i(vector: Value) -> Value:
    """(R, 2, n) times i."""
    real, imaginary = vector.halves(1)
    return concat(1, imaginary * -1.0, real)
