"""The filled levels of atoms: compared with filling by hand and with what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bandrt_train.model.config import ConfigError, ModelConfig
from bandrt_train.model.levels import ABSENT_EV, HIGHEST_EV, LOWEST_EV, SLOTS, AtomicLevels, Filling, atom_table, fill, places
from tests.support.small_models import BLOCH

COLUMNS = [slot.column for slot in SLOTS]
INNER_P, S, P = COLUMNS.index("inner_p"), COLUMNS.index("s"), COLUMNS.index("p")
NAH, MGO, SILICON = [11, 1], [12, 8], [14, 14]


def free_atoms(*crystals: list[int], n_levels: int = 12) -> Filling:
    """Fill the orbitals of free atoms."""
    length = max(map(len, crystals))
    numbers = torch.tensor([crystal + [0] * (length - len(crystal)) for crystal in crystals])
    energy, degeneracy, electrons = (torch.from_numpy(values)[numbers] for values in atom_table())
    return fill(energy, degeneracy, electrons.sum(dim=1), n_levels)


def by_hand(crystal: list[int], n_levels: int = 12) -> np.ndarray:
    """The levels around the last filled one, by sorting a list of all orbitals."""
    table = atom_table()
    orbitals = sorted(
        float(table.energy[number, slot])
        for number in crystal
        for slot in range(len(SLOTS))
        for _ in range(int(table.degeneracy[number, slot]))
    )
    last = -(-int(table.electrons[crystal].sum()) // 2) - 1
    around = [
        orbitals[i] if 0 <= i < len(orbitals) else (LOWEST_EV if i < 0 else HIGHEST_EV)
        for i in range(last - n_levels // 2 + 1, last + n_levels // 2 + 1)
    ]
    middle = n_levels // 2
    zero = around[middle - 1] if table.electrons[crystal].sum() % 2 else (around[middle - 1] + around[middle]) / 2
    return np.array(around) - zero


@pytest.mark.parametrize("crystal", [NAH, MGO, SILICON, [79], [1], [92, 8, 8], [22, 8, 8, 56, 8]])
def test_orbitals_fill_as_in_a_sorted_list(crystal: list[int]) -> None:
    np.testing.assert_allclose(free_atoms(crystal).energies[0], by_hand(crystal), atol=2e-5)


def test_orbitals_are_counted_as_if_each_were_compared_with_all_at_once() -> None:
    rng = torch.Generator().manual_seed(0)
    energy = torch.randint(-9, 9, (2, 5, len(SLOTS)), generator=rng).float()  # with many ties
    degeneracy = torch.randint(0, 8, energy.shape, generator=rng).float()
    level, many = energy.flatten(1), degeneracy.flatten(1)
    first, end = places(energy, degeneracy)
    torch.testing.assert_close(first, ((level[:, :, None] > level[:, None]) * many[:, None]).sum(2), rtol=0, atol=0)
    torch.testing.assert_close(end, ((level[:, :, None] >= level[:, None]) * many[:, None]).sum(2), rtol=0, atol=0)


def test_below_the_hydrogen_band_of_sodium_hydride_lies_the_inner_shell_of_sodium() -> None:
    filling = free_atoms(NAH)
    below, top = filling.shares[0, 4], filling.shares[0, 5]
    assert below[0, INNER_P] > 0.99
    assert top[1, S] > 0.99
    assert filling.energies[0, 5] - filling.energies[0, 4] > 20.0


def test_the_gap_of_magnesia_lies_between_oxygen_p_and_magnesium_s() -> None:
    filling = free_atoms(MGO)
    np.testing.assert_allclose(filling.shares[0, 5, 1, P : P + 3], 1 / 3, atol=1e-3)
    assert filling.shares[0, 6, 0, S] > 0.99
    assert filling.energies[0, 5] == -filling.energies[0, 6] < 0


def test_a_half_filled_level_is_the_zero_of_energy() -> None:
    assert free_atoms([11]).energies[0, 5] == 0.0


def test_equivalent_atoms_have_equal_shares_and_their_order_does_not_matter() -> None:
    one, other = free_atoms([22, 8, 8, 56, 8]), free_atoms([8, 56, 8, 22, 8])
    torch.testing.assert_close(one.energies, other.energies)
    torch.testing.assert_close(one.shares[:, :, [1, 3, 2, 0, 4]], other.shares)
    torch.testing.assert_close(one.shares[:, :, 1], one.shares[:, :, 4])


def test_padding_changes_nothing() -> None:
    alone, beside = free_atoms(MGO), free_atoms(MGO, [22, 8, 8, 56, 8])
    torch.testing.assert_close(alone.energies[0], beside.energies[0])
    torch.testing.assert_close(alone.shares[0], beside.shares[0, :, :2])
    assert not beside.shares[0, :, 2:].any()


def test_a_crystal_of_padding_alone_is_finite() -> None:
    nodes, numbers = torch.ones(1, 3, BLOCH.d_model), torch.zeros(1, 3, dtype=torch.int32)
    for feature in AtomicLevels(BLOCH)(nodes, numbers > 0, numbers):
        assert torch.isfinite(feature).all()


def test_a_band_moves_the_orbitals_that_it_is_made_of_and_no_others() -> None:
    torch.manual_seed(0)
    energy, degeneracy, electrons = (torch.from_numpy(values)[torch.tensor([MGO])] for values in atom_table())
    energy.requires_grad_()
    highest = fill(energy, degeneracy, electrons.sum(dim=1), 12)
    (highest.energies[0, 6] - highest.energies[0, 5]).backward()
    assert energy.grad is not None
    assert energy.grad[0, 0, S] == 1.0
    assert energy.grad[0, 1, P : P + 3].sum() == -1.0
    assert energy.grad.abs().sum() == 2.0


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    model = AtomicLevels(BLOCH)
    torch.nn.init.normal_(model.orbital_loops)
    numbers = torch.tensor([MGO, SILICON])
    features = model(torch.randn(2, 2, BLOCH.d_model), numbers > 0, numbers)
    sum((feature**2).sum() for feature in features).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]


def test_the_table_holds_every_element_with_its_electrons_below_what_its_orbitals_take() -> None:
    table = atom_table()
    assert (table.degeneracy[1:, [S, P]] > 0).all()
    assert (2 * table.degeneracy.sum(axis=1) >= table.electrons[:, 0]).all()
    assert not table.degeneracy[0].any()
    assert (table.energy[table.degeneracy == 0] == ABSENT_EV).all()


def test_only_bloch_starts_from_levels() -> None:
    with pytest.raises(ConfigError, match="atomic_levels is True, allowed: false in the paper variant"):
        replace(ModelConfig(), atomic_levels=True)
