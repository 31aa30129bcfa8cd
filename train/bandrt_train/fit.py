"""Training: a data set and a configuration in, the best checkpoint and a log of the way there out.

A run folder holds ``checkpoint.pt`` (the weights with the lowest validation energy MAE so far), ``log.csv`` (one row per epoch),
``config.json`` and, at the end, ``validation.json``. The test split is not looked at here.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import RandomSampler
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from bandrt.elements import SYMBOLS
from bandrt.files import replaced
from bandrt.manifest import BandRule, TrainingDomain
from bandrt_train.checkpoint import Checkpoint, save_checkpoint
from bandrt_train.composition import elements_among
from bandrt_train.dataset import Dataset, Entry, Split
from bandrt_train.evaluation.baselines import training_mean
from bandrt_train.evaluation.metrics import Evaluation, choose_metal_tolerance, evaluate, known_energies
from bandrt_train.fit_config import FitConfig, FitError
from bandrt_train.gap_loss import gap_loss
from bandrt_train.graph_data import to_data
from bandrt_train.model import Bandformer, band_loss, build_model
from bandrt_train.predictions import graph_energies
from bandrt_train.recipes import unmet
from bandrt_train.targets import Targets

Progress = Callable[[int, dict[str, float]], None]
"""Told after every epoch: its number from 1, and its row of the log."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        checkpoint: the file with the best weights.
        rule: with the metal tolerance chosen on the validation split.
        best_epoch: from 1.
        validation: errors of the best weights on the validation split.
        baseline: errors of the training mean on the same crystals.
    """

    checkpoint: Path
    rule: BandRule
    best_epoch: int
    validation: Evaluation
    baseline: Evaluation


def labelled_graph(entry: Entry) -> Data:
    """The PyG graph of an entry with its labels: ``band_energies`` and ``energy_mask`` (1, n_bands, K), and ``band_gap`` (1,)."""
    graph = to_data(entry.features)
    graph.band_energies = torch.as_tensor(entry.targets.energies).unsqueeze(0)
    graph.energy_mask = torch.as_tensor(entry.targets.mask).unsqueeze(0)
    graph.band_gap = torch.tensor([entry.targets.band_gap], dtype=torch.float32)
    return graph


def training_statistics(training: Sequence[Targets]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and spread of the band centres and spread of the dispersions, each (n_bands,), eV."""
    labels = known_energies(training)  # (n, n_bands, K)
    centers, deviations = labels.mean(axis=-1), labels.std(axis=-1)  # (n, n_bands), of the bands that have labels
    statistics = centers.mean(axis=0), centers.std(axis=0) + 1e-3, np.sqrt((deviations**2).mean(axis=0)) + 1e-3
    mean, spread, dispersion = (torch.tensor(one.filled(0.0), dtype=torch.float32) for one in statistics)
    return mean, spread, dispersion


