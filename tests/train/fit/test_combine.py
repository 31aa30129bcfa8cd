"""Members that belong together become one checkpoint, judged and calibrated on the crystals held out; others are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.optimize import nnls

from bandrt.errors import BandrtError, UsageError
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.checkpoint import load_checkpoint, save_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.data.dataset import Dataset
from bandrt_train.data.writer import DatasetWriter
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.metrics import choose_metal_tolerance, evaluate
from bandrt_train.evaluation.predictions import predict_entries
from bandrt_train.fit.combine import EnsembleError, EnsembleResult, build_ensemble, fit_rule, nearest_line
from bandrt_train.fit.run import fit
from bandrt_train.model.ensemble import Ensemble
from tests.support.small_fits import CONFIG

TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV."""


@pytest.fixture(scope="module")
def members(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two members that differ in their seeds."""
    folder = tmp_path_factory.mktemp("members")
    return [fit(dataclasses.replace(CONFIG, epochs=2, seed=seed), data, folder / str(seed)).checkpoint for seed in (0, 1)]


@pytest.fixture(scope="module")
def built(members: list[Path], data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> EnsembleResult:
    return build_ensemble(members, data, tmp_path_factory.mktemp("ensemble") / "ensemble.pt")


def changed(path: Path, output: Path, **fields: Any) -> Path:
    """Write a member again with other words."""
    member = load_checkpoint(path)
    parts = {name: getattr(member, name) for name in ("config", "recipe", "bands", "training", "metrics")}
    save_checkpoint(output, model=member.build_model(), **(parts | fields))
    return output


def test_the_checkpoint_predicts_the_mean_and_gives_the_errors_that_were_reported(
    members: list[Path], data: Dataset, built: EnsembleResult
) -> None:
    entries = data.split("validation")
    targets = [entry.targets for entry in entries]
    found = predict_entries(built.checkpoint, data, entries)
    alone = [predict_entries(path, data, entries) for path in members]
    np.testing.assert_allclose(found.energies, 0.5 * (alone[0].energies + alone[1].energies), atol=TOLERANCE_EV)
    assert found.model.rule == built.rule == choose_metal_tolerance(found.energies, targets, data.header.recipe.bands)
    evaluation = evaluate(found.energies, targets, built.rule)
    assert built.validation.total.energy_mae_ev == pytest.approx(evaluation.total.energy_mae_ev, abs=TOLERANCE_EV)
    assert found.model.training.metrics == built.validation.flat("validation")
    for one, errors in zip(alone, built.members, strict=True):
        assert one.model.training.metrics["validation/energy_mae_ev"] == pytest.approx(errors.total.energy_mae_ev, abs=TOLERANCE_EV)
        assert one.uncertainty_ev is None


def test_the_uncertainty_is_the_fitted_line_of_the_disagreement(members: list[Path], data: Dataset, built: EnsembleResult) -> None:
    entries = data.split("validation")
    one, other = (predict_entries(path, data, entries).energies.astype(np.float64) for path in members)
    spread = 0.5 * np.abs(one - other).mean(axis=(1, 2))
    uncertainty = predict_entries(built.checkpoint, data, entries).uncertainty_ev
    assert uncertainty is not None
    ensemble = built.ensemble
    np.testing.assert_allclose(uncertainty, ensemble.floor_ev + ensemble.slope * spread, atol=TOLERANCE_EV)
    labels = np.stack([entry.targets.energies for entry in entries])
    assert all(entry.targets.mask.all() for entry in entries)
    errors = np.abs(np.sort(0.5 * (one + other), axis=1) - labels).mean(axis=(1, 2))
    assert (ensemble.floor_ev, ensemble.slope) == pytest.approx(nearest_line(spread, errors), rel=1e-3)
    assert ensemble.n_crystals == len(entries) == built.calibration.n_crystals
    assert built.calibration.found_ev == pytest.approx(errors.mean(), abs=TOLERANCE_EV)
    assert built.calibration.expected_ev == pytest.approx(uncertainty.mean(), abs=TOLERANCE_EV)


def test_the_checkpoint_says_what_it_was_made_from(members: list[Path], data: Dataset, built: EnsembleResult) -> None:
    checkpoint, first = load_checkpoint(built.checkpoint), load_checkpoint(members[0])
    assert checkpoint.ensemble == built.ensemble
    assert built.ensemble.members == tuple(load_checkpoint(path).sha256 for path in members)
    assert (checkpoint.config, checkpoint.recipe) == (first.config, first.recipe)
    assert dataclasses.replace(checkpoint.training, metrics={}) == dataclasses.replace(first.training, metrics={})


def test_members_that_started_from_checkpoints_of_their_own_are_alike(members: list[Path], data: Dataset, tmp_path: Path) -> None:
    training = load_checkpoint(members[0]).training
    tuned = [
        changed(path, tmp_path / f"{seed}.pt", training=dataclasses.replace(training, parent_sha256=str(seed)))
        for seed, path in enumerate(members)
    ]
    assert load_checkpoint(build_ensemble(tuned, data, tmp_path / "e.pt").checkpoint).training.parent_sha256 == ""


def test_metals_are_told_on_the_gaps_held_out_too(members: list[Path], data: Dataset, gaps: Dataset, tmp_path: Path) -> None:
    result = build_ensemble(members, data, tmp_path / "ensemble.pt", gaps=gaps)
    both = [*data.split("validation"), *gaps.split("validation")]
    energies = predict_entries(result.checkpoint, data, both).energies
    expected = choose_metal_tolerance(energies, [entry.targets for entry in both], data.header.recipe.bands)
    assert result.rule == expected
    assert result.ensemble.n_crystals == len(data.split("validation"))  # a gap is no energy to fit the uncertainty to


def refused(code: str, paths: list[Path], data: Dataset, *, kind: type[BandrtError] = EnsembleError, **options: Any) -> str:
    output = paths[0].parent / "refused.pt"
    with pytest.raises(kind) as caught:
        build_ensemble(paths, data, output, **options)
    assert caught.value.code == code
    assert not output.exists()
    return caught.value.message


def test_checkpoints_that_are_no_members_of_one_ensemble_are_refused(
    members: list[Path], data: Dataset, built: EnsembleResult, tmp_path: Path
) -> None:
    first, second = members
    member = load_checkpoint(second)
    other = tmp_path / "other.pt"
    refused("too-few-members", [first], data, kind=UsageError)
    assert str(built.checkpoint) in refused("nested-ensemble", [first, built.checkpoint], data)
    assert "different seeds" in refused("same-member", [first, second, changed(first, other)], data)
    dropped = dataclasses.replace(member.config, dropout=0.3)
    assert "model.dropout is 0.3 and 0.0" in refused("other-model", [first, changed(second, other, config=dropped)], data)
    finer = dataclasses.replace(member.recipe, graph=dataclasses.replace(member.recipe.graph, cutoff=7.0))
    assert "recipe.graph.cutoff is 7.0" in refused("other-recipe", [first, changed(second, other, recipe=finer)], data)
    valence = dataclasses.replace(member.bands, n_valence=2, metal_tolerance_ev=0.3)
    assert "bands.n_valence is 2 and 3" in refused("other-bands", [first, changed(second, other, bands=valence)], data)
    trained = dataclasses.replace(member.training, gaps_sha256="beef")
    assert "training.gaps_sha256 is 'beef'" in refused("other-data", [first, changed(second, other, training=trained)], data)


def test_data_that_does_not_say_what_was_held_out_are_refused(
    members: list[Path], data: Dataset, gaps: Dataset, tmp_path: Path
) -> None:
    def written(name: str, n: int, **changes: Any) -> Dataset:
        writer = DatasetWriter(tmp_path / name, dataclasses.replace(data.header.recipe, **changes))
        for entry in list(data)[:n]:
            writer.add(entry)
        return writer.close()

    assert "holds data" in refused("other-data", members, written("fewer", len(data) - 1))
    splits = dataclasses.replace(data.header.recipe.splits, seed=5)
    assert "holds data" in refused("other-data", members, written("other shares", len(data), splits=splits))
    assert "splits are" in refused("other-data", members, data, gaps=written("dealt", len(data), splits=splits))
    coarse = written("coarse", len(data), featurization=Recipe(kpath=KpathRecipe(n_kpoints=31)))
    with pytest.raises(EvaluationError) as caught:
        build_ensemble(members, coarse, tmp_path / "ensemble.pt")
    assert caught.value.code == "recipe-mismatch"


def test_too_few_held_out_bands_say_nothing_of_an_uncertainty() -> None:
    energies = np.zeros((2, 6, 6, 4), np.float32)
    with pytest.raises(EnsembleError) as caught:
        fit_rule(["a", "b"], energies, np.array([0.1, 0.2, np.nan, 0.3, np.nan, 0.4]), Path("data"))
    assert caught.value.code == "too-few-crystals"
    rule = fit_rule(["a", "b"], energies, np.array([0.1, 0.2, 0.3, 0.3, np.nan, 0.4]), Path("data"))
    assert (rule.floor_ev, rule.slope, rule.n_crystals) == (pytest.approx(0.26), 0.0, 5)


@pytest.mark.parametrize("seed", range(12))
def test_the_line_is_the_nearest_of_those_that_neither_begin_nor_fall_below_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 1.0, 20)
    y = np.abs(rng.choice([-0.4, 0.0, 0.4]) + rng.choice([-1.0, 0.3, 1.0]) * x + rng.normal(0.0, 0.2, 20))
    expected, _ = nnls(np.stack([np.ones(20), x], axis=1), y)
    assert nearest_line(x, y) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_lines_of_these_tests_are_of_all_three_kinds() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert nearest_line(x, np.array([1.0, 3.0, 5.0, 7.0])) == pytest.approx((1.0, 2.0))
    assert nearest_line(x, np.array([4.0, 3.0, 2.0, 1.0])) == (2.5, 0.0)
    assert nearest_line(x, np.array([0.0, 0.0, 0.0, 7.0])) == pytest.approx((0.0, 1.5))


def test_an_ensemble_is_not_where_a_training_starts(data: Dataset, built: EnsembleResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose with --member which") as caught:
        fit(CONFIG, data, tmp_path / "run", start=load_checkpoint(built.checkpoint))
    assert caught.value.code == "member-missing"


def test_members_come_out_of_an_ensemble_as_they_went_in(members: list[Path], built: EnsembleResult) -> None:
    ensemble = load_checkpoint(built.checkpoint)
    for number, path in enumerate(members, start=1):
        before, after = load_checkpoint(path), ensemble.member(number)
        assert (after.sha256, after.config, after.recipe, after.ensemble) == (before.sha256, before.config, before.recipe, None)
        assert after.training.splits == before.training.splits
        weights = after.build_model().state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in before.state.items())


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_member_that_an_ensemble_has_not_is_refused(built: EnsembleResult, number: int) -> None:
    with pytest.raises(UsageError, match="members 1 to 2") as caught:
        load_checkpoint(built.checkpoint).member(number)
    assert caught.value.code == "member-unknown"


def test_one_model_has_no_members(members: list[Path]) -> None:
    with pytest.raises(UsageError, match="is one model") as caught:
        load_checkpoint(members[0]).member(1)
    assert caught.value.code == "member-unknown"


def test_a_member_is_where_a_training_starts(members: list[Path], data: Dataset, built: EnsembleResult, tmp_path: Path) -> None:
    once = dataclasses.replace(CONFIG, epochs=1)
    own = fit(once, data, tmp_path / "own", start=load_checkpoint(members[1])).checkpoint
    taken = fit(once, data, tmp_path / "taken", start=load_checkpoint(built.checkpoint).member(2)).checkpoint
    first, second = load_checkpoint(own).state, load_checkpoint(taken).state
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_command_line_builds_an_ensemble_and_judges_its_uncertainty(members: list[Path], data: Dataset, tmp_path: Path) -> None:
    def call(*arguments: Any) -> str:
        done = CliRunner().invoke(group, [str(argument) for argument in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    output = tmp_path / "ensemble.pt"
    text = call("ensemble", *members, "--data", data.folder, "-o", output, "--threads", "1")
    rule = load_checkpoint(output).ensemble
    assert isinstance(load_checkpoint(output).build_model(), Ensemble)
    assert rule is not None
    assert f"uncertainty {rule.floor_ev:.3g} eV + {rule.slope:.3g} times the disagreement, fitted to {rule.n_crystals}" in text
    assert all(str(path) in text for path in members)
    judged = json.loads(call("evaluate", output, data.folder, "--json"))["sets"][0]
    assert judged["calibration"]["n_crystals"] == rule.n_crystals
    assert judged["models"]["model"]["total"]["energy_mae_ev"] > 0.0
    alone = CliRunner().invoke(group, ["ensemble", str(members[0]), "--data", str(data.folder), "-o", str(tmp_path / "one.pt")])
    assert alone.exit_code == 2
