"""Bands around half filling at all k-points of a batch, some matrices at a time, so that memory does not grow with their number.

How many these are, `bandrt.hamiltonian.trips` says for the runtime, too.
"""

from __future__ import annotations

from bandrt.hamiltonian.trips import HELD, SHARED_CUTS
from bandrt_export.eigensolver.bloch import Blocks, bloch
from bandrt_export.eigensolver.graph import INT, Value, counted, loop
from bandrt_export.eigensolver.multisection import eigenvalues
from bandrt_export.eigensolver.tridiagonal import tridiagonal


def bands(shared: Blocks, flat_levels: Value, wanted: Value, kpoints: Value, n_wanted: int, nowhere_ev: float) -> Value:
    """Solve for some bands.

    Args:
        shared: the blocks of B crystals of N atoms.
        flat_levels: (B, N, o) eV.
        wanted: (B, n_wanted) float32, indices of bands, ascending.
        kpoints: (B, K, 3) fractional.
        n_wanted: how many bands.
        nowhere_ev: orbitals and flat levels from there on are none.

    Returns:
        (B, K, n_wanted) eV; finite for a band that is not there.
    """
    n_crystals, n_kpoints = kpoints.size(0), kpoints.size(1)
    n_matrices = n_crystals * n_kpoints
    n_rows = shared.values.size(1) * shared.n_orbitals
    each = n_rows * n_rows * 2 + SHARED_CUTS * n_wanted
    most = (kpoints.graph.constant([HELD], INT) / each).most(1).least(n_matrices)
    trips = (n_matrices + most - 1) / most
    places, last = counted(most), n_matrices - 1
    flat = (
        flat_levels.reshape(0, -1).transpose(1, 0).unsqueeze(2)
    )  # (n, B, 1), transposed here: within, TensorRT-RTX 1.7 does not build it
    points = kpoints.reshape(-1, 3, 1)

    def some(trip: Value) -> tuple[list[Value], list[Value]]:
        matrix = (trip.reshape(1) * most + places).least(last)  # the last trip solves the last one again and again
        crystal = matrix / n_kpoints
        reduced = tridiagonal(bloch(shared.of(crystal), points.take(0, matrix)))
        return [], [eigenvalues(reduced, flat.take(1, crystal), wanted.take(0, crystal), n_wanted, nowhere_ev)]

    [found] = loop(trips, [], some)  # (trips, R, n_wanted)
    return found.reshape(-1, n_wanted).cut(0, 0, n_matrices).reshape(n_crystals, -1, n_wanted)
