"""From trained members to one checkpoint of a learned Hamiltonian, and how far to trust it, found on formulas not learned.

Those that the members held out; or those that ensembles of the same kind held out, one for each fold, which are many more.
"""

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
        scored: errors on the crystals of formulas that the members held out, with what is expected of each.
        calibration: expected beside made errors on these; the uncertainty was fitted to them where no `judges` were given, and to
            none of them where they were.
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
    judges: Sequence[Path] = (),
    splits: Sequence[Split] = HELD_OUT,
    progress: Callable[[int], None] = lambda n: None,
) -> HamiltonianEnsembleResult:
    """Make one checkpoint of several, with an uncertainty fitted to the errors of its bands (see `nearest_line`).

    Args:
        paths: checkpoints of one configuration that were trained on the same data and held out the same formulas, two or more.
        labels: band structures, those of formulas that were held out among them.
        output: the checkpoint to write.
        judges: ensembles of as many members of the same configuration, which held out other formulas: the uncertainty is fitted to
            their errors on what they held out and these members learned, and tested on what these held out.
        splits: of which the formulas are that these members held out.
        progress: told after every crystal how many there were.

    Raises:
        UsageError: ``too-few-members``.
        EnsembleError: ``nested-ensemble``, ``same-member``, ``other-model``, ``other-data``, ``other-ensemble`` or
            ``too-few-crystals``.
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
    models = [_alone(member) for member in members]
    together = _unfitted(dataclasses.replace(first, ensemble=EnsembleRule(_checksums(members), 0.0, 1.0, 0)), models)
    refusals: list[Refusal] = []
    cases = usable_cases(labels, Recipe(), refusals, wanted=lambda formula: first.held_out.split(formula) in splits)
    scored, unusable = score([together], cases, splits=splits, progress=progress)
    fitted = scored
    if judges:
        others = [_judge(path, first, len(members)) for path in judges]
        further = usable_cases(labels, Recipe(), [], wanted=lambda formula: first.held_out.split(formula) not in splits)
        fitted, _ = score(others, further, progress=lambda n: progress(len(scored.cases) + n))
    known = ~np.isnan(fitted.errors.energy_ev)
    doubts, errors = fitted.expected_ev[known], fitted.errors.energy_ev[known]
    if len(errors) < MIN_CRYSTALS:
        raise EnsembleError(
            "too-few-crystals",
            f"{len(errors)} labelled crystals are of formulas that these {'judges' if judges else 'members'} held out,"
            f" {MIN_CRYSTALS} or more are needed to fit the uncertainty; give more labels",
        )
    floor_ev, slope = nearest_line(doubts, errors)
    rule = EnsembleRule(_checksums(members), floor_ev=floor_ev, slope=slope, n_crystals=len(errors))
    scored = dataclasses.replace(scored, expected_ev=floor_ev + slope * scored.expected_ev)
    found = calibration(scored.expected_ev, scored.errors.energy_ev)
    if found is None:
        raise EnsembleError("too-few-crystals", "no crystal of a formula that these members held out has bands; give more labels")
    metrics = {OWN_ERROR: float(np.nanmean(scored.errors.energy_ev)), COUNTED_ERROR: float(np.nanmean(scored.counted_ev))}
    save_hamiltonian(
        output,
        model=LearnedHamiltonianEnsemble(models, rule),
        held_out=first.held_out,
        training=dataclasses.replace(first.training, metrics=metrics),
        metrics=metrics,
    )
    return HamiltonianEnsembleResult(output, rule, scored, found, (*refusals, *unusable))


def _checksums(members: Sequence[HamiltonianCheckpoint]) -> tuple[str, ...]:
    return tuple(member.sha256 for member in members)


def _unfitted(checkpoint: HamiltonianCheckpoint, models: Sequence[LearnedHamiltonian]) -> HamiltonianCheckpoint:
    """The same ensemble, which says in the place of the error to expect how far its members disagree."""
    assert checkpoint.ensemble is not None
    rule = dataclasses.replace(checkpoint.ensemble, floor_ev=0.0, slope=1.0)
    return dataclasses.replace(checkpoint, state=LearnedHamiltonianEnsemble(models, rule).state_dict(), ensemble=rule)


def _judge(path: Path, first: HamiltonianCheckpoint, n_members: int) -> HamiltonianCheckpoint:
    """An ensemble like the one that is made, unfitted.

    Raises:
        EnsembleError: ``other-ensemble`` or ``other-model``.
    """
    judge = load_hamiltonian(path)
    model = judge.build_model()
    n_found = len(model.members) if isinstance(model, LearnedHamiltonianEnsemble) else 1
    if not isinstance(model, LearnedHamiltonianEnsemble) or n_found != n_members:
        raise EnsembleError(
            "other-ensemble", f"{path}: the number of its members is {n_found}, and {n_members} are put together here"
        )
    if (difference := unlike("model", [path, path], [first.config, judge.config])) is not None:
        raise EnsembleError("other-model", difference)
    return _unfitted(judge, model.alone())


def _alone(member: HamiltonianCheckpoint) -> LearnedHamiltonian:
    model = member.build_model()
    assert isinstance(model, LearnedHamiltonian)
    return model
