"""Free atoms: electrons that add up in crystals whose bands are known, and orbitals where the table has them."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.elements import SYMBOLS
from bandrt_train.model.hamiltonian.atoms import KIND_OF_FLAT_LEVEL, LANTHANIDES, N_ORBITALS, SHELL_OF_ORBITAL, atomic_data
from bandrt_train.tables import element_properties

NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def outside(symbol: str) -> float:
    """Electrons of an atom that are not in flat levels."""
    number, table = NUMBER[symbol], atomic_data()
    return float(table.electrons[number] - 2 * np.isfinite(table.flat_level[number]).sum())


@pytest.mark.parametrize(
    ("symbol", "electrons"),
    [
        *[("H", 1), ("He", 2), ("Li", 1), ("C", 4), ("Na", 1), ("Si", 4), ("Cl", 7), ("Ca", 2), ("Ti", 4), ("Fe", 8), ("Cu", 11)],
        *[("Zn", 12), ("Ga", 3), ("As", 5), ("Xe", 8), ("Cs", 1), ("La", 3), ("Lu", 3), ("W", 6), ("Au", 11), ("Pb", 4), ("Bi", 5)],
    ],
)
def test_atoms_have_the_electrons_of_their_group_outside_of_flat_levels(symbol: str, electrons: int) -> None:
    assert outside(symbol) == electrons


@pytest.mark.parametrize(
    ("symbol", "valence"), [("Ce", 4), ("Pr", 3), ("Nd", 3), ("Sm", 3), ("Eu", 2), ("Gd", 3), ("Tm", 3), ("Yb", 2)]
)
def test_lanthanides_are_trivalent_with_4f_in_the_core_but_for_three(symbol: str, valence: int) -> None:
    assert outside(symbol) == valence


def test_the_5d_of_lanthanides_lies_between_those_of_lanthanum_and_lutetium() -> None:
    d = atomic_data().level[[57, *LANTHANIDES, 71], 2]
    np.testing.assert_allclose(np.diff(d), (d[-1] - d[0]) / 14, rtol=1e-9)


@pytest.mark.parametrize(("symbol", "n_flat"), [("Zn", 0), ("Cd", 3), ("Ga", 5), ("In", 5), ("Pb", 5), ("Si", 0), ("Na", 4)])
def test_inner_shells_and_the_filled_d_shell_of_p_elements_are_flat(symbol: str, n_flat: int) -> None:
    assert np.isfinite(atomic_data().flat_level[NUMBER[symbol]]).sum() == n_flat


def test_every_element_has_orbitals_a_radius_and_electrons_that_they_can_hold() -> None:
    table = atomic_data()
    room = 2 * (N_ORBITALS + np.isfinite(table.flat_level).sum(axis=1))
    assert np.isfinite(table.level[1:]).all()
    assert (table.radius[1:] > 0.2).all()
    assert ((table.electrons > 0) & (table.electrons < room))[1:].all()


def test_radii_are_those_of_the_table_of_elements() -> None:
    tabulated = [float(element["covalent_radius"] or 1.5) for element in element_properties()]
    assert atomic_data().radius[1:].tolist() == tabulated


def test_shells_have_as_many_orbitals_as_they_should() -> None:
    assert [SHELL_OF_ORBITAL.count(shell) for shell in range(3)] == [1, 3, 5]
    assert [KIND_OF_FLAT_LEVEL.count(kind) for kind in range(3)] == [1, 3, 5]