class TrainingGraphs(torch.utils.data.Dataset[Data]):
    """Labelled graphs of the training split, made when they are asked for: the data set may be larger than memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.indices = dataset.indices("train")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Data:
        return labelled_graph(self.dataset[self.indices[index]])


class BandFit(lightning.LightningModule):
    """The training step, its optimiser and schedule, and the moving average of the weights."""

    def __init__(self, config: FitConfig, model: Bandformer, n_valence: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.fit_config = config
        self.n_valence = n_valence
        self.steps_per_epoch = steps_per_epoch
        self.model = model
        self.average = AveragedModel(self.model, avg_fn=self._averaged)
        self.average.requires_grad_(False)

    def training_step(self, batch: dict[str, Batch], batch_index: int) -> Tensor:
        """The paper's loss on one batch of bands, and the loss of the gaps that come with it."""
        bands, gaps = batch["bands"], batch.get("gaps")
        loss = band_loss(self.model(bands), bands.band_energies, bands.energy_mask, self.fit_config.dispersion_weight)
        shown = {"train/loss": loss.total, "train/center_mae": loss.center, "train/dispersion_mae": loss.dispersion}
        total = loss.total
        if gaps is not None:
            shown["train/gap_loss"] = gap_loss(self.model(gaps).energies, gaps.band_gap, self.n_valence)
            total = total + self.fit_config.gaps.weight * shown["train/gap_loss"]
        self.log_dict(shown, on_step=False, on_epoch=True, batch_size=len(bands.kpoints))
        return total

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average towards the trained weights."""
        self.average.update_parameters(self.model)

    def configure_optimizers(self) -> Any:
        """AdamW, decaying matrices only, with warm-up and cosine."""
        choice = self.fit_config.optimizer
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": choice.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=choice.learning_rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        warmup = max(1.0, self.fit_config.optimizer.warmup_epochs * self.steps_per_epoch)
        total = self.fit_config.epochs * self.steps_per_epoch
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, total - warmup))))

    def _averaged(self, average: Tensor, current: Tensor, n_averaged: Tensor | int) -> Tensor:
        n = float(n_averaged)
        decay = min(self.fit_config.optimizer.ema_decay, (1.0 + n) / (10.0 + n))  # early weights are soon forgotten
        return average.lerp(current, 1.0 - decay)


class KeepBest(Callback):
    """After every epoch: validate the averaged weights, keep them when they are the best so far, stop when none come."""

    def __init__(self, dataset: Dataset, config: FitConfig, domain: TrainingDomain, folder: Path, progress: Progress) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.recipe = dataset.header.recipe
        self.domain = domain
        validation = dataset.split("validation")
        self.targets = [entry.targets for entry in validation]
        self.graphs = [labelled_graph(entry) for entry in validation]
        self.best_epoch = 0
        self.best: tuple[Evaluation, BandRule] | None = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate, log, keep, stop."""
        assert isinstance(pl_module, BandFit)
        model = cast(Bandformer, pl_module.average.module)
        predicted = graph_energies(model, self.graphs)
        rule = choose_metal_tolerance(predicted, self.targets, self.recipe.bands)
        evaluation = evaluate(predicted, self.targets, rule)
        epoch = trainer.current_epoch + 1
        error = evaluation.total.energy_mae_ev
        assert error is not None
        if not math.isfinite(error):
            raise FitError("diverged", f"epoch {epoch}: the validation error is {error}; lower optimizer.learning_rate")
        if self.best is None or error < (self.best[0].total.energy_mae_ev or math.inf):
            self.best, self.best_epoch = (evaluation, rule), epoch
            self._save(model, evaluation, rule)
        trained = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        row = {"epoch": float(epoch), **trained, **evaluation.flat("validation"), **rate}
        self._log(row)
        self.progress(epoch, row)
        if epoch - self.best_epoch >= self.config.patience:
            trainer.should_stop = True

    def _save(self, model: Bandformer, evaluation: Evaluation, rule: BandRule) -> None:
        metrics = evaluation.flat("validation")
        save_checkpoint(
            self.folder / "checkpoint.pt",
            model=model,
            config=self.config.model,
            recipe=self.recipe.featurization,
            bands=rule,
            training=dataclasses.replace(self.domain, metrics=metrics),
            metrics=metrics,
        )

    def _log(self, row: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})


def training_domain(
    training: Sequence[Entry], fingerprint: str, start: Checkpoint | None = None, gaps: Dataset | None = None
) -> TrainingDomain:
    """What a model trained on these crystals has seen, on these gaps, and what the checkpoint it started from had."""
    before = start.training if start else TrainingDomain()
    numbers = np.unique(np.concatenate([entry.features.atomic_numbers for entry in training]))
    learned = [gaps.records[i] for i in gaps.indices("train")] if gaps else []
    return TrainingDomain(
        n_crystals=len(training),
        elements=tuple(SYMBOLS[z] for z in numbers),
        max_atoms=max(len(entry.features.atomic_numbers) for entry in training),
        functional="; ".join(sorted({entry.method for entry in training if entry.method})),
        data_sha256=fingerprint,
        parent_sha256=start.sha256 if start else "",
        pretraining=(*before.pretraining, before.functional) if start else (),
        n_gaps=gaps.header.counts["train"] if gaps else before.n_gaps,
        gap_elements=elements_among(record["formula"] for record in learned) if gaps else before.gap_elements,
        gap_max_atoms=max(record["n_atoms"] for record in learned) if gaps else before.gap_max_atoms,
        gaps_sha256=gaps.header.fingerprint if gaps else before.gaps_sha256,
    )


