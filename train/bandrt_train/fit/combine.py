"""From trained members to one checkpoint: what makes a metal, and how far to trust a prediction, found anew on held-out crystals.

The test split is not looked at here. Where the members' weights were chosen on the validation split (``keep = "best"``), errors
there, and with them the uncertainty, are a little too small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandrt.errors import BandrtError, UsageError
from bandrt.manifest import BandRule, EnsembleRule, TrainingDomain
from bandrt.nested import differences
from bandrt_train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bandrt_train.data.dataset import Dataset
from bandrt_train.data.targets import Targets
from bandrt_train.evaluation.calibration import Calibration, calibration
from bandrt_train.evaluation.judgement import CountEntries
from bandrt_train.evaluation.metrics import (
    Evaluation,
    Floats,
    Predicted,
    choose_metal_tolerance,
    crystal_errors,
    evaluate,
    table_one,
)
from bandrt_train.evaluation.predictions import check_recipe, chunks, graph_energies
from bandrt_train.model.bandformer import Reference
from bandrt_train.model.ensemble import Ensemble, disagreement, expected_error
from bandrt_train.model.graphs import to_data

MIN_CRYSTALS = 5
"""With bands held out: fewer say nothing of an uncertainty."""


class EnsembleError(BandrtError):
    """Checkpoints that are not members of one ensemble, or data that they cannot be put together with."""


@dataclass(frozen=True)
class EnsembleResult:
    """What an ensemble came to.

    Attributes:
        checkpoint: the file.
        rule: with the metal tolerance chosen for the averaged bands.
        ensemble: how the members are put together.
        members: their errors on the validation split, each with its own tolerance.
        validation: errors of the averaged bands.
        calibration: expected beside made errors, on the crystals that the uncertainty was fitted to.
    """

    checkpoint: Path
    rule: BandRule
    ensemble: EnsembleRule
    members: tuple[Evaluation, ...]
    validation: Evaluation
    calibration: Calibration


class _Held(NamedTuple):
    """The validation split of a data set."""

    energies: NDArray[np.float32]
    """(n_members, n, n_bands, K) eV, as each member predicts them."""
    targets: list[Targets]

    @property
    def mean(self) -> NDArray[np.float32]:
        """(n, n_bands, K)."""
        return np.asarray(self.energies.mean(axis=0))


def build_ensemble(
    paths: Sequence[Path],
    dataset: Dataset,
    output: Path,
    *,
    gaps: Dataset | None = None,
    progress: CountEntries = lambda entries, n: entries,
) -> EnsembleResult:
    """Make one checkpoint of several.

    The metal tolerance is chosen on all validation splits given, the uncertainty fitted on that of `dataset` (see `nearest_line`).

    Args:
        paths: checkpoints of one configuration that were trained on the same data, two or more.
        dataset: bands that they were trained on, with the validation split that they were not.
        output: the checkpoint to write.
        gaps: a data set of gaps, split alike.
        progress: wraps the entries as they are predicted.

    Raises:
        UsageError: ``too-few-members``.
        EnsembleError: ``nested-ensemble``, ``same-member``, ``other-model``, ``other-recipe``, ``other-bands``, ``other-data``,
            ``empty-split`` or ``too-few-crystals``.
        EvaluationError: ``recipe-mismatch``.
        CheckpointError: a checkpoint cannot be read.
    """
    members = [load_checkpoint(path) for path in paths]
    check_members(paths, members)
    for code, what, values in (
        ("other-model", "model", [member.config for member in members]),
        ("other-recipe", "recipe", [member.recipe for member in members]),
        ("other-bands", "bands", [_counted(member.bands) for member in members]),
        ("other-data", "training", [what_it_saw(member.training) for member in members]),
    ):
        if (found := unlike(what, paths, values)) is not None:
            raise EnsembleError(code, found)
    _check_data(paths[0], members[0], dataset, gaps)
    models = [_alone(member) for member in members]
    bands = _predict(models, dataset, progress)
    judged = [bands] if gaps is None else [bands, _predict(models, gaps, progress)]
    rule = choose_metal_tolerance(
        np.concatenate([one.mean for one in judged]),
        [target for one in judged for target in one.targets],
        dataset.header.recipe.bands,
    )
    errors = crystal_errors(Predicted.from_energies(bands.mean, rule), bands.targets)
    combined = fit_rule([member.sha256 for member in members], bands.energies, errors.energy_ev, dataset.folder)
    expected = expected_error(torch.as_tensor(bands.energies), combined).numpy()
    reliability = calibration(expected, errors.energy_ev)
    assert reliability is not None
    validation = table_one(errors)
    first, metrics = members[0], validation.flat("validation")
    parents = {member.training.parent_sha256 for member in members}
    save_checkpoint(
        output,
        model=Ensemble(models, combined),
        config=first.config,
        recipe=first.recipe,
        bands=rule,
        training=dataclasses.replace(first.training, metrics=metrics, parent_sha256=parents.pop() if len(parents) == 1 else ""),
        metrics=metrics,
    )
    alone = tuple(evaluate(one, bands.targets, member.bands) for one, member in zip(bands.energies, members, strict=True))
    return EnsembleResult(output, rule, combined, alone, validation, reliability)


def fit_rule(members: Sequence[str], energies: NDArray[np.float32], energy_ev: Floats, folder: Path) -> EnsembleRule:
    """Fit the uncertainty to the errors of held-out crystals.

    Args:
        members: checksums of their checkpoints.
        energies: (n_members, n, n_bands, K) eV, as the members predict them.
        energy_ev: (n,) eV, mean absolute errors of their mean; NaN where there are no labels.
        folder: of the data set, for the error.

    Raises:
        EnsembleError: ``too-few-crystals``.
    """
    known = ~np.isnan(energy_ev)
    if known.sum() < MIN_CRYSTALS:
        raise EnsembleError(
            "too-few-crystals",
            f"{folder}: {known.sum()} crystals of the validation split have bands, {MIN_CRYSTALS} or more are needed to fit the"
            " uncertainty; build it with a larger share",
        )
    spread = disagreement(torch.as_tensor(energies)).double().numpy()
    floor_ev, slope = nearest_line(spread[known], energy_ev[known])
    return EnsembleRule(tuple(members), floor_ev, slope, int(known.sum()))


def nearest_line(x: Floats, y: Floats) -> tuple[float, float]:
    """The line ``a + b x`` of least squares with a and b not negative: as errors, nothing is less than zero, nor falls with doubt.

    Least squares, and not least absolute deviations, because an expected error is a mean: where a > 0, the mean of the line is that
    of y. Two parameters are what a few dozen crystals bear.

    Args:
        x: (n,), not negative.
        y: (n,), not negative.

    Returns:
        a and b.
    """
    deviation = x - x.mean()
    variance = float(deviation @ deviation)
    slope = float(deviation @ y) / variance if variance > 0.0 else 0.0
    if slope <= 0.0:
        return float(y.mean()), 0.0
    floor = float(y.mean() - slope * x.mean())
    return (floor, slope) if floor >= 0.0 else (0.0, float(x @ y) / float(x @ x))


def _alone(member: Checkpoint) -> Reference:
    model = member.build_model()
    assert not isinstance(model, Ensemble)
    return model


def _predict(models: Sequence[Reference], dataset: Dataset, progress: CountEntries) -> _Held:
    indices = dataset.indices("validation")
    energies: list[NDArray[np.float32]] = []
    targets: list[Targets] = []
    for chunk in chunks(progress((dataset[i] for i in indices), len(indices))):
        graphs = [to_data(entry.features) for entry in chunk]
        energies.append(np.stack([graph_energies(model, graphs) for model in models]))
        targets += [entry.targets for entry in chunk]
    return _Held(np.concatenate(energies, axis=1), targets)


class Member(Protocol):
    """A checkpoint that may be put together with others, whatever its variant."""

    @property
    def ensemble(self) -> EnsembleRule | None:
        """None of one model alone."""

    @property
    def state(self) -> dict[str, Tensor]:
        """Parameters and buffers."""


def check_members(paths: Sequence[Path], members: Sequence[Member]) -> None:
    """Members must be several, models alone, and differ in their weights.

    Raises:
        UsageError: ``too-few-members``.
        EnsembleError: ``nested-ensemble`` or ``same-member``.
    """
    if len(members) < 2:
        raise UsageError("too-few-members", f"{len(members)} checkpoint makes no ensemble; give two or more")
    for number, (path, member) in enumerate(zip(paths, members, strict=True)):
        if member.ensemble is not None:
            raise EnsembleError("nested-ensemble", f"{path}: is an ensemble; give its members")
        for twin, other in zip(paths[:number], members[:number], strict=True):
            if member.state.keys() == other.state.keys() and all(
                torch.equal(tensor, other.state[name]) for name, tensor in member.state.items()
            ):
                raise EnsembleError("same-member", f"{path} and {twin} have the same weights; train them with different seeds")


def unlike(what: str, paths: Sequence[Path], values: Sequence[Any]) -> str | None:
    """Where members differ in a dataclass, in words; None where they are alike.

    Args:
        what: it is called.
        paths: of the members.
        values: the dataclass of each.
    """
    for path, value in zip(paths, values, strict=True):
        if found := differences(dataclasses.asdict(value), dataclasses.asdict(values[0])):
            name, here, there = min(found)
            return f"{path} and {paths[0]} are not members of one ensemble: {what}.{name} is {here!r} and {there!r}"
    return None


def _counted(rule: BandRule) -> BandRule:
    return dataclasses.replace(rule, metal_tolerance_ev=0.0)


def what_it_saw(training: TrainingDomain) -> TrainingDomain:
    """What a member was trained on; the checkpoint that it started from may have had a seed of its own."""
    return dataclasses.replace(training, metrics={}, parent_sha256="")


def _check_data(path: Path, member: Checkpoint, dataset: Dataset, gaps: Dataset | None) -> None:
    """The validation splits must be of crystals that no member was trained on."""
    own, learned = dataset.header.fingerprint, member.training.data_sha256
    if learned != own:
        raise EnsembleError(
            "other-data",
            f"{dataset.folder}: holds data {own[:12]}, but {path} was trained on {learned[:12] or 'unknown data'};"
            " only the data set of the training says what was held out",
        )
    if gaps is not None and gaps.header.recipe.splits != dataset.header.recipe.splits:
        raise EnsembleError(
            "other-data",
            f"{gaps.folder}: splits are {gaps.header.recipe.splits}, but {dataset.header.recipe.splits} in {dataset.folder};"
            " build both alike",
        )
    for one in (dataset, gaps) if gaps is not None else (dataset,):
        check_recipe(path, member.recipe, member.bands, one)
        if not one.header.counts.get("validation"):
            raise EnsembleError("empty-split", f"{one.folder}: the validation split has no crystals")
