"""Ensembles of learned Hamiltonians: the mean of the members' Hamiltonians, and a disagreement that bounds that of their bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bandrt.crystal import Crystal
from bandrt.manifest import EnsembleRule
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble, disagreement
from bandrt_train.model.hamiltonian.model import RealSpace, bloch_sum
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.small_hamiltonians import ALUMINIUM, SALT, TRICLINIC, predict, small_model

CRYSTALS = (SALT, ALUMINIUM, TRICLINIC)
RULE = EnsembleRule(("a", "b", "c"), floor_ev=0.3, slope=2.0, n_crystals=7)
SIZE = 8
"""Points of a full mesh along an axis: more than twice what any pair reaches, so that a mean over it is one over all k."""


@pytest.fixture(scope="module")
def ensemble() -> LearnedHamiltonianEnsemble:
    return LearnedHamiltonianEnsemble([small_model(seed) for seed in range(3)], RULE).eval()


def members_of(ensemble: LearnedHamiltonianEnsemble, crystal: Crystal) -> list[RealSpace]:
    with torch.no_grad():
        return [member.real_space([find_pairs(crystal)])[0] for member in ensemble.alone()]


def mean_of(ensemble: LearnedHamiltonianEnsemble, crystal: Crystal) -> RealSpace:
    with torch.no_grad():
        [made] = ensemble.real_space([find_pairs(crystal)])
    return made


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda one: one.formula)
def test_hamiltonians_are_averaged_and_solved_once(ensemble: LearnedHamiltonianEnsemble, crystal: Crystal) -> None:
    kpoints = torch.tensor([[0.1, 0.2, -0.3], [0.5, 0.0, 0.25]], dtype=torch.float64)
    members, made = members_of(ensemble, crystal), mean_of(ensemble, crystal)
    matrices = torch.stack([bloch_sum(one, kpoints) for one in members]).mean(dim=0).numpy()
    flat = np.mean([one.flat_levels.numpy() for one in members], axis=0)
    expected = [np.sort(np.concatenate([np.linalg.eigvalsh(matrix), flat])) for matrix in matrices]
    with torch.no_grad():
        [energies] = ensemble([find_pairs(crystal)], [kpoints])
    np.testing.assert_allclose(energies, expected, atol=1e-9)
    assert made.uncertainty is not None


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda one: one.formula)
def test_the_disagreement_bounds_the_difference_of_bands(ensemble: LearnedHamiltonianEnsemble, crystal: Crystal) -> None:
    members, made = members_of(ensemble, crystal), mean_of(ensemble, crystal)
    steps = torch.arange(SIZE, dtype=torch.float64) / SIZE
    kpoints = torch.cartesian_prod(steps, steps, steps)
    centre = bloch_sum(made, kpoints)
    frobenius, of_bands = [], []
    for one in members:
        matrices = bloch_sum(one, kpoints)
        frobenius.append(((matrices - centre).abs() ** 2).sum(dim=(1, 2)).mean() / matrices.shape[1])
        of_bands.append(((torch.linalg.eigvalsh(matrices) - torch.linalg.eigvalsh(centre)) ** 2).mean())
    found = float(disagreement(torch.stack([one.hoppings for one in members])))
    assert int(made.lattice_vectors.abs().max()) * 2 < SIZE
    assert found == pytest.approx(float(torch.stack(frobenius).sqrt().mean()), rel=1e-9)
    assert found >= float(torch.stack(of_bands).sqrt().mean()) > 0.1 * found
    assert made.uncertainty is not None
    assert float(made.uncertainty) == pytest.approx(RULE.floor_ev + RULE.slope * found)


def test_members_that_agree_are_one_model() -> None:
    alone, together = small_model(), LearnedHamiltonianEnsemble([small_model(), small_model()], RULE)
    kpoints = np.array([[0.0, 0.0, 0.0], [0.3, 0.1, 0.2]])
    expected, found = (predict(model, find_pairs(SALT), kpoints) for model in (alone, together))
    np.testing.assert_allclose(found.energies, expected.energies, atol=1e-9)
    made = mean_of(together, SALT)
    assert made.uncertainty is not None
    assert float(made.uncertainty) == pytest.approx(RULE.floor_ev, abs=1e-9)


def test_one_model_alone_does_not_say_how_wrong_it_is() -> None:
    with torch.no_grad():
        [made] = small_model().real_space([find_pairs(SALT)])
    assert made.uncertainty is None