def fit(
    config: FitConfig,
    dataset: Dataset,
    folder: Path,
    *,
    start: Checkpoint | None = None,
    gaps: Dataset | None = None,
    progress: Progress = lambda epoch, row: None,
) -> FitResult:
    """Train a model.

    The same configuration, data, machine and number of threads give the same weights.

    Args:
        config: the run.
        dataset: what to learn from, with its splits.
        folder: the run folder, new or empty.
        start: fine-tune the weights of this checkpoint, a model of the same configuration; from nothing without one.
        gaps: learn from the gaps of its training split too; made by the same recipe, so that its splits are the same.
        progress: told after every epoch.

    Raises:
        FitError: ``output-exists``, ``empty-split``, ``no-labels``, ``shape-mismatch``, ``recipe-mismatch``, ``other-recipe``,
            ``other-model`` or ``diverged``.
    """
    training = dataset.split("train")
    _check(config, dataset, folder)
    if gaps is not None:
        _check_gaps(dataset, gaps)
    if start is not None:
        _check_start(config, start)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1), encoding="utf-8")
    with _quiet():
        lightning.seed_everything(config.seed, verbose=False)
        shuffle = torch.Generator().manual_seed(config.seed)
        graphs = [labelled_graph(entry) for entry in training]
        loaders = {"bands": DataLoader(graphs, batch_size=config.batch_size, shuffle=True, generator=shuffle)}
        n_steps = len(loaders["bands"])
        if gaps is not None:
            loaders["gaps"] = _gap_loader(config, gaps, n_steps)
        module = BandFit(config, _initial_model(config, training, start), dataset.header.recipe.bands.n_valence, n_steps)
        domain = training_domain(training, dataset.header.fingerprint, start, gaps)
        keeper = KeepBest(dataset, config, domain, folder, progress)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=config.epochs,
            gradient_clip_val=config.optimizer.gradient_clip,
            callbacks=[keeper],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic=True,
        )
        trainer.fit(module, CombinedLoader(loaders, "min_size"))
    assert keeper.best is not None
    validation, rule = keeper.best
    mean = training_mean([entry.targets for entry in training], len(keeper.targets))
    result = FitResult(folder / "checkpoint.pt", rule, keeper.best_epoch, validation, evaluate(mean, keeper.targets, rule))
    summary = {
        "best_epoch": result.best_epoch,
        "bands": dataclasses.asdict(rule),
        "model": validation.as_dict(),
        "training mean": result.baseline.as_dict(),
    }
    with replaced(folder / "validation.json") as file:
        json.dump(summary, file, indent=1)
    return result


def _check(config: FitConfig, dataset: Dataset, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise FitError("output-exists", f"{folder}: is not empty; choose another folder or remove it")
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        if not dataset.header.counts.get(split):
            raise FitError("empty-split", f"{dataset.folder}: the {split} split has no crystals; add data or change the shares")
        if not any(dataset[i].targets.mask.any() for i in dataset.indices(split)):
            raise FitError("no-labels", f"{dataset.folder}: the {split} split labels no bands; give gaps alone beside bands")
    recipe = dataset.header.recipe
    if missing := unmet(config.model.variant, recipe.featurization):
        raise FitError(
            "recipe-mismatch",
            f"the {config.model.variant} model needs {missing}, which the data set {dataset.folder} was made without;"
            f" make one with: bandrt train dataset --variant {config.model.variant}",
        )
    for name, wanted, found in (
        ("n_bands", config.model.n_bands, recipe.bands.n_bands),
        ("n_kpoints", config.model.n_kpoints, recipe.featurization.kpath.n_kpoints),
    ):
        if wanted != found:
            raise FitError("shape-mismatch", f"the model has {name} = {wanted}, the data set {dataset.folder} {found}")


def _gap_loader(config: FitConfig, gaps: Dataset, n_steps: int) -> DataLoader:
    """As many batches as an epoch has steps, drawn without replacement until all have been drawn."""
    graphs, size = TrainingGraphs(gaps), config.gaps.batch_size
    draw = torch.Generator().manual_seed(config.seed + 1)
    return DataLoader(graphs, batch_size=size, sampler=RandomSampler(graphs, num_samples=n_steps * size, generator=draw))


def _check_gaps(dataset: Dataset, gaps: Dataset) -> None:
    """A gap must be learned on the same k-points, and from no formula that is held out."""
    own, other = dataset.header.recipe, gaps.header.recipe
    for name in ("featurization", "bands", "splits"):
        if getattr(own, name) != getattr(other, name):
            raise FitError(
                "other-recipe",
                f"{gaps.folder}: {name} is {getattr(other, name)}, but {getattr(own, name)} in {dataset.folder}; build both alike",
            )
    if not gaps.header.counts.get("train"):
        raise FitError("empty-split", f"{gaps.folder}: the train split has no crystals")


def _check_start(config: FitConfig, start: Checkpoint) -> None:
    """The weights must fit and mean the same; dropout is free, and so is the number of k-points where no weight depends on it."""
    wanted, found = dataclasses.asdict(config.model), dataclasses.asdict(start.config)
    for name in sorted(set(wanted) - {"dropout", "n_kpoints"}):
        if wanted[name] != found[name]:
            raise FitError("other-model", f"model.{name} is {wanted[name]!r}, but {found[name]!r} in the checkpoint to start from")
    try:
        build_model(config.model).load_state_dict(start.state)
    except RuntimeError as error:
        raise FitError("other-model", f"the weights of the checkpoint to start from do not fit this model: {error}") from error


def _initial_model(config: FitConfig, training: Sequence[Entry], start: Checkpoint | None) -> Bandformer:
    """A fresh model that knows the statistics of the labels, or the one to go on from."""
    model = build_model(config.model)
    if start is None:
        model.heads.set_statistics(*training_statistics([entry.targets for entry in training]))
    else:
        model.load_state_dict(start.state)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to itself: what it warns of (few loader workers, no logger) is chosen here."""
    names = ("lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
