"""An ensemble says the mean of its members, and how far they disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bandrt.manifest import BandRule, EnsembleRule, TrainingDomain
from bandrt_train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from bandrt_train.model.ensemble import Ensemble, disagreement
from bandrt_train.model.graphs import to_batch
from tests.support.small_models import RECIPE, SMALL, perturbed, perturbed_released, real_features

RULE = EnsembleRule(("a", "b", "c"), floor_ev=0.25, slope=1.5, n_crystals=7)
TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV."""


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble([perturbed(seed=seed) for seed in range(3)], RULE).eval()


@torch.no_grad()
def test_bands_are_the_mean_of_the_members_and_uncertainty_follows_from_their_distance_to_it(ensemble: Ensemble) -> None:
    batch = to_batch(real_features()[:5])
    output = ensemble(batch)
    members = np.stack([member(batch).energies.numpy() for member in ensemble.members]).astype(np.float64)
    mean = (members[0] + members[1] + members[2]) / 3.0
    np.testing.assert_allclose(output.energies, mean, atol=TOLERANCE_EV)
    np.testing.assert_allclose(output.center, mean.mean(axis=-1), atol=TOLERANCE_EV)
    np.testing.assert_allclose(output.dispersion, mean - mean.mean(axis=-1)[..., None], atol=TOLERANCE_EV)
    for crystal in range(5):
        expected = 0.25 + 1.5 * np.mean([np.abs(member[crystal] - mean[crystal]) for member in members])
        assert float(output.uncertainty[crystal]) == pytest.approx(expected, abs=TOLERANCE_EV)
    assert np.ptp(output.uncertainty.numpy()) > 100 * TOLERANCE_EV


def test_two_members_disagree_by_half_their_difference_and_equal_ones_not_at_all() -> None:
    energies = torch.zeros(2, 3, 6, 8)
    energies[1] += torch.tensor([0.0, 0.5, -2.0])[:, None, None]
    assert disagreement(energies).tolist() == [0.0, 0.25, 1.0]


@torch.no_grad()
def test_the_uncertainty_of_a_crystal_is_its_own(ensemble: Ensemble) -> None:
    features = real_features()[:6]
    together = ensemble(to_batch(features)).uncertainty
    alone = torch.cat([ensemble(to_batch([one])).uncertainty for one in features])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE_EV)


def save(path: Path, model: Any, **changes: Any) -> Path:
    parts = {"config": model.config, "recipe": RECIPE, "bands": BandRule(), "training": TrainingDomain()} | changes
    save_checkpoint(path, model=model, **parts)
    return path


def test_an_ensemble_comes_back_from_its_checkpoint_without_running_code(ensemble: Ensemble, tmp_path: Path) -> None:
    path = save(tmp_path / "ensemble.pt", ensemble)
    torch.load(path, weights_only=True)
    checkpoint = load_checkpoint(path)
    assert checkpoint.ensemble == RULE
    model = checkpoint.build_model()
    assert isinstance(model, Ensemble)
    assert not model.training
    batch = to_batch(real_features()[:3])
    with torch.no_grad():
        for found, expected in zip(model(batch), ensemble(batch), strict=True):
            assert torch.equal(found, expected)


def test_members_of_the_released_architecture_make_an_ensemble_too(tmp_path: Path) -> None:
    ensemble = Ensemble([perturbed_released(seed=seed) for seed in range(2)], EnsembleRule(("a", "b"), 0.0, 1.0, 9)).eval()
    model = load_checkpoint(save(tmp_path / "ensemble.pt", ensemble)).build_model()
    batch = to_batch(real_features()[:2])
    with torch.no_grad():
        assert torch.equal(model(batch).uncertainty, ensemble(batch).uncertainty)


def test_a_model_alone_is_stored_as_before_ensembles(tmp_path: Path) -> None:
    content = torch.load(save(tmp_path / "model.pt", perturbed()), weights_only=True)
    assert "ensemble" not in content["description"]
    assert not [name for name in content["state"] if name.startswith("members.")]
    assert load_checkpoint(tmp_path / "model.pt").ensemble is None


def test_an_ensemble_that_lacks_a_member_is_refused(tmp_path: Path) -> None:
    two = Ensemble([perturbed(SMALL, seed=seed) for seed in range(2)], RULE)
    with pytest.raises(CheckpointError, match=r"members\.2\..* has shape missing"):
        save(tmp_path / "ensemble.pt", two)
    assert not list(tmp_path.iterdir())
