"""Memory of a solver in a graph: bounded for small matrices, whatever the batch, and that of one matrix for large ones."""

from __future__ import annotations

import pytest

from bandrt.contract import N_ORBITALS
from bandrt.hamiltonian.trips import HELD, matrices_at_once, numbers_of, solver_bytes

N_KPOINTS = 368
"""Of the path and of the largest mesh."""


def test_many_matrices_are_solved_in_several_trips() -> None:
    assert matrices_at_once(2, 5) == 5
    assert 1 < matrices_at_once(40, 10**6) < N_KPOINTS
    assert matrices_at_once(1000, 10**6) == 1
    for n_atoms in (1, 7, 40, 200):
        assert matrices_at_once(n_atoms, 10**6) * numbers_of(N_ORBITALS * n_atoms) <= HELD


@pytest.mark.parametrize("n_atoms", [8, 24, 100])
def test_the_batch_does_not_decide_how_much_memory_it_takes(n_atoms: int) -> None:
    assert solver_bytes(n_atoms, 10**6) == solver_bytes(n_atoms, 10**7) < 6e8


def test_memory_is_that_of_one_matrix_where_it_is_large() -> None:
    """Four copies of complex single precision, at least."""
    assert solver_bytes(1000, N_KPOINTS) == solver_bytes(1000, 1) > 4 * 8 * (N_ORBITALS * 1000) ** 2
