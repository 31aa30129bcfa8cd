"""Training of a learned Hamiltonian: labels and a configuration in, a checkpoint and a log of the way there out, in a `RunFolder`.

The test split is not looked at here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bandrt.elements import SYMBOLS
from bandrt.files import replaced, unfinished
from bandrt.manifest import TrainingDomain
from bandrt_train.checkpoint import CheckpointError, weights_sha256
from bandrt_train.data.hamiltonian.bands import BandLabels, CountedBands
from bandrt_train.data.hamiltonian.folds import HeldOut
from bandrt_train.data.hamiltonian.gaps import KnownGap, gaps_sha256
from bandrt_train.fit.config import FitError
from bandrt_train.fit.hamiltonian.config import HamiltonianFit
from bandrt_train.fit.hamiltonian.loss import watched_errors
from bandrt_train.fit.hamiltonian.training import Material, Training, divide
from bandrt_train.fit.keep_best import OnEpoch, OnStep
from bandrt_train.fit.run import silent, silent_steps
from bandrt_train.fit.run_folder import STATE_KEY, VALIDATION, Identity, LogRow, RunFolder
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian, save_hamiltonian

NO_LABELS = BandLabels((), ())
WATCHED = "validation/counted_mae_ev"
"""The column of the log with the error of the watched crystals, eV."""


@dataclass(frozen=True)
class HamiltonianResult:
    """What a training run came to.

    Attributes:
        checkpoint: the file.
        n_epochs: how many there were.
        validation_ev: mean absolute error of the bands around half filling, counted by electrons, at some of the computed k-points
            of the validation split, eV; None where nothing validates.
    """

    checkpoint: Path
    n_epochs: int
    validation_ev: float | None


def fit_hamiltonian(
    config: HamiltonianFit,
    labels: BandLabels,
    folder: Path,
    *,
    held_out: HeldOut | None = None,
    tight_binding: BandLabels = NO_LABELS,
    gaps: Sequence[KnownGap] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: OnEpoch = silent,
    steps: OnStep = silent_steps,
) -> HamiltonianResult:
    """Train a learned Hamiltonian; what is kept is the moving average of the weights at the end of the last epoch.

    On the CPU, the same configuration, labels, machine and number of threads give the same weights, bit for bit, whether or not the
    run was interrupted and resumed.

    Args:
        config: the run.
        labels: bands to learn, and those of held-out formulas.
        folder: the run folder, new or empty, or one to resume.
        held_out: formulas not to learn; None takes the splits of the configuration.
        tight_binding: further bands, of a cheaper method.
        gaps: further crystals of which the gap alone is known.
        resume: go on with the run in `folder` from the end of its last whole epoch; without one, begin it.
        overwrite: delete an earlier run in `folder`.
        progress: told after every epoch.
        steps: told after every step.

    Raises:
        OutputError: as `check_run_folder`.
        OutputInTheWayError: ``not-resumable`` or ``other-run``.
        FitError: ``empty-split`` or ``diverged``.
    """
    held_out = held_out or HeldOut(config.splits)
    material = divide(labels.bands, tight_binding.bands, gaps, held_out)
    if not material.labels:
        raise FitError("empty-split", "none of the labels is of a formula to train on; add labels or change the shares")
    domain = training_domain(material, held_out)
    identity = Identity(
        {**dataclasses.asdict(config), "held_out": dataclasses.asdict(held_out)},
        f"{labels.sha256} {tight_binding.sha256}".strip(),
        gaps_sha256(tuple(gaps)),
        "",
        order_sha256=material.order_sha256,
    )
    run, training, rows = RunFolder(folder, identity), Training(config, material), list[LogRow]()
    run.check(resume=resume, overwrite=overwrite)
    run.start(config)
    if run.last.exists():
        rows = run.state()["rows"]
        training.load_state_dict(torch.load(run.last, weights_only=True)["training"])
        if not _holds(run.checkpoint, training):  # but what a killed run left, or nothing
            _save_checkpoint(run, training, rows, held_out, domain)
        for number, row in enumerate(rows, 1):
            progress(number, row)
    while len(rows) < training.n_epochs:
        done = len(rows)
        try:
            trained = training.epoch(done, lambda share, done=done: steps(done + share))  # type: ignore[misc]
            rows.append({"epoch": float(done + 1), **trained, **_watched(training, done), **_rate(training)})
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # of Hamiltonians that are no numbers
            raise _diverged(done + 1) from error
        if not all(math.isfinite(value) for value in rows[-1].values()):
            raise _diverged(done + 1)
        _save(run, training, rows, held_out, domain)
        progress(len(rows), rows[-1])
    result = HamiltonianResult(run.checkpoint, len(rows), rows[-1].get(WATCHED))
    with replaced(folder / VALIDATION) as file:
        json.dump({"epoch": result.n_epochs, "n_crystals": len(material.validation), WATCHED: result.validation_ev}, file, indent=1)
    return result


def _diverged(epoch: int) -> FitError:
    return FitError("diverged", f"epoch {epoch}: the loss or the error is no finite number; lower optimizer.learning_rate")


def training_domain(material: Material, held_out: HeldOut) -> TrainingDomain:
    """What a model trained on this, without what was held out, has seen."""
    gaps = material.gaps
    return TrainingDomain(
        n_crystals=len(material.labels),
        elements=_elements(material.labels),
        max_atoms=max(one.pairs.n_atoms for one in material.labels),
        functional=_methods(material.labels),
        data_sha256=BandLabels(material.labels, ()).sha256,
        pretraining=(_methods(material.tight_binding),) if material.tight_binding else (),
        n_gaps=len(gaps),
        gap_elements=_elements(gaps),
        gap_max_atoms=max((one.pairs.n_atoms for one in gaps), default=0),
        gaps_sha256=gaps_sha256(gaps),
        splits=None if held_out.fold else held_out.splits.said,
        fold=held_out.fold.said if held_out.fold else None,
    )


def _elements(found: Sequence[CountedBands | KnownGap]) -> tuple[str, ...]:
    return tuple(SYMBOLS[z] for z in sorted({z for one in found for z in one.pairs.atomic_numbers.tolist()}))


def _methods(found: Sequence[CountedBands]) -> str:
    return "; ".join(sorted({one.method for one in found} - {""}))


def _watched(training: Training, epoch: int) -> LogRow:
    """The error of the validation split; while tight binding alone is learned nothing is watched."""
    validation = training.material.validation
    if not validation or epoch < training.n_first:
        return {}
    return {WATCHED: float(np.nanmean(watched_errors(training.average, validation, training.config.loss)))}


def _rate(training: Training) -> LogRow:
    return {"learning_rate": float(training.optimizer.param_groups[0]["lr"])}


def _holds(checkpoint: Path, training: Training) -> bool:
    """Whether a file has the weights that are kept."""
    try:
        return weights_sha256(load_hamiltonian(checkpoint).state) == weights_sha256(training.average.state_dict())
    except CheckpointError:
        return False


def _save_checkpoint(run: RunFolder, training: Training, rows: list[LogRow], held_out: HeldOut, domain: TrainingDomain) -> None:
    metrics = {name: value for name, value in rows[-1].items() if name.startswith("validation/")}
    save_hamiltonian(
        run.checkpoint,
        model=training.average,
        held_out=held_out,
        training=dataclasses.replace(domain, metrics=metrics),
        metrics=metrics,
    )


def _save(run: RunFolder, training: Training, rows: list[LogRow], held_out: HeldOut, domain: TrainingDomain) -> None:
    """Write the checkpoint, the log, and last of all what the next epoch starts from."""
    _save_checkpoint(run, training, rows, held_out, domain)
    run.write_log(rows)
    known = {"identity": json.dumps(dataclasses.asdict(run.identity)), "rows": rows, "best": json.dumps({"epoch": len(rows)})}
    temporary = run.temporary()
    with unfinished.noted(temporary):
        try:
            torch.save({"callbacks": {STATE_KEY: known}, "training": training.state_dict()}, temporary)
            run.commit(temporary)
        finally:
            temporary.unlink(missing_ok=True)
