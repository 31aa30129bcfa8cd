"""How many matrices an eigen-solver inside a graph holds at once, and about how much memory that takes on a CPU."""

from __future__ import annotations

from bandrt.contract import N_ORBITALS
from bandrt.hamiltonian.filling import KEPT

HELD = 2**24
"""Numbers that the matrices of one trip, the phases that they are made of and the cuts of their levels may have together, 64 MiB,
if that is a matrix at least.

It depends on the atoms alone and not on the batch, since TensorRT plans for the largest of all factors of a profile at once, and
ends where a tensor could have more than 2^31 bytes.
"""
MOST_MATRICES = 800
"""Of one trip, however small: in a profile of 1 to 8 atoms TensorRT plans for as many as a single atom may have, of those of 8."""
PHASES_PER_PAIR = 200
"""Cosine and sine of each slot where an atom has some fifty neighbours, and once more beside the product that takes them."""
SHARED_CUTS = 255
"""Of the interval in which all levels of a matrix are looked for first."""
BYTES_PER_PAIR, BYTES_PER_ATOM, BYTES_PER_MATRIX = 3_000, 26_000, 60_000
"""What a matrix takes at the peak of ONNX Runtime, with some fifty neighbours an atom: four copies of it, or two beside the phases
of all pairs; the blocks of its crystal; and each cut beside each level. Measured with 2 to 40 atoms, overlapping or not."""


def numbers_of(n_rows: int) -> int:
    """What a matrix takes at once, in numbers: complex elements, phases of all pairs of atoms, and each cut beside each level."""
    return 2 * n_rows**2 + PHASES_PER_PAIR * (n_rows // N_ORBITALS) ** 2 + SHARED_CUTS * 2 * KEPT


def matrices_at_once(n_atoms: int, n_matrices: int) -> int:
    """How many matrices of crystals with so many atoms are solved at once, whichever k-points and crystals they are of."""
    return max(1, min(n_matrices, MOST_MATRICES, HELD // numbers_of(N_ORBITALS * n_atoms)))


def solver_bytes(n_atoms: int, n_matrices: int) -> int:
    """About what a solver in a graph takes at its peak, in bytes.

    Args:
        n_atoms: of each crystal, padding included.
        n_matrices: one for each k-point of each crystal.
    """
    each = BYTES_PER_PAIR * n_atoms**2 + BYTES_PER_ATOM * n_atoms + BYTES_PER_MATRIX
    return matrices_at_once(n_atoms, n_matrices) * each
