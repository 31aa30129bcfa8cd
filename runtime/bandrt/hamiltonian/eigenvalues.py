"""Eigenvalues of many Hermitian matrices: LAPACK in single precision, k-points over threads, memory bounded."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.hamiltonian.bloch import PANEL_BYTES, BlochSum

CHUNK_BYTES = 8_000_000
"""Of the matrices that a thread makes at once; of larger ones, it makes one."""
BYTES_PER_ELEMENT = 24
"""Of a matrix that a thread makes and LAPACK copies, at its peak."""
MAX_BYTES = 1_300_000_000
"""Of matrices and terms that threads hold at once."""
LEAST_KPOINTS = 8
"""Fewer are not worth a thread of their own, unless matrices are large."""


def eigenvalues(
    bloch: BlochSum, kpoints: NDArray[np.floating[Any]], *, pool: Executor | None = None, threads: int = 1
) -> NDArray[np.float32]:
    """Eigenvalues of H(k), (K, n) eV, ascending, at fractional k-points (K, 3); NaN where they do not converge.

    Args:
        bloch: the Hamiltonian.
        kpoints: where.
        pool: takes k-points side by side.
        threads: how many of it.
    """
    points = np.asarray(kpoints, np.float64)
    found = np.empty((len(points), bloch.n_orbitals), np.float32)

    def solve(rows: NDArray[np.intp], real: bool) -> None:
        found[rows] = eigvalsh(bloch.at(points[rows], real=real))

    over_kpoints(bloch, points, solve, pool=pool, threads=threads)
    return found


def eigenstates(
    bloch: BlochSum, kpoints: NDArray[np.floating[Any]], *, pool: Executor | None = None, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Eigenvalues of H(k), (K, n) eV, ascending, and how much of each orbital is in each state, (K, n bands, n orbitals).

    The weights of a state add up to one. Takes the arguments of `eigenvalues`.
    """
    points = np.asarray(kpoints, np.float64)
    found = np.empty((len(points), bloch.n_orbitals), np.float32)
    weights = np.empty((len(points), bloch.n_orbitals, bloch.n_orbitals), np.float32)
    of_rows = bloch.orbital_weights()

    def solve(rows: NDArray[np.intp], real: bool) -> None:
        found[rows], vectors = eigh(bloch.at(points[rows], real=real))
        squares = vectors.real**2 if real else vectors.real**2 + vectors.imag**2  # (k, rows of the matrix, bands)
        weights[rows] = squares.transpose(0, 2, 1) @ of_rows

    over_kpoints(bloch, points, solve, pool=pool, threads=threads)
    return found, weights


def over_kpoints(
    bloch: BlochSum,
    points: NDArray[np.float64],
    solve: Callable[[NDArray[np.intp], bool], None],
    *,
    pool: Executor | None,
    threads: int,
) -> None:
    """Have some k-points at a time solved, those whose H(k) is real apart from others, over threads and within memory.

    Args:
        bloch: the Hamiltonian.
        points: (K, 3).
        solve: takes which of them, and whether H(k) is real there.
        pool: takes k-points side by side.
        threads: how many of it.
    """
    threads = max(1, min(threads, MAX_BYTES // (peak_bytes(bloch.n_orbitals) * (2 if bloch.overlaps else 1))))
    is_real = bloch.is_real_at(points)
    parts: list[tuple[NDArray[np.intp], bool]] = []
    for real in (True, False):
        chosen = np.flatnonzero(is_real == real)
        size = max(1, CHUNK_BYTES // (bloch.n_orbitals**2 * (4 if real else 8)))
        if threads > 1:
            size = min(size, max(LEAST_KPOINTS if size > LEAST_KPOINTS else 1, -(-len(chosen) // threads)))
        parts += [(chosen[start : start + size], real) for start in range(0, len(chosen), size)]

    with single_threaded_blas():
        if pool is None or threads == 1:
            for rows, real in parts:
                solve(rows, real)
        else:
            for first in range(0, len(parts), threads):  # fewer than the pool has, where matrices are large
                list(pool.map(lambda part: solve(*part), parts[first : first + threads]))


def peak_bytes(n_orbitals: int) -> int:
    """About what a thread takes to solve one k-point of a crystal with so many orbitals, in bytes."""
    return 2 * PANEL_BYTES + BYTES_PER_ELEMENT * n_orbitals**2


def eigvalsh(matrices: NDArray[Any]) -> NDArray[np.float32]:
    """Eigenvalues (K, n), ascending, of float32 or complex64 matrices (K, n, n) given by their lower triangle.

    `numpy.linalg.eigvalsh` computes in double precision whatever it is given; what it calls inside takes half of the time in single
    precision. Where a version of NumPy does not have that, double precision it is.
    """
    with np.errstate(invalid="ignore"):
        values: NDArray[np.float32] = _in_single_precision("eigvalsh", "f->f", "F->f")(matrices)
    return values


def eigh(matrices: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Eigenvalues (K, n), ascending, and eigenvectors (K, n, n) in columns, as `eigvalsh` computes the first alone."""
    with np.errstate(invalid="ignore"):
        values, vectors = _in_single_precision("eigh", "f->ff", "F->fF")(matrices)
    return values, vectors


@cache
def _in_single_precision(name: str, *types: str) -> Callable[[NDArray[Any]], Any]:
    """What a function of `numpy.linalg` calls inside, if that takes these types of arrays; else the function itself."""
    inner: Any = getattr(import_module("numpy.linalg._umath_linalg"), f"{name}_lo", None)
    found: Callable[[NDArray[Any]], Any] = inner if {*types} <= {*getattr(inner, "types", ())} else getattr(np.linalg, name)
    return found


_blas_lock = Lock()
_within = 0
_threads_before = 1


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Keep OpenBLAS, which NumPy brings on most systems, from starting threads of its own for each small matrix.

    Other libraries of linear algebra are left as they are.
    """
    functions = _blas_threads()
    if functions is None:
        yield
        return
    global _within, _threads_before
    read, write = functions
    with _blas_lock:
        if _within == 0:
            _threads_before = read()
            write(1)
        _within += 1
    try:
        yield
    finally:
        with _blas_lock:
            _within -= 1
            if _within == 0:
                write(_threads_before)


@cache
def _blas_threads() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """How to read and set the number of threads of the OpenBLAS in NumPy; None where it has another library."""
    try:
        library = ctypes.CDLL(import_module("numpy.linalg._umath_linalg").__file__)
    except (OSError, ImportError, TypeError):
        return None
    for name in ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads"):
        read, write = (getattr(library, name.format(what), None) for what in ("get", "set"))
        if read is not None and write is not None:
            return read, write
    return None
