"""Bands around half filling at all k-points of a batch, some matrices at a time, so that memory does not grow with their number.

The matrices of crystals with a centre of inversion are real, those of others are not: each kind has a Loop, which makes no trip
where a batch has none of it. How many matrices are solved at once, `bandrt.hamiltonian.trips` says for the runtime, too.
"""

from __future__ import annotations

from bandrt.hamiltonian.trips import HELD, MOST_MATRICES, PHASES_PER_PAIR, SHARED_CUTS
from bandrt_export.eigensolver.bloch import Blocks, Inversions, hermitian, symmetric
from bandrt_export.eigensolver.graph import INT, Value, concat, counted, loop
from bandrt_export.eigensolver.multisection import eigenvalues
from bandrt_export.eigensolver.tridiagonal import tridiagonal


def bands(
    shared: Blocks,
    flat_levels: Value,
    wanted: Value,
    kpoints: Value,
    n_wanted: int,
    nowhere_ev: float,
    inversions: Inversions | None = None,
) -> Value:
    """Solve for some bands.

    Args:
        shared: the blocks of B crystals of N atoms.
        flat_levels: (B, N, o) eV.
        wanted: (B, n_wanted) float32, indices of bands, ascending.
        kpoints: (B, K, 3) fractional.
        n_wanted: how many bands.
        nowhere_ev: orbitals and flat levels from there on are none.
        inversions: of the first C crystals; the others are taken for crystals without a centre, and so are all if it is None.

    Returns:
        (B, K, n_wanted) eV; finite for a band that is not there.
    """
    n_crystals, n_kpoints = kpoints.size(0), kpoints.size(1)
    n_matrices = n_crystals * n_kpoints
    n_atoms, o = shared.values.size(1), shared.n_orbitals
    each = n_atoms * n_atoms * (2 * o**2 + PHASES_PER_PAIR) + SHARED_CUTS * n_wanted
    flat = (
        flat_levels.reshape(0, -1).transpose(1, 0).unsqueeze(2)
    )  # (n, B, 1), transposed here: within, TensorRT-RTX 1.7 does not build it
    points = kpoints.reshape(-1, 3, 1)

    def solved(first: Value, end: Value, known: Inversions | None) -> Value:
        """Bands of matrices from one to before another, (end - first, n_wanted)."""
        count = end - first
        most = (kpoints.graph.constant([HELD], INT) / each).most(1).least(MOST_MATRICES).least(n_matrices)
        places, last = counted(most), end - 1

        def some(trip: Value) -> tuple[list[Value], list[Value]]:
            index = (first + trip.reshape(1) * most + places).least(last)  # the last trip solves the last one again and again
            crystal = index / n_kpoints
            own, point = shared.of(crystal), points.take(0, index)
            matrix = hermitian(own, point) if known is None else symmetric(own, known.of(crystal), point)
            reduced = tridiagonal(matrix, is_real=known is not None)
            levels = eigenvalues(reduced, flat.take(1, crystal), wanted.take(0, crystal), n_wanted, nowhere_ev)
            return [], [levels.reshape(-1, n_wanted)]  # so that ONNX Runtime knows how many axes come of no trip

        [found] = loop((count + most - 1) / most, [], some)  # (trips, R, n_wanted)
        return found.reshape(-1, n_wanted).cut(0, 0, count)

    start = n_matrices - n_matrices
    if inversions is None:
        found = solved(start, n_matrices, None)
    else:
        n_real = inversions.partner.size(0) * n_kpoints
        found = concat(0, solved(start, n_real, inversions), solved(n_real, n_matrices, None))
    return found.reshape(n_crystals, -1, n_wanted)
