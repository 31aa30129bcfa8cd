"""H(k) of chains that can be solved with a pencil."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.contract import N_ORBITALS
from bandrt.hamiltonian.bloch import BlochSum
from bandrt.hamiltonian.eigenvalues import eigenvalues, eigvalsh
from bandrt.hamiltonian.hoppings import Hoppings
from bandrt.hamiltonian.inversion import disagreement, inversion_of
from bandrt.symmetry.inversion import Inversion

KPOINTS = np.linspace([0.0, 0.1, 0.2], [1.0, 0.1, 0.2], 13)
COS, SIN = np.cos(2 * np.pi * KPOINTS[:, 0]), np.sin(2 * np.pi * KPOINTS[:, 0])
LEVELS = np.diag([-10.0, -4.0, 20.0, 21.0, 30.0, 31.0, 32.0, 33.0, 34.0])


def block(**elements: float) -> np.ndarray:
    """A block with elements of s and x: ``sx`` is the row of s and the column of x."""
    made = np.zeros((N_ORBITALS, N_ORBITALS), np.float32)
    for names, value in elements.items():
        made["sx".index(names[0]), "sx".index(names[1])] = value
    return made


def chain(*pairs: tuple[int, int, int, np.ndarray], n_atoms: int = 1) -> Hoppings:
    """Atoms in a row, by pairs (atom, neighbour, cell along x, block); their ways back are added."""
    both = [*pairs, *((j, i, -cell, hop.T) for i, j, cell, hop in pairs)]
    own = [(i, i, 0, LEVELS.astype(np.float32)) for i in range(n_atoms)]
    centre, neighbor, cells, blocks = zip(*own, *both, strict=True)
    image = np.array(cells)[:, None] * np.array([1, 0, 0])
    return Hoppings(n_atoms, np.array(centre), np.array(neighbor), image, np.stack(blocks))


SP_CHAIN = chain((0, 0, 1, block(ss=-1.0, sx=0.7, xs=-0.7, xx=1.5)))
"""s and p of one atom: ``H_sx = 2 i 0.7 sin``."""


def test_a_chain_of_s_has_a_cosine_band() -> None:
    found = eigenvalues(BlochSum(chain((0, 0, 1, block(ss=-1.0)))), KPOINTS)
    np.testing.assert_allclose(found[:, 0], -10.0 - 2.0 * COS, atol=1e-5)


@pytest.mark.parametrize("inversion", [None, Inversion(np.zeros(1, np.int64), np.zeros((1, 3), np.int64))])
def test_s_and_p_of_a_chain_repel_each_other(inversion: Inversion | None) -> None:
    s, p = -10.0 - 2.0 * COS, -4.0 + 3.0 * COS
    apart = np.sqrt(((p - s) / 2) ** 2 + (2 * 0.7 * SIN) ** 2)
    expected = np.stack([(s + p) / 2 - apart, (s + p) / 2 + apart], axis=1)
    np.testing.assert_allclose(eigenvalues(BlochSum(SP_CHAIN, inversion), KPOINTS)[:, :2], expected, atol=2e-5)


def test_two_distances_between_atoms_open_a_gap() -> None:
    """Su, Schrieffer and Heeger, Phys. Rev. Lett. 42, 1698 (1979): ``|v + w exp(-2 pi i k)|``; the centre lies between atoms."""
    hoppings = chain((0, 1, 0, block(ss=1.0)), (0, 1, -1, block(ss=0.4)), n_atoms=2)
    inversion = Inversion(np.array([1, 0]), np.zeros((2, 3), np.int64))
    assert disagreement(hoppings, inversion) == 0.0
    size = np.abs(1.0 + 0.4 * np.exp(-2j * np.pi * KPOINTS[:, 0]))
    for own in (BlochSum(hoppings), BlochSum(hoppings, inversion)):
        np.testing.assert_allclose(eigenvalues(own, KPOINTS)[:, :2], np.stack([-10.0 - size, -10.0 + size], axis=1), atol=2e-5)


def test_a_centre_beside_the_cell_is_one_as_well() -> None:
    """The partner of an atom may be in another cell, and the longer of two distances may be the one in the cell."""
    hoppings = chain((0, 1, 0, block(ss=0.4)), (0, 1, -1, block(ss=1.0)), n_atoms=2)
    size = np.abs(0.4 + np.exp(-2j * np.pi * KPOINTS[:, 0]))
    for first, second in ((0, 0), (1, 1), (-2, -2)):
        inversion = Inversion(np.array([1, 0]), np.array([[first, 0, 0], [second, 0, 0]]))
        own = BlochSum(hoppings, inversion)
        assert own.at(KPOINTS).dtype == np.float32
        np.testing.assert_allclose(eigenvalues(own, KPOINTS)[:, 0], -10.0 - size, atol=2e-5)


def test_a_chain_with_a_direction_has_no_centre() -> None:
    """With one bond of s with p alone, inversion would give the p the other sign."""
    hoppings = chain((0, 1, 0, block(sx=0.5)), (1, 0, 1, block(ss=0.3)), n_atoms=2)
    assert disagreement(hoppings, Inversion(np.array([1, 0]), np.zeros((2, 3), np.int64))) > 0.4
    assert disagreement(hoppings, Inversion(np.array([0, 1]), np.zeros((2, 3), np.int64))) > 0.2


def test_pairs_in_a_row_do_not_say_where_the_cell_ends() -> None:
    vectors = np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])
    assert inversion_of(SP_CHAIN, vectors, np.array([6])) is None


def test_only_the_lower_triangle_is_read() -> None:
    matrix = BlochSum(SP_CHAIN).at(KPOINTS)
    above = matrix + np.triu(np.full(matrix.shape[1:], 7.0), 1).astype(np.complex64)
    np.testing.assert_array_equal(eigvalsh(above), eigvalsh(matrix))
