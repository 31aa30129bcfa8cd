"""Filling: the Fermi level on a mesh, metal or not, the gap, the window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.hamiltonian.filling import KEPT, Filled
from bandrt.manifest import BandRule
from bandrt_train.model.hamiltonian.filling import mean_of
from bandrt_train.model.hamiltonian.model import RealSpace
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs
from tests.support.small_hamiltonians import ALUMINIUM, SILICON, bands_of, fill, predict, small_model

PATH = np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.25], [0.5, 0.0, 0.5]])
HELIUM = Crystal(3.0 * np.eye(3), np.array([2], np.int32), np.zeros((1, 3)))


def cosine_bands(levels: list[float], width: float) -> tuple[Pairs, RealSpace]:
    """A crystal of one electron pair whose bands are ``level - width cos(2 pi k_x)``."""
    here, hop = torch.diag(torch.tensor(levels)).double(), -0.5 * width * torch.eye(len(levels)).double()
    vectors = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]).double()
    return find_pairs(HELIUM), RealSpace(torch.stack([hop, here, hop]), vectors, torch.zeros(0).double())


def nine(first: float, second: float) -> list[float]:
    return [first, second, *(50.0 + i for i in range(7))]


def test_filled_bands_below_empty_ones_make_a_gap_with_its_middle_at_zero() -> None:
    filled = fill(*cosine_bands(nine(0.0, 5.0), 1.0), PATH)
    assert not filled.is_metal
    assert filled.band_gap == pytest.approx(3.0, abs=1e-6)
    np.testing.assert_allclose(filled.energies[KEPT - 1], [-3.5, -2.5, -1.5], atol=1e-9)
    np.testing.assert_allclose(filled.energies[KEPT], [1.5, 2.5, 3.5], atol=1e-9)
    assert filled.n_nonempty == KEPT


def test_bands_that_overlap_off_the_path_make_a_metal() -> None:
    """At Γ alone there is a gap; the mesh knows better."""
    filled = fill(*cosine_bands(nine(0.0, 1.5), 1.0), PATH[:1])
    assert filled.is_metal
    assert filled.band_gap == 0.0
    assert filled.n_nonempty == KEPT + 1
    assert filled.energies[KEPT - 1, 0] == pytest.approx(-1.75, abs=0.1)  # by symmetry E_F lies between the middles of both


def test_an_odd_number_of_electrons_makes_a_metal() -> None:
    assert predict(small_model(), find_pairs(ALUMINIUM), PATH).is_metal


def test_energies_are_those_of_the_model_but_for_their_zero() -> None:
    model = small_model()
    filled, own = predict(model, find_pairs(SILICON), PATH), bands_of(model, SILICON, PATH)
    known = ~np.isnan(filled.energies).any(axis=1)
    difference = filled.energies[known] - own[:, 4 - int(known[:KEPT].sum()) : 4 + int(known[KEPT:].sum())].T
    assert np.ptp(difference) < 1e-9
    assert known.sum() == 4 + KEPT  # of silicon's four filled bands there is nothing below


def test_bands_that_a_crystal_does_not_have_are_refused_not_invented() -> None:
    filled = fill(*cosine_bands(nine(0.0, 5.0), 1.0), PATH)  # one filled band, and three are wanted
    with pytest.raises(InputError) as refused:
        filled.window(BandRule())
    assert refused.value.code == "too-few-bands"
    with pytest.raises(InputError):
        Filled(np.zeros((2 * KEPT, 1)), False, 0.0).window(BandRule(), n_nonempty=2)


def test_members_average_counted_bands_and_vote_on_the_metal() -> None:
    energies = np.ones((2 * KEPT, 3))
    together = mean_of([Filled(energies, False, 1.0), Filled(3 * energies, False, 2.0), Filled(5 * energies, True, 0.0)])
    np.testing.assert_allclose(together.energies, 3.0)
    assert (together.is_metal, together.band_gap) == (False, 1.5)
    assert mean_of([Filled(energies, True, 0.0), Filled(energies, True, 0.0), Filled(energies, False, 1.0)]).band_gap == 0.0
