"""Hermitian and real symmetric matrices to tridiagonal ones of the same eigenvalues, by Householder's reflections.

A Hermitian matrix A travels as its real and its imaginary part side by side, (R, n, 2n), R matrices at a time, and a real one as
(R, n, n): (R, n, pn), of p parts. Of the off-diagonal only the modulus is kept: phases and signs change no eigenvalue.

Source: Golub and Van Loan, Matrix Computations, 4th ed., 8.3.1; blocks of reflections as in LAPACK's ``zlatrd``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from bandrt_export.eigensolver.graph import FLOAT, INT, Value, concat, counted, loop, op

SHORT_EV = 1e-12
"""A column this short is zero already."""
BLOCK = 8
"""Columns a block. A matrix is read once a column, and written once a block: with 8, large ones take a third less than with 4."""
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
    """P, (R, n, 2 p a column): two vectors, each of p parts."""
    right: Value
    """Q, (R, 2 p a column, pn)."""


def tridiagonal(matrix: Value, *, is_real: bool) -> Tridiagonal:
    """Make matrices tridiagonal: real ones (R, n, n), or Hermitian ones (R, n, 2n), eV.

    Rows that couple to none before them, such as those of padded atoms at the end, change nothing in the others.
    """
    size = matrix.size(1)
    blocks = (size + (BLOCK - 1)) / BLOCK
    left, done = size, size - size
    found: list[tuple[Value, Value]] = []
    for stage in range(STAGES):
        until = blocks * (stage + 1) / STAGES
        trips = until - done
        matrix, diagonal, off_squared = _reflected(matrix, counted(left), trips, is_real=is_real)
        found.append((diagonal, off_squared))
        if stage < STAGES - 1:
            gone = trips * BLOCK
            # parts first: a reshape and a cut of two axes between Loops are not built by TensorRT-RTX 1.7
            parts = (matrix,) if is_real else matrix.halves(2)
            matrix = concat(2, *(part.cut(1, gone).cut(2, gone) for part in parts))
            left, done = left - gone, until
    rows = [concat(0, *parts).reshape(-1, matrix.size(0), 1) for parts in zip(*found, strict=True)]
    return Tridiagonal(*(one.cut(0, 0, size) for one in rows))


class _Column(Protocol):
    """How one column is reflected, of matrices of some number of parts."""

    def __call__(
        self, a: Value, done: _Reflections, places: Value, index: Value, inside: Value
    ) -> tuple[Value, Value, _Reflections]:
        """Reflect one column.

        Args:
            a: (R, n, pn), as it was at the start of the block.
            done: what the columns before it in the block make of it.
            places: (n,) 0, 1...
            index: (1,) which column; beyond the last, nothing is reflected.
            inside: the same, at most the last.

        Returns:
            The element on the diagonal and the squared modulus of that beside it, both (R, 1), and the reflection.
        """


def _reflected(matrix: Value, places: Value, trips: Value, *, is_real: bool) -> list[Value]:
    """Do so many blocks of columns, from the first on.

    Args:
        matrix: (R, n, pn).
        places: (n,) 0, 1...
        trips: (1,) how many blocks.
        is_real: whether they are of one part.

    Returns:
        The matrix, and by blocks, (trips, BLOCK, R, 1), the diagonal and the squared off-diagonal.
    """
    last = places.size(0) - 1
    reflect: _Column = _real_column if is_real else _hermitian_column
    each = 2 if is_real else 4  # vectors that a column brings to a block

    def block(trip: Value, a: Value) -> tuple[list[Value], list[Value]]:
        first = trip.reshape(1) * BLOCK

        def column(step: Value, left: Value, right: Value) -> tuple[list[Value], list[Value]]:
            index = first + step.reshape(1)
            d, e2, new = reflect(a, _Reflections(left, right), places, index, index.least(last))
            kept = each * (BLOCK - 1)
            return [concat(2, new.left, left.cut(2, 0, kept)), concat(1, new.right, right.cut(1, 0, kept))], [d, e2]

        none = a.graph.constant(np.zeros((1, each * BLOCK, 1))), a.graph.constant(np.zeros((1, 1, each * BLOCK)))
        begun = [a.cut(2, 0, 1) * none[1], a.cut(1, 0, 1) * none[0]]
        left, right, diagonal, off_squared = loop(a.graph.constant([BLOCK], INT), begun, column)
        return [a - left @ right], [diagonal, off_squared]

    return loop(trips, [matrix], block)


def _real_column(a: Value, done: _Reflections, places: Value, index: Value, inside: Value) -> tuple[Value, Value, _Reflections]:
    """`_Column` of real symmetric matrices, (R, n, n)."""
    row = a.take(1, inside) - done.left.take(1, inside) @ done.right  # (R, 1, n)
    here, below, next_one = (mask.cast(FLOAT) for mask in (places.equals(index), places > index, places.equals(index + 1)))
    d = (row * here).sum(2).reshape(-1, 1)
    x = row * below
    e2 = (x * x).sum(2)  # (R, 1, 1)
    x0 = (x * next_one).sum(2)
    norm, size = e2.root(), op("Abs", x0)
    v = x + (x0 < 0.0).where(-1.0, 1.0) * norm * next_one  # (R, 1, n)
    tau = _tau((e2 + norm * size) * 2.0)
    av = v @ a - (v @ done.left) @ done.right
    half = (v * av).sum(2) * tau * 0.5
    w = (av - half * v) * tau
    return d, e2.reshape(-1, 1), _Reflections(concat(1, v, w).transpose(0, 2, 1), concat(1, w, v))


def _hermitian_column(
    a: Value, done: _Reflections, places: Value, index: Value, inside: Value
) -> tuple[Value, Value, _Reflections]:
    """`_Column` of Hermitian matrices, (R, n, 2n)."""
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
    tau = _tau((e2 + norm * size) * 2.0)
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


def _tau(length: Value) -> Value:
    """2 / v† v, and 0 where there is nothing to reflect."""
    return (length > SHORT_EV**2).cast(FLOAT) * 2.0 / length.most(SHORT_EV**2)


def _times_i(vector: Value) -> Value:
    """(R, 2, n) times i."""
    real, imaginary = vector.halves(1)
    return concat(1, imaginary * -1.0, real)
