"""Losses of a learned Hamiltonian: nothing for the model that made the labels, whatever its zero, and what is wrong otherwise."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from bandrt.crystal import Crystal
from bandrt_train.data.hamiltonian.bands import BandChoice, CountedBands, count_bands
from bandrt_train.data.hamiltonian.gaps import KnownGap
from bandrt_train.fit.hamiltonian.config import LossConfig
from bandrt_train.fit.hamiltonian.loss import band_loss, differences, draw, gap_loss, watched_errors
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.small_hamiltonians import ALUMINIUM, GALLIUM_ARSENIDE, SALT, SILICON, bands_of, document_of, predict, small_model

TEACHER = small_model()
CONFIG = LossConfig()
SINGLE = 1e-4


def label_of(crystal: Crystal) -> CountedBands:
    label = count_bands(document_of(TEACHER, crystal), BandChoice())
    return dataclasses.replace(label, energies=label.energies.double(), weight=label.weight.double())


@pytest.mark.parametrize("crystal", [SILICON, GALLIUM_ARSENIDE, SALT, ALUMINIUM])
def test_the_model_that_made_the_labels_has_no_loss(crystal: Crystal) -> None:
    rng = np.random.default_rng(0)
    assert float(band_loss(TEACHER, [label_of(crystal)], rng, CONFIG, 5).detach()) == pytest.approx(0.0, abs=SINGLE)
    [error] = watched_errors(TEACHER, [label_of(crystal)], CONFIG)
    assert error == pytest.approx(0.0, abs=SINGLE)


@pytest.mark.parametrize("crystal", [SILICON, ALUMINIUM])
def test_the_zero_of_the_model_does_not_matter(crystal: Crystal) -> None:
    label = label_of(crystal)
    drawn = draw(label, np.random.default_rng(1), 5)
    bands = torch.from_numpy(bands_of(TEACHER, crystal, label.kpoints[torch.from_numpy(drawn)].numpy()))
    own, moved = (differences(label, drawn, bands + shift, CONFIG.smearing_ev) for shift in (0.0, 7.0))
    torch.testing.assert_close(moved, own, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("crystal", [SILICON, ALUMINIUM])
def test_moving_all_bands_is_no_direction_of_the_gradient(crystal: Crystal) -> None:
    """Since the zero moves with them."""
    label = label_of(crystal)
    drawn = draw(label, np.random.default_rng(1), 5)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bands = torch.from_numpy(bands_of(TEACHER, crystal, label.kpoints[torch.from_numpy(drawn)].numpy())) + shift
    differences(label, drawn, bands * 1.1, CONFIG.smearing_ev).square().sum().backward()
    assert shift.grad is not None
    assert float(shift.grad) == pytest.approx(0.0, abs=1e-6)


def test_a_wrong_band_is_as_wrong_as_it_is() -> None:
    label = label_of(SALT)
    drawn = draw(label, np.random.default_rng(1), 5)
    bands = torch.from_numpy(bands_of(TEACHER, SALT, label.kpoints[torch.from_numpy(drawn)].numpy()))
    bands[:, label.pairs.n_filled + 3] += 0.5  # away from the edges
    expected = torch.where(label.band == label.pairs.n_filled + 3, 0.5, 0.0).double().expand(len(drawn), -1)
    torch.testing.assert_close(differences(label, drawn, bands, CONFIG.smearing_ev), expected, atol=SINGLE, rtol=0.0)


def test_the_gap_of_a_labelled_insulator_counts_by_its_weight() -> None:
    """A label whose gap is 0.2 eV wider, at its edges alone: what the weight adds is the Huber loss of these 0.2 eV."""
    label, rng = label_of(SALT), np.random.default_rng
    column = int(torch.nonzero(label.band == label.n_nonempty))
    energies = label.energies.clone()
    energies[:, column] += 0.2
    wider = dataclasses.replace(label, energies=energies)
    alone, weighed = (float(band_loss(TEACHER, [wider], rng(0), LossConfig(gap_weight=w), 5).detach()) for w in (0.0, 0.5))
    assert weighed - alone == pytest.approx(0.5 * (0.2**2 / 2) / LossConfig().huber_ev, abs=SINGLE)
    metal = label_of(ALUMINIUM)
    assert float(band_loss(TEACHER, [metal], rng(0), LossConfig(gap_weight=0.5), 5).detach()) == pytest.approx(0.0, abs=SINGLE)


@pytest.mark.parametrize("crystal", [SALT, ALUMINIUM])
def test_a_crystal_counts_by_its_weight_and_is_watched_as_ever(crystal: Crystal) -> None:
    student, label = small_model(seed=5), label_of(crystal)
    config = LossConfig(gap_weight=0.5)

    def loss(*weights: float) -> float:
        labels = [dataclasses.replace(label, crystal_weight=weight) for weight in weights]
        return float(band_loss(student, labels, np.random.default_rng(3), config, 200).detach())

    assert loss(1.0) > 0.0
    assert loss(0.25) == pytest.approx(0.25 * loss(1.0))
    assert loss(1.0, 0.5) == pytest.approx(0.75 * loss(1.0), rel=0.1)  # each crystal draws k-points of its own
    doubtful = dataclasses.replace(label, crystal_weight=0.25)
    assert watched_errors(student, [doubtful], config) == watched_errors(student, [label], config)


def test_edges_of_insulators_are_always_among_the_drawn() -> None:
    rng = np.random.default_rng(2)
    insulator, metal = label_of(SALT), label_of(ALUMINIUM)
    for _ in range(5):
        assert tuple(draw(insulator, rng, 3)[-2:]) == insulator.edges
        assert len(draw(insulator, rng, 3)) == len(draw(metal, rng, 3)) == 5


def known_gap(crystal: Crystal, gap: float, weight: float = 1.0) -> KnownGap:
    kpoints = torch.from_numpy(document_of(TEACHER, crystal).frac_kpoints)
    return KnownGap("one", crystal.hill_formula, find_pairs(crystal), kpoints, gap, "", weight)


def test_a_gap_is_compared_between_the_edges_of_the_model_which_are_remembered() -> None:
    kpoints = document_of(TEACHER, SALT).frac_kpoints
    bands, half = bands_of(TEACHER, SALT, kpoints), find_pairs(SALT).n_filled
    own = float(bands[:, half].min() - bands[:, half - 1].max())
    best = [int(bands[:, half - 1].argmax()), int(bands[:, half].argmin())]
    edges, rng = np.zeros((1, 2), np.int64), np.random.default_rng(0)
    for _ in range(20):  # a few k-points at a time find them
        loss = gap_loss(TEACHER, [known_gap(SALT, own + 1.0)], edges, rng, n_kpoints=6, huber_ev=0.3)
    np.testing.assert_allclose(bands[edges[0], [half - 1, half]], bands[best, [half - 1, half]], atol=1e-9)
    assert float(loss.detach()) == pytest.approx(1.0 - 0.15, abs=1e-5)  # linear beyond 0.3 eV


def test_a_metal_must_only_have_no_gap() -> None:
    edges, rng = np.zeros((1, 2), np.int64), np.random.default_rng(0)
    overlapping, apart = (
        gap_loss(TEACHER, [known_gap(crystal, 0.0)], edges, rng, n_kpoints=18, huber_ev=0.3) for crystal in (ALUMINIUM, SALT)
    )
    assert float(overlapping.detach()) == 0.0
    assert float(apart.detach()) > 0.0


@pytest.mark.parametrize("gap", [0.0, 9.0])
def test_a_gap_counts_by_its_weight(gap: float) -> None:
    def loss(*weights: float) -> float:
        known = [known_gap(SALT, gap, weight) for weight in weights]
        edges = np.zeros((len(known), 2), np.int64)
        # all k-points of the label are drawn, so that both crystals are compared at the same edges
        return float(gap_loss(TEACHER, known, edges, np.random.default_rng(0), n_kpoints=400, huber_ev=0.3).detach())

    assert loss(1.0) > 0.0
    assert loss(0.25) == pytest.approx(0.25 * loss(1.0))
    assert loss(1.0, 0.5) == pytest.approx(0.75 * loss(1.0), rel=1e-5)
    assert predict(TEACHER, find_pairs(SALT), document_of(TEACHER, SALT).frac_kpoints).band_gap > 0.0


def test_losses_fall_along_their_gradient() -> None:
    student: LearnedHamiltonian = copy.deepcopy(small_model(seed=5))
    labels = [label_of(one) for one in (SILICON, ALUMINIUM, SALT)]

    def loss() -> torch.Tensor:
        return band_loss(student, labels, np.random.default_rng(3), CONFIG, 5)

    before = loss()
    before.backward()
    with torch.no_grad():
        size = torch.sqrt(torch.stack([p.grad.square().sum() for p in student.parameters() if p.grad is not None]).sum())
        for p in student.parameters():
            if p.grad is not None:
                p -= 1e-3 * p.grad / size
    assert float(loss().detach()) == pytest.approx(float(before.detach()) - 1e-3 * float(size), abs=0.3e-3 * float(size))
