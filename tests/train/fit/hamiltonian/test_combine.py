"""Members that belong together become one checkpoint, with an uncertainty fitted to what all held out; others are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

from bandrt.cli import run
from bandrt.crystal import Crystal
from bandrt.errors import BandrtError, UsageError
from bandrt.manifest import TrainingDomain
from bandrt.recipe import Recipe
from bandrt_train.data.dataset import Refusal, SplitRule
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.hamiltonian.cases import read_cases
from bandrt_train.evaluation.hamiltonian.scores import score
from bandrt_train.fit.combine import EnsembleError
from bandrt_train.fit.hamiltonian.combine import HamiltonianEnsembleResult, build_hamiltonian_ensemble
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian, save_hamiltonian
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from tests.support.small_hamiltonians import FCC, document_of, document_text, small_model

HELD = HeldOut(SplitRule(0, 0.0, 0.7))
DOMAIN = TrainingDomain(n_crystals=7, elements=("Na", "Cl"), max_atoms=2, metrics={"validation/counted_mae_ev": 1.0})
SALTS = [(c, a) for c in (3, 11, 19, 12) for a in (9, 17, 8)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rock salts, and one document that cannot be used."""
    teacher, places = small_model(7), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    crystals = [Crystal(5.2 * FCC, np.array(pair, np.int32), places) for pair in SALTS]
    lines = [document_text(document_of(teacher, one, name=one.formula)) for one in crystals]
    file = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    file.write_text("\n".join([*lines, "{}"]), encoding="utf-8")
    return file


def member(path: Path, seed: int, *, held_out: HeldOut = HELD, training: TrainingDomain = DOMAIN) -> Path:
    save_hamiltonian(path, model=small_model(seed).float(), held_out=held_out, training=training)
    return path


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("members")
    return [member(folder / f"{seed}.pt", seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def built(members: list[Path], labels: Path, tmp_path_factory: pytest.TempPathFactory) -> HamiltonianEnsembleResult:
    return build_hamiltonian_ensemble(members, [labels], tmp_path_factory.mktemp("ensemble") / "ensemble.pt")


def test_the_uncertainty_is_the_line_of_least_squares_with_nothing_below_zero(
    members: list[Path], labels: Path, built: HamiltonianEnsembleResult
) -> None:
    rule, checkpoint = built.ensemble, load_hamiltonian(built.checkpoint)
    assert checkpoint.ensemble == rule
    assert rule.members == tuple(load_hamiltonian(path).sha256 for path in members)
    cases = [one for one in read_cases([labels], Recipe()) if not isinstance(one, Refusal) and HELD.split(one.formula) == "test"]
    assert rule.n_crystals == len(cases) == len(built.scored.cases) < len(SALTS)
    scored, _ = score([checkpoint], cases)
    np.testing.assert_allclose(scored.expected_ev, built.scored.expected_ev, rtol=1e-5)
    spread = (scored.expected_ev - rule.floor_ev) / rule.slope if rule.slope else np.zeros(len(cases))
    expected, _ = nnls(np.stack([np.ones(len(cases)), spread], axis=1), scored.errors.energy_ev)
    assert (rule.floor_ev, rule.slope) == pytest.approx(tuple(expected), rel=1e-3, abs=1e-4)
    assert built.calibration.found_ev == pytest.approx(float(scored.errors.energy_ev.mean()), rel=1e-5)


def test_the_checkpoint_holds_all_members_and_what_they_held_out(members: list[Path], built: HamiltonianEnsembleResult) -> None:
    checkpoint = load_hamiltonian(built.checkpoint)
    model = checkpoint.build_model()
    assert isinstance(model, LearnedHamiltonianEnsemble)
    assert not model.training
    assert checkpoint.held_out == HELD
    assert dataclasses.replace(checkpoint.training, metrics={}) == dataclasses.replace(DOMAIN, metrics={})
    assert checkpoint.metrics == checkpoint.training.metrics
    assert checkpoint.metrics["validation/energy_mae_ev"] == pytest.approx(float(built.scored.errors.energy_ev.mean()))
    assert [one.code for one in built.refusals] == ["malformed"]


def test_it_is_scored_as_one_model(built: HamiltonianEnsembleResult, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "hamiltonian", "score", str(built.checkpoint), "--labels", str(labels), "--json", "-q"]) == 0
    said = capsys.readouterr().out
    assert f'"uncertainty_ev": {round(float(built.scored.expected_ev[0]), 4)}' in said


def refused(code: str, paths: list[Path], labels: Path, kind: type[BandrtError] = EnsembleError, **options: Any) -> str:
    output = paths[0].parent / "refused.pt"
    with pytest.raises(kind) as caught:
        build_hamiltonian_ensemble(paths, [labels], output, **options)
    assert caught.value.code == code
    assert not output.exists()
    return caught.value.message


def test_checkpoints_that_are_no_members_of_one_ensemble_are_refused(
    members: list[Path], labels: Path, built: HamiltonianEnsembleResult, tmp_path: Path
) -> None:
    first, other = members[0], tmp_path / "other.pt"
    refused("too-few-members", [first], labels, UsageError)
    assert str(built.checkpoint) in refused("nested-ensemble", [first, built.checkpoint], labels)
    assert "different seeds" in refused("same-member", [first, member(other, 0)], labels)
    fold = HeldOut(fold=FoldRule(5, 0))
    assert "held_out" in refused("other-data", [first, member(other, 1, held_out=fold)], labels)
    trained = dataclasses.replace(DOMAIN, data_sha256="beef")
    assert "training.data_sha256 is 'beef'" in refused("other-data", [first, member(other, 1, training=trained)], labels)
    save_hamiltonian(other, model=LearnedHamiltonian(HamiltonianConfig(width=4)), held_out=HELD, training=DOMAIN)
    assert "model." in refused("other-model", [first, other], labels)


def test_too_few_crystals_to_fit_to_are_an_error(members: list[Path], labels: Path, tmp_path: Path) -> None:
    refused("empty-split", members, labels, EvaluationError, splits=("validation",))
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(labels.read_text(encoding="utf-8").splitlines()[:5]), encoding="utf-8")
    assert "5 or more" in refused("too-few-crystals", members, few)


