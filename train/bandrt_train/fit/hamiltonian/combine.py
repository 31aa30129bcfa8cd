"""From trained members to one checkpoint of a learned Hamiltonian, and how far to trust it, found on formulas that all held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandrt.manifest import EnsembleRule
from bandrt.recipe import Recipe
from bandrt_train.data.dataset import Refusal, Split
from bandrt_train.evaluation.calibration import Calibration, calibration
from bandrt_train.evaluation.hamiltonian.cases import usable_cases
from bandrt_train.evaluation.hamiltonian.scores import HELD_OUT, Scored, score
from bandrt_train.fit.combine import MIN_CRYSTALS, EnsembleError, check_members, nearest_line, unlike, what_it_saw
from bandrt_train.hamiltonian_checkpoint import HamiltonianCheckpoint, load_hamiltonian, save_hamiltonian
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian

OWN_ERROR, COUNTED_ERROR = "validation/energy_mae_ev", "validation/counted_mae_ev"
"""Metrics that the checkpoint has of the crystals that the uncertainty was fitted to."""


@dataclass(frozen=True)
class HamiltonianEnsembleResult:
    """What an ensemble came to.

    Attributes:
        checkpoint: the file.
        ensemble: how the members are put together.
        scored: errors on the crystals that the uncertainty was fitted to, with what is expected of each.
        calibration: expected beside made errors on these.
        refusals: what of the labels could not be used.
    """

    checkpoint: Path
    ensemble: EnsembleRule
    scored: Scored
    calibration: Calibration
    refusals: tuple[Refusal, ...]


def build_hamiltonian_ensemble(
    paths: Sequence[Path],
    labels: Sequence[Path],
    output: Path,
    *,
    splits: Sequence[Split] = HELD_OUT,
    progress: Callable[[int], None] = lambda n: None,
) -> HamiltonianEnsembleResult:
    """Make one checkpoint of several, with an uncertainty fitted to the errors of its bands (see `nearest_line`).

    Args:
        paths: checkpoints of one configuration that were trained on the same data and held out the same formulas, two or more.
        labels: band structures, those of formulas that were held out among them.
        output: the checkpoint to write.
        splits: of which those formulas are.
        progress: told after every crystal how many there were.

    Raises:
        UsageError: ``too-few-members``.
        EnsembleError: ``nested-ensemble``, ``same-member``, ``other-model``, ``other-data`` or ``too-few-crystals``.
        EvaluationError: ``empty-split``.
        CheckpointError: a checkpoint cannot be read.
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    members = [load_hamiltonian(path) for path in paths]
    check_members(paths, members)
    for code, what, values in (
        ("other-model", "model", [member.config for member in members]),
        ("other-data", "held_out", [member.held_out for member in members]),
        ("other-data", "training", [what_it_saw(member.training) for member in members]),
    ):
        if (difference := unlike(what, paths, values)) is not None:
            raise EnsembleError(code, difference)
    first = members[0]
    unfitted = EnsembleRule(tuple(member.sha256 for member in members), floor_ev=0.0, slope=1.0, n_crystals=0)
    models = [_alone(member) for member in members]
    together = dataclasses.replace(first, state=LearnedHamiltonianEnsemble(models, unfitted).state_dict(), ensemble=unfitted)
    refusals: list[Refusal] = []
    cases = usable_cases(labels, Recipe(), refusals, wanted=lambda formula: first.held_out.split(formula) in splits)
    scored, unusable = score([together], cases, splits=splits, progress=progress)
    known = ~np.isnan(scored.errors.energy_ev)
    if known.sum() < MIN_CRYSTALS:
        raise EnsembleError(
            "too-few-crystals",
            f"{known.sum()} labelled crystals are of formulas that these members held out, {MIN_CRYSTALS} or more are needed to fit"
            " the uncertainty; give more labels",
        )
    floor_ev, slope = nearest_line(scored.expected_ev[known], scored.errors.energy_ev[known])
    rule = dataclasses.replace(unfitted, floor_ev=floor_ev, slope=slope, n_crystals=int(known.sum()))
    scored = dataclasses.replace(scored, expected_ev=floor_ev + slope * scored.expected_ev)
    found = calibration(scored.expected_ev, scored.errors.energy_ev)
    assert found is not None
    metrics = {
        OWN_ERROR: float(scored.errors.energy_ev[known].mean()),
        COUNTED_ERROR: float(np.nanmean(scored.counted_ev)),
    }
    save_hamiltonian(
        output,
        model=LearnedHamiltonianEnsemble(models, rule),
        held_out=first.held_out,
        training=dataclasses.replace(first.training, metrics=metrics),
        metrics=metrics,
    )
    return HamiltonianEnsembleResult(output, rule, scored, found, (*refusals, *unusable))


def _alone(member: HamiltonianCheckpoint) -> LearnedHamiltonian:
    model = member.build_model()
    assert isinstance(model, LearnedHamiltonian)
    return model
