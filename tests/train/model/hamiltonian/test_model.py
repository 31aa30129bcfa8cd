"""The learned Hamiltonian: what physics says of its bands, whatever the network has learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bandrt.crystal import Crystal
from bandrt.manifest import EnsembleRule
from bandrt_train.model.config import ConfigError
from bandrt_train.model.hamiltonian.atoms import SHELL_OF_ORBITAL, atomic_data
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, RealSpace, bands, bloch_sum
from bandrt_train.model.hamiltonian.network import pair_batch
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.small_hamiltonians import (
    ALUMINIUM,
    FCC,
    GALLIUM_ARSENIDE,
    OVERLAPPING,
    SALT,
    SILICON,
    SMALL,
    TRICLINIC,
    bands_of,
    small_model,
)

TIGHT = 1e-9
"""eV: double precision."""
SINGLE = 2e-4
"""eV: single precision, of levels some tens of eV deep."""
CRYSTALS = {"Si": SILICON, "GaAs": GALLIUM_ARSENIDE, "NaCl": SALT, "Al": ALUMINIUM, "triclinic": TRICLINIC}
KPOINTS = np.random.default_rng(3).uniform(-1.0, 1.0, (5, 3))


@pytest.fixture(scope="module", params=[SMALL, OVERLAPPING], ids=["orthogonal", "overlapping"])
def model(request: pytest.FixtureRequest) -> LearnedHamiltonian:
    return small_model(config=request.param)


def real_space(model: LearnedHamiltonian, crystal: Crystal) -> RealSpace:
    with torch.no_grad():
        [made] = model.real_space([find_pairs(crystal)])
    return made


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_hamiltonian_is_hermitian_between_cells_and_at_every_k(model: LearnedHamiltonian, name: str) -> None:
    made = real_space(model, CRYSTALS[name])
    torch.testing.assert_close(made.hoppings.flip(0).mT, made.hoppings, atol=TIGHT, rtol=0.0)  # T(-R) = T(R)^T
    matrix = bloch_sum(made, torch.from_numpy(KPOINTS))
    torch.testing.assert_close(matrix.mH, matrix, atol=TIGHT, rtol=0.0)


@pytest.mark.parametrize("name", CRYSTALS)
def test_bands_are_those_of_numpy_for_a_sum_over_cells_written_out(model: LearnedHamiltonian, name: str) -> None:
    made = real_space(model, CRYSTALS[name])
    for k, energies in zip(KPOINTS, bands_of(model, CRYSTALS[name], KPOINTS), strict=True):
        phases = np.exp(2j * np.pi * made.lattice_vectors.numpy() @ k)
        h = np.einsum("v,vij->ij", phases, made.hoppings.numpy())
        if made.overlaps is not None:
            s = np.einsum("v,vij->ij", phases, made.overlaps.numpy())
            h = h - (s @ h + h @ s) / 2.0
        expected = np.sort([*np.linalg.eigvalsh(h), *made.flat_levels.numpy()])
        np.testing.assert_allclose(energies, expected, atol=TIGHT)


@pytest.mark.parametrize("name", CRYSTALS)
def test_bands_are_the_same_at_minus_k_and_at_k_plus_g(model: LearnedHamiltonian, name: str) -> None:
    own = bands_of(model, CRYSTALS[name], KPOINTS)
    np.testing.assert_allclose(bands_of(model, CRYSTALS[name], -KPOINTS), own, atol=TIGHT)
    np.testing.assert_allclose(bands_of(model, CRYSTALS[name], KPOINTS + np.array([1, -2, 3])), own, atol=TIGHT)


@pytest.mark.parametrize("name", CRYSTALS)
def test_bands_do_not_know_how_a_crystal_is_turned(model: LearnedHamiltonian, name: str) -> None:
    crystal = CRYSTALS[name]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))  # and mirrored, perhaps
    turned = Crystal(crystal.lattice @ turn, crystal.atomic_numbers, crystal.frac_coords)
    np.testing.assert_allclose(bands_of(model, turned, KPOINTS), bands_of(model, crystal, KPOINTS), atol=TIGHT)


def test_bands_do_not_know_the_order_and_the_origin_of_atoms(model: LearnedHamiltonian) -> None:
    order = [2, 0, 1]
    moved = Crystal(TRICLINIC.lattice, TRICLINIC.atomic_numbers[order], TRICLINIC.frac_coords[order] + [0.31, -0.4, 1.7])
    np.testing.assert_allclose(bands_of(model, moved, KPOINTS), bands_of(model, TRICLINIC, KPOINTS), atol=TIGHT)


@pytest.mark.parametrize("name", CRYSTALS)
def test_bands_do_not_know_the_choice_of_the_cell(model: LearnedHamiltonian, name: str) -> None:
    crystal, change = CRYSTALS[name], np.array([[1, 1, 0], [0, 1, -2], [0, 0, 1]])
    other = Crystal(change @ crystal.lattice, crystal.atomic_numbers, crystal.frac_coords @ np.linalg.inv(change))
    np.testing.assert_allclose(bands_of(model, other, KPOINTS @ change.T), bands_of(model, crystal, KPOINTS), atol=TIGHT)


def test_a_cell_of_twice_the_size_has_the_bands_of_both_k_points(model: LearnedHamiltonian) -> None:
    doubled = Crystal(
        np.diag([2, 1, 1]) @ SALT.lattice,
        np.tile(SALT.atomic_numbers, 2),
        np.concatenate([SALT.frac_coords, SALT.frac_coords + np.array([1, 0, 0])]) / [2, 1, 1],
    )
    k = np.array([[0.2, 0.3, -0.1]])
    folded = bands_of(model, SALT, np.concatenate([k, k + np.array([0.5, 0, 0])])).ravel()
    np.testing.assert_allclose(bands_of(model, doubled, k * [2, 1, 1])[0], np.sort(folded), atol=TIGHT)


def test_crystals_of_a_batch_do_not_know_of_each_other(model: LearnedHamiltonian) -> None:
    several = list(CRYSTALS.values())
    k = torch.from_numpy(KPOINTS)
    with torch.no_grad():
        together = model([find_pairs(one) for one in several], [k] * len(several))
    for one, energies in zip(several, together, strict=True):
        np.testing.assert_allclose(energies.numpy(), bands_of(model, one, KPOINTS), atol=TIGHT)


def test_degeneracies_are_those_of_the_crystal(model: LearnedHamiltonian) -> None:
    """At Γ of diamond: s 1, p 3, d 2 + 3, each bonding and antibonding; along X every band is a pair (nonsymmorphic)."""
    gamma, zone_edge = bands_of(model, SILICON, np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5]]))
    steps = np.flatnonzero(np.diff(gamma) > 1e-6)
    assert sorted(np.diff([-1, *steps, len(gamma) - 1]).tolist()) == [1, 1, 2, 2, 3, 3, 3, 3]
    np.testing.assert_allclose(zone_edge[::2], zone_edge[1::2], atol=TIGHT)


def test_atoms_out_of_reach_keep_the_levels_of_free_atoms() -> None:
    model = LearnedHamiltonian(SMALL).double().eval()
    with torch.no_grad():
        last = model.network.of_atom[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.zero_()
    alone = Crystal(30.0 * np.eye(3), np.array([14], np.int32), np.zeros((1, 3)))
    expected = np.sort(atomic_data().level[14][list(SHELL_OF_ORBITAL)])
    np.testing.assert_allclose(bands_of(model, alone, KPOINTS), np.tile(expected, (5, 1)), atol=1e-6)


def test_bands_do_not_jump_when_a_pair_comes_within_reach(model: LearnedHamiltonian) -> None:
    """All pairs of this cell but one kind are far out of reach; that kind is about to come in, at 2.3 x 2 x 1.21 Å."""
    reach = 2.3 * 2.0 * float(atomic_data().radius[13])
    before, after = (
        bands_of(model, Crystal(np.diag([reach + step, 20.0, 20.0]), np.array([13], np.int32), np.zeros((1, 3))), KPOINTS)
        for step in (1e-4, -1e-4)
    )
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_chain_of_one_orbital_has_the_band_of_the_textbook() -> None:
    vectors = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    chain = RealSpace(torch.tensor([-0.7, 0.3, -0.7]).reshape(3, 1, 1), vectors, torch.zeros(0))
    k = torch.tensor([[0.0, 0.1, 0.2], [0.125, 0.0, 0.0], [0.5, 0.3, 0.0]])
    torch.testing.assert_close(bands(chain, k)[:, 0], 0.3 - 1.4 * torch.cos(2 * torch.pi * k[:, 0]))


@pytest.mark.parametrize("name", CRYSTALS)
def test_overlap_is_that_of_a_generalised_eigenproblem_to_first_order(name: str) -> None:
    made = real_space(small_model(config=OVERLAPPING), CRYSTALS[name])
    assert made.overlaps is not None
    phases = np.exp(2j * np.pi * made.lattice_vectors.numpy() @ KPOINTS[0])
    h, s = (np.einsum("v,vij->ij", phases, terms.numpy()) for terms in (made.hoppings, made.overlaps))
    errors, effects = [], []
    for share in (2e-3, 1e-3):
        lower = np.linalg.inv(np.linalg.cholesky(np.eye(len(s)) + share * s))
        exact = np.linalg.eigvalsh(lower @ h @ lower.conj().T)
        found = bands(made._replace(overlaps=share * made.overlaps, flat_levels=torch.zeros(0)), torch.from_numpy(KPOINTS[:1]))
        errors.append(float(np.abs(found.numpy()[0] - exact).max()))
        effects.append(float(np.abs(np.linalg.eigvalsh(h) - exact).max()))
    assert errors[1] < 0.1 * effects[1]
    assert errors[1] < 0.35 * errors[0]  # what is left falls with the square


def test_in_an_overlapping_crystal_orbitals_that_do_not_reach_each_other_hop_by_way_of_a_third() -> None:
    spacing = 0.7 * 2.3 * 2.0 * float(atomic_data().radius[13])  # twice of which is beyond reach
    places = np.arange(3)[:, None] * np.array([[spacing / 40.0, 0.0, 0.0]])
    row = Crystal(40.0 * np.eye(3), np.full(3, 13, np.int32), places)
    ends = (0, 18)  # s of the first and of the last atom
    with torch.no_grad():
        plain, overlapping = (
            bloch_sum(real_space(small_model(config=config), row), torch.zeros(1, 3).double())[0] for config in (SMALL, OVERLAPPING)
        )
    assert plain[ends] == 0.0
    assert overlapping[ends].abs() > 1e-4


def test_members_of_an_ensemble_share_their_overlap() -> None:
    members = [small_model(seed, OVERLAPPING) for seed in range(2)]
    ensemble = LearnedHamiltonianEnsemble(members, EnsembleRule(("a", "b"), floor_ev=0.1, slope=1.0, n_crystals=1))
    with torch.no_grad():
        [together] = ensemble.real_space([find_pairs(SALT)])
        alone = [real_space(member, SALT).overlaps for member in members]
    assert together.overlaps is not None
    assert alone[0] is not None
    assert alone[1] is not None
    torch.testing.assert_close(together.overlaps, (alone[0] + alone[1]) / 2.0)


def test_flat_levels_are_bands_that_do_not_move(model: LearnedHamiltonian) -> None:
    made = real_space(model, SALT)  # sodium's 2s and 2p
    energies = bands_of(model, SALT, KPOINTS)
    assert energies.shape == (5, 22)
    for level in made.flat_levels.numpy():
        assert (np.abs(energies - level).min(axis=1) < TIGHT).all()


def test_the_gradient_is_right_where_bands_are_degenerate() -> None:
    model, pairs, gamma = small_model(), [find_pairs(SILICON)], [torch.zeros(1, 3, dtype=torch.float64)]
    strength = model.network.eta

    def loss() -> torch.Tensor:
        return (model(pairs, gamma)[0][0, :6] ** 2).sum()  # up to the end of a threefold level

    loss().backward()
    assert strength.grad is not None
    step = 1e-5
    for place in (0, 4, 9):
        with torch.no_grad():
            sides = []
            for sign in (1.0, -2.0):
                strength[place] += sign * step
                sides.append(float(loss()))
            strength[place] += step
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(float(strength.grad[place]), rel=1e-4, abs=1e-6)


def test_single_precision_is_precise_enough(model: LearnedHamiltonian) -> None:
    single = small_model(config=model.config).float()
    with torch.no_grad():
        [energies] = single([find_pairs(GALLIUM_ARSENIDE)], [torch.from_numpy(KPOINTS).float()])
    np.testing.assert_allclose(energies.numpy(), bands_of(model, GALLIUM_ARSENIDE, KPOINTS), atol=SINGLE)


def test_a_pair_hops_as_strongly_back_as_there(model: LearnedHamiltonian) -> None:
    pairs = find_pairs(GALLIUM_ARSENIDE)
    said = model.network(pair_batch([pairs], like=model.flat_scale))
    sigma = said.hopping[:, :9].unflatten(1, (3, 3))
    torch.testing.assert_close(sigma[torch.from_numpy(pairs.way_back)].mT, sigma)


def test_a_model_of_one_gaussian_and_no_messages_has_bands() -> None:
    model = LearnedHamiltonian(HamiltonianConfig(width=4, n_layers=0, n_gaussians=1)).double().eval()
    assert np.isfinite(bands_of(model, Crystal(4.0 * FCC, np.array([29], np.int32), np.zeros((1, 3))), KPOINTS)).all()


@pytest.mark.parametrize(
    ("name", "value"), [("width", 0), ("n_layers", -1), ("n_layers", 99), ("n_gaussians", 0), ("dropout", 1.0)]
)
def test_a_shape_that_no_model_can_have_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as refused:
        dataclasses.replace(HamiltonianConfig(), **{name: value})
    assert refused.value.code == "config-invalid"
