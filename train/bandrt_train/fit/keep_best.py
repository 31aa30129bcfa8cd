"""After every epoch: judge the averaged weights on the validation split, keep the best or the last, and make the run resumable."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from bandrt.errors import OutputInTheWayError
from bandrt.files import unfinished
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.typed_values import from_mapping
from bandrt_train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, weights_sha256
from bandrt_train.data.dataset import Dataset
from bandrt_train.evaluation.metrics import Evaluation, choose_metal_tolerance, evaluate
from bandrt_train.evaluation.predictions import graph_energies
from bandrt_train.fit.config import FitConfig, FitError
from bandrt_train.fit.loader import SplitGraphs
from bandrt_train.fit.run_folder import LAST, STATE_KEY, LogRow, RunFolder
from bandrt_train.fit.step import BandFit
from bandrt_train.model.bandformer import Reference, build_model

AVERAGE = "average.module."
"""What the names of the averaged weights begin with in ``last.ckpt``."""

OnEpoch = Callable[[int, LogRow], None]
"""Told after every epoch: its number from 1, and its row of the log. A resumed run first tells what was done before."""

OnStep = Callable[[float], None]
"""Told after every step: how many epochs are done, the running one by its share."""


class Best(NamedTuple):
    """The best weights so far, or the last where the last are kept; they are in ``checkpoint.pt``."""

    epoch: int
    evaluation: Evaluation
    rule: BandRule
    """With the metal tolerance chosen on the validation split."""
    weights_sha256: str
    """See `bandrt_train.checkpoint.weights_sha256`; "" in a run that an earlier version began."""


class KeepBest(Callback):
    """Validate, log, keep the best weights and the last state, stop when nothing gets better.

    The first device judges; what it finds is told to the others, so that all stop or fail together.
    """

    state_key = STATE_KEY

    def __init__(
        self, dataset: Dataset, config: FitConfig, domain: TrainingDomain, folder: RunFolder, progress: OnEpoch, steps: OnStep
    ) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.steps = steps
        self.recipe = dataset.header.recipe
        self.domain = domain
        self.graphs = SplitGraphs(dataset, "validation")
        self.targets = [dataset[i].targets for i in self.graphs.indices]
        self.rows: list[LogRow] = []
        self.best: Best | None = None

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        epoch = len(self.rows)
        return epoch >= self.config.epochs or (self.best is not None and epoch - self.best.epoch >= self.config.patience)

    def state_dict(self) -> dict[str, Any]:
        """What ``last.ckpt`` holds of this callback, in plain values."""
        assert self.best is not None
        best = {
            "epoch": self.best.epoch,
            "evaluation": self.best.evaluation.as_dict(),
            "rule": dataclasses.asdict(self.best.rule),
            "weights_sha256": self.best.weights_sha256,
        }
        return {"identity": json.dumps(dataclasses.asdict(self.folder.identity)), "rows": self.rows, "best": json.dumps(best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        best, name = json.loads(state_dict["best"]), str(self.folder.last)
        evaluation = from_mapping(Evaluation, best["evaluation"], name=name)
        rule = from_mapping(BandRule, best["rule"], name=name)
        self.rows, self.best = state_dict["rows"], Best(best["epoch"], evaluation, rule, best.get("weights_sha256", ""))

    def require_best(self) -> None:
        """Make sure that ``checkpoint.pt`` holds the weights to keep; those of the last epoch are written again if it does not.

        It may hold earlier ones of a run that was killed, and be damaged, or gone.

        Raises:
            OutputInTheWayError: ``not-resumable`` where they are those of an earlier epoch, which are nowhere else.
        """
        assert self.best is not None
        best, path = self.best, self.folder.checkpoint
        try:
            if best.weights_sha256 in ("", weights_sha256(load_checkpoint(path).state)):
                return
            reason = f"{path}: holds other weights than this run kept"
        except CheckpointError as error:
            reason = error.message
        if best.epoch < len(self.rows):
            raise OutputInTheWayError(
                "not-resumable",
                f"{reason}; the best weights are those of epoch {best.epoch}, and {LAST} has those of epoch {len(self.rows)} alone;"
                " put the file back, or start again with --overwrite",
            )
        model = build_model(self.config.model)
        state = torch.load(self.folder.last, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict({name.removeprefix(AVERAGE): one for name, one in state.items() if name.startswith(AVERAGE)})
        self._save(model, best.evaluation, best.rule)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say how far the epoch is."""
        if trainer.is_global_zero:
            self.steps(len(self.rows) + (batch_idx + 1) / trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Judge, log, keep, stop."""
        assert isinstance(pl_module, BandFit)
        epoch = len(self.rows) + 1
        model = cast(Reference, pl_module.average.module)
        judged = trainer.strategy.broadcast(self._judge(model) if trainer.is_global_zero else None)
        if judged is None:
            raise FitError("diverged", f"epoch {epoch}: predictions are no finite numbers; lower optimizer.learning_rate")
        evaluation, rule = judged
        error = evaluation.total.energy_mae_ev
        assert error is not None
        if not math.isfinite(error):
            raise FitError("diverged", f"epoch {epoch}: the validation error is {error}; lower optimizer.learning_rate")
        kept = self.config.keep == "last" or self.best is None or error < (self.best.evaluation.total.energy_mae_ev or math.inf)
        if kept:
            self.best = Best(epoch, evaluation, rule, weights_sha256(model.state_dict()))
        trained = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = {"learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"])}
        self.rows.append({"epoch": float(epoch), **trained, **evaluation.flat("validation"), **rate})
        if trainer.is_global_zero:
            self.folder.write_log(self.rows)
        temporary = trainer.strategy.broadcast(self.folder.temporary())
        with unfinished.noted(temporary):
            try:
                trainer.save_checkpoint(temporary)  # every device takes part
                if trainer.is_global_zero:
                    self.folder.commit(temporary)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        if trainer.is_global_zero:
            if kept:  # after the state, which has the same weights: there is always one of both to go on from
                self._save(model, evaluation, rule)
            self.progress(epoch, self.rows[-1])
        if self.finished:
            trainer.should_stop = True

    def _judge(self, model: Reference) -> tuple[Evaluation, BandRule] | None:
        """Errors on the validation split, and the rule of metals that is best there; None of predictions that are no numbers."""
        predicted = graph_energies(model, self.graphs)
        if not np.isfinite(predicted).all():
            return None
        rule = choose_metal_tolerance(predicted, self.targets, self.recipe.bands)
        return evaluate(predicted, self.targets, rule), rule

    def choose_tolerance(self, gaps: SplitGraphs) -> None:
        """Choose the metal tolerance of the kept weights on more crystals: on a validation split of gaps, too."""
        assert self.best is not None
        kept = load_checkpoint(self.folder.checkpoint)
        model = cast(Reference, kept.build_model())
        known = [gaps.dataset[i].targets for i in gaps.indices]
        predicted = graph_energies(model, self.graphs)
        everything = np.concatenate([predicted, graph_energies(model, gaps)]), [*self.targets, *known]
        rule = choose_metal_tolerance(*everything, self.recipe.bands)
        evaluation = evaluate(predicted, self.targets, rule)
        self.best = self.best._replace(evaluation=evaluation, rule=rule)
        if rule != kept.bands:
            self._save(model, evaluation, rule)

    def _save(self, model: Reference, evaluation: Evaluation, rule: BandRule) -> None:
        metrics = evaluation.flat("validation")
        save_checkpoint(
            self.folder.checkpoint,
            model=model,
            config=self.config.model,
            recipe=self.recipe.featurization,
            bands=rule,
            training=dataclasses.replace(self.domain, metrics=metrics),
            metrics=metrics,
        )