@pytest.fixture(scope="module")
def judge(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble that learned what the members held out, and held out what they learned."""
    folder, others = tmp_path_factory.mktemp("judge"), HeldOut(SplitRule(0, 0.0, 0.99))
    paths = [member(folder / f"{seed}.pt", seed, held_out=others) for seed in (4, 5)]
    return build_hamiltonian_ensemble(paths, [labels], folder / "judge.pt").checkpoint


def test_judges_fit_the_uncertainty_on_other_formulas_than_those_it_is_tested_on(judge: Path, labels: Path, tmp_path: Path) -> None:
    few = HeldOut(SplitRule(0, 0.0, 0.25))
    paths = [member(tmp_path / f"{seed}.pt", seed, held_out=few) for seed in (0, 1)]
    found = build_hamiltonian_ensemble(paths, [labels], tmp_path / "judged.pt", judges=[judge])
    cases = [one for one in read_cases([labels], Recipe()) if not isinstance(one, Refusal)]
    learned = [one for one in cases if few.split(one.formula) == "train"]
    assert found.ensemble.n_crystals == len(learned)
    assert {one.formula for one in found.scored.cases}.isdisjoint(one.formula for one in learned)
    fitted = load_hamiltonian(judge)
    assert fitted.ensemble is not None
    assert fitted.ensemble.slope > 0.0
    scored, _ = score([fitted], learned)
    spread = (scored.expected_ev - fitted.ensemble.floor_ev) / fitted.ensemble.slope
    expected, _ = nnls(np.stack([np.ones(len(learned)), spread], axis=1), scored.errors.energy_ev)
    assert (found.ensemble.floor_ev, found.ensemble.slope) == pytest.approx(tuple(expected), rel=1e-3, abs=1e-4)
    assert load_hamiltonian(found.checkpoint).ensemble == found.ensemble
    own, _ = score([load_hamiltonian(found.checkpoint)], cases)
    np.testing.assert_allclose(found.scored.expected_ev, own.expected_ev, rtol=1e-5)


def test_judges_of_another_kind_are_refused(members: list[Path], judge: Path, labels: Path, tmp_path: Path) -> None:
    assert "is 1, and 2" in refused("other-ensemble", members, labels, judges=[members[0]])
    assert "is 2, and 3" in refused("other-ensemble", [*members, member(tmp_path / "2.pt", 2)], labels, judges=[judge])


def test_the_command_says_what_came_of_it(
    members: list[Path], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ensemble.pt"
    command = ["train", "hamiltonian", "ensemble", *map(str, members), "--labels", str(labels), "-o", str(out), "-q"]
    assert run(command) == 0
    said = capsys.readouterr()
    assert "times the disagreement, fitted to" in said.out
    assert "left out [malformed]" in said.err
    assert load_hamiltonian(out).ensemble is not None
    assert run(command) == 2
    assert "output-exists" in capsys.readouterr().err
    assert run(["train", "hamiltonian", "ensemble", str(members[0]), "--labels", str(labels), "-o", str(tmp_path / "one.pt")]) == 2
