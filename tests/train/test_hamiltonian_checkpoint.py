"""Checkpoints of learned Hamiltonians: whole on the way back, and refused where bands of another model are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bandrt.manifest import EnsembleRule, Fold, TrainingDomain
from bandrt_train.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from bandrt_train.data.dataset import SplitRule
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
from bandrt_train.hamiltonian_checkpoint import HamiltonianCheckpoint, load_any_checkpoint, load_hamiltonian, save_hamiltonian
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.weights import SHIPPED_CHECKPOINTS
from tests.support.small_hamiltonians import SMALL

HELD_OUT = HeldOut(SplitRule(3, 0.2, 0.1), FoldRule(5, 2))
DOMAIN = TrainingDomain(n_crystals=7, elements=("Na", "Cl"), max_atoms=2, fold=Fold(5, 2))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_hamiltonian(
        tmp_path / "c.pt",
        model=LearnedHamiltonian(SMALL),
        held_out=HELD_OUT,
        training=DOMAIN,
        metrics={"validation/counted_mae_ev": 0.5},
    )
    return tmp_path / "c.pt"


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = LearnedHamiltonian(SMALL)
    sha256 = save_hamiltonian(tmp_path / "c.pt", model=model, held_out=HELD_OUT, training=DOMAIN)
    read = load_hamiltonian(tmp_path / "c.pt")
    assert (read.config, read.held_out, read.training, read.sha256) == (SMALL, HELD_OUT, DOMAIN, sha256)
    built = read.build_model()
    assert not built.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in built.state_dict().items())


def test_files_of_before_folds_were_said_of_the_training_say_them_too(tmp_path: Path) -> None:
    before = replace(DOMAIN, fold=None)
    save_hamiltonian(tmp_path / "c.pt", model=LearnedHamiltonian(SMALL), held_out=HELD_OUT, training=before)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    describe(content, '"fold": null, ', "")
    torch.save(content, tmp_path / "c.pt")
    assert load_hamiltonian(tmp_path / "c.pt").training == DOMAIN
    save_hamiltonian(tmp_path / "s.pt", model=LearnedHamiltonian(SMALL), held_out=HeldOut(HELD_OUT.splits), training=before)
    assert load_hamiltonian(tmp_path / "s.pt").training == before


def test_models_of_six_bands_are_not_made_of_it(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(checkpoint)
    assert refused.value.code == "hamiltonian-checkpoint"


def test_an_ensemble_comes_back_whole(tmp_path: Path) -> None:
    rule = EnsembleRule(("a", "b"), floor_ev=0.2, slope=0.5, n_crystals=8)
    model = LearnedHamiltonianEnsemble([LearnedHamiltonian(SMALL), LearnedHamiltonian(SMALL)], rule)
    save_hamiltonian(tmp_path / "c.pt", model=model, held_out=HELD_OUT, training=DOMAIN)
    read = load_any_checkpoint(tmp_path / "c.pt")
    assert isinstance(read, HamiltonianCheckpoint)
    assert read.ensemble == rule
    built = read.build_model()
    assert not built.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in built.state_dict().items())
    assert read.bands.n_bands == 6
    assert read.recipe.graph.rule == "bonds"


def test_an_ensemble_without_members_is_none(tmp_path: Path) -> None:
    model = LearnedHamiltonianEnsemble([LearnedHamiltonian(SMALL)], EnsembleRule(("a",), 0.2, 0.5, 8))
    save_hamiltonian(tmp_path / "c.pt", model=model, held_out=HELD_OUT, training=DOMAIN)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    describe(content, '"members": ["a"]', '"members": []')
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="without members") as refused:
        load_hamiltonian(tmp_path / "c.pt")
    assert refused.value.code == "checkpoint-invalid"


def test_checkpoints_of_any_variant_are_read(checkpoint: Path) -> None:
    assert isinstance(load_any_checkpoint(checkpoint), HamiltonianCheckpoint)
    assert isinstance(load_any_checkpoint(SHIPPED_CHECKPOINTS["fast"]), Checkpoint)


def test_a_checkpoint_of_another_variant_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no learned Hamiltonian") as refused:
        load_hamiltonian(SHIPPED_CHECKPOINTS["fast"])
    assert refused.value.code == "checkpoint-invalid"


def describe(content: dict[str, Any], old: str, new: str) -> None:
    assert old in content["description"]
    content["description"] = content["description"].replace(old, new)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content.update(format_version=99), "checkpoint-version"),
        (lambda content: content.update(kind="other"), "checkpoint-invalid"),
        (lambda content: content["state"].pop("flat_scale"), "checkpoint-invalid"),
        (lambda content: content["state"]["flat_scale"].fill_(float("nan")), "checkpoint-invalid"),
        (
            lambda content: content.update(description=content["description"].replace('"width": 12', '"width": 13')),
            "checkpoint-invalid",
        ),
        (lambda content: content.update(description=content["description"].replace('"fold"', '"fould"')), "checkpoint-invalid"),
        (lambda content: content.pop("state"), "checkpoint-invalid"),
    ],
)
def test_a_changed_checkpoint_is_refused(checkpoint: Path, change: object, code: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert callable(change)
    change(content)
    torch.save(content, checkpoint)
    with pytest.raises(CheckpointError) as refused:
        load_hamiltonian(checkpoint)
    assert refused.value.code == code


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        load_hamiltonian(tmp_path / "none.pt")
    assert refused.value.code == "checkpoint-not-found"
