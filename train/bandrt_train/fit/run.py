"""Training: a data set and a configuration in, the best checkpoint and a log of the way there out, in a `RunFolder`.

The test split is not looked at here.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import AcceleratorRegistry
from torch import Tensor

from bandrt.errors import UsageError
from bandrt.files import replaced
from bandrt.manifest import BandRule
from bandrt_train.checkpoint import Checkpoint
from bandrt_train.data.dataset import Dataset, Split
from bandrt_train.data.recipes import unmet
from bandrt_train.evaluation.metrics import Evaluation, evaluate
from bandrt_train.fit.config import FitConfig, FitError, TrainerConfig
from bandrt_train.fit.keep_best import KeepBest, OnEpoch, OnStep
from bandrt_train.fit.loader import BANDS, SplitGraphs, TrainingData, TrainingStream
from bandrt_train.fit.run_folder import Identity, LogRow, RunFolder
from bandrt_train.fit.split import training_domain, training_entries, training_statistics
from bandrt_train.fit.step import BandFit
from bandrt_train.model.bandformer import Bandformer, Reference, build_model
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.decoder import DecoderLayer
from bandrt_train.model.encoder import EncoderLayer
from bandrt_train.model.variants import Config

ADDED_LATER = ("node_features.embedding.weight",)
"""Weights that a model to start from may lack: those of `ElementalOneHot` beside those of `Elemental`."""
LAYERS = ("encoder_layers", "decoder_layers")
"""Of which a model may have more than the one that it starts from."""


@dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        checkpoint: the file with the best weights.
        rule: with the metal tolerance chosen on the validation split, and on that of the gaps.
        best_epoch: the epoch whose weights were kept, from 1.
        validation: errors of the best weights on the validation split.
        baseline: errors of the training mean on the same crystals.
    """

    checkpoint: Path
    rule: BandRule
    best_epoch: int
    validation: Evaluation
    baseline: Evaluation


def silent(epoch: int, row: LogRow) -> None:
    """Progress that nobody follows."""


def silent_steps(epochs: float) -> None:
    """Steps that nobody counts."""


def fit(
    config: FitConfig,
    dataset: Dataset,
    folder: Path,
    *,
    start: Checkpoint | None = None,
    gaps: Dataset | None = None,
    teacher: Dataset | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: OnEpoch = silent,
    steps: OnStep = silent_steps,
) -> FitResult:
    """Train a model.

    On the CPU, the same configuration, data, machine and number of threads give the same weights, bit for bit, whether or not the
    run was interrupted and resumed. On a GPU they agree within what the order of additions leaves open.

    Args:
        config: the run.
        dataset: what to learn from, with its splits.
        folder: the run folder, new or empty, or one to resume.
        start: fine-tune the weights of this checkpoint, a model of the same configuration; from nothing without one.
        gaps: learn from the gaps of its training split too; made by the same recipe, so that its splits are the same.
        teacher: learn from the predictions in its training split too, each as sure as its engine was; made by the same recipe.
        resume: go on with the run in `folder` from the end of its last whole epoch; without one, begin it.
        overwrite: delete an earlier run in `folder`.
        progress: told after every epoch, by the first device.
        steps: told after every step, by the first device.

    Raises:
        OutputError: as `check_run_folder`.
        OutputInTheWayError: ``not-resumable`` or ``other-run``.
        FitError: ``empty-split``, ``no-labels``, ``shape-mismatch``, ``recipe-mismatch``, ``other-recipe``, ``other-model``,
            ``config-invalid``, ``device-unavailable`` or ``diverged``.
        UsageError: ``member-missing`` for an ensemble to start from.
    """
    _check_data(config, dataset)
    for more in (gaps, teacher):
        if more is not None:
            _check_alike(dataset, more)
    if start is not None:
        _check_start(config, dataset, start)
    domain = training_domain(dataset, start, gaps, teacher)
    identity = Identity.of(
        config,
        dataset.header.recipe,
        data_sha256=domain.data_sha256,
        gaps_sha256=gaps.header.fingerprint if gaps else "",
        parent_sha256=domain.parent_sha256,
        teacher_sha256=teacher.header.fingerprint if teacher else "",
        order_sha256=" ".join(one.order_sha256 for one in (dataset, gaps, teacher) if one is not None),
    )
    run = RunFolder(folder, identity)
    keeper = KeepBest(dataset, config, domain, run, progress, steps)
    statistics = training_statistics(entry.targets for entry in training_entries(dataset))
    streams = {BANDS: TrainingStream(dataset, config.batch_size)}
    if gaps is not None:
        streams["gaps"] = TrainingStream(gaps, config.gaps.batch_size)
    if teacher is not None:
        streams["teacher"] = TrainingStream(teacher, config.teacher.batch_size)
    normalised = config.model.variant == "released"  # by its batch, which is therefore not taken apart
    workers = config.trainer.loader_workers
    data = TrainingData(streams, seed=config.seed, loader_workers=workers, in_slices=not normalised)
    with _quiet():
        trainer = _trainer(config, keeper)
        data.check(trainer.world_size)
        if trainer.is_global_zero:  # the others are started when the folder is there
            run.check(resume=resume, overwrite=overwrite)
            run.start(config)
        if run.last.exists():
            keeper.load_state_dict(run.state())
            if trainer.is_global_zero:
                keeper.require_best()
                for epoch, row in enumerate(keeper.rows, 1):
                    progress(epoch, row)
        if not keeper.finished:
            lightning.seed_everything(config.seed, verbose=False)
            module = BandFit(config, initial_model(config.model, statistics, start), dataset.header.recipe.bands.n_valence)
            _train(trainer, module, data, run)
        if gaps is not None and gaps.header.counts["validation"] and trainer.is_global_zero:
            keeper.choose_tolerance(SplitGraphs(gaps, "validation"))
    assert keeper.best is not None
    best = keeper.best
    mean = np.broadcast_to(statistics[0].numpy()[None, :, None], (len(keeper.targets), *keeper.targets[0].energies.shape))
    result = FitResult(run.checkpoint, best.rule, best.epoch, best.evaluation, evaluate(mean, keeper.targets, best.rule))
    if trainer.is_global_zero:
        _write_summary(result, folder)
    return result


def _trainer(config: FitConfig, keeper: KeepBest) -> lightning.Trainer:
    """Make the trainer that a configuration asks for.

    Raises:
        FitError: ``device-unavailable``, or ``config-invalid`` for what Lightning does not know or cannot combine.
    """
    try:
        return _lightning_trainer(config, keeper)
    except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
        raise _no_trainer(config.trainer, str(error)) from error


def _no_trainer(choice: TrainerConfig, reason: str) -> FitError:
    """Why there is no such trainer, with the setting that is at fault where that can be told."""
    kinds = ("cuda", "mps") if choice.accelerator == "gpu" else (choice.accelerator,)
    known = [AcceleratorRegistry[kind]["accelerator"] for kind in kinds if kind in AcceleratorRegistry]
    if not known and choice.accelerator != "auto":
        allowed = ", ".join(["auto", "gpu", *sorted(AcceleratorRegistry.available_accelerators())])
        return FitError("config-invalid", f"trainer.accelerator is {choice.accelerator!r}, allowed: {allowed}")
    if known and not any(kind.is_available() for kind in known):
        said = f"trainer.accelerator is {choice.accelerator!r}, and this machine has none that can be used ({reason})"
        return FitError("device-unavailable", f"{said}; set it to 'cpu' or 'auto'")
    if choice.accelerator in ("auto", "cpu") and choice.devices == -1 and not torch.accelerator.is_available():
        return FitError(
            "config-invalid", f"trainer.devices is -1, and processes on the CPU must be counted ({reason}); set it to 1 or more"
        )
    if choice.accelerator != "cpu" and choice.devices > (n_devices := torch.accelerator.device_count()) > 0:
        return FitError(
            "device-unavailable", f"trainer.devices is {choice.devices}, this machine has {n_devices}; set it to that or -1"
        )
    return FitError(
        "config-invalid",
        f"trainer.strategy is {choice.strategy!r}, trainer.accelerator {choice.accelerator!r}, trainer.devices {choice.devices}:"
        f" {reason}",
    )


def _lightning_trainer(config: FitConfig, keeper: KeepBest) -> lightning.Trainer:
    choice = config.trainer
    return lightning.Trainer(
        accelerator=choice.accelerator,
        devices=choice.devices,
        num_nodes=choice.num_nodes,
        strategy=choice.strategy,
        precision=choice.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.optimizer.gradient_clip,
        callbacks=[keeper],
        use_distributed_sampler=False,  # `EpochSampler` is one
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=choice.accelerator == "cpu" or not torch.accelerator.is_available(),
    )


def _train(trainer: lightning.Trainer, module: BandFit, data: TrainingData, run: RunFolder) -> None:
    """Train to the end, from the last whole epoch if there is one."""
    start = str(run.last) if run.last.exists() else None
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, data, ckpt_path=start, weights_only=True if start else None)
    except SystemExit as stop:  # what Lightning makes of an interrupt
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from stop


def _write_summary(result: FitResult, folder: Path) -> None:
    summary = {
        "best_epoch": result.best_epoch,
        "bands": dataclasses.asdict(result.rule),
        "model": result.validation.as_dict(),
        "training mean": result.baseline.as_dict(),
    }
    with replaced(folder / "validation.json") as file:
        json.dump(summary, file, indent=1)


def _check_data(config: FitConfig, dataset: Dataset) -> None:
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        if not dataset.header.counts.get(split):
            raise FitError("empty-split", f"{dataset.folder}: the {split} split has no crystals; add data or change the shares")
        if not any(dataset[i].targets.mask.any() for i in dataset.indices(split)):
            raise FitError("no-labels", f"{dataset.folder}: the {split} split labels no bands; give gaps alone beside bands")
    recipe = dataset.header.recipe
    if missing := unmet(config.model, recipe.featurization):
        raise FitError(
            "recipe-mismatch",
            f"the {config.model.variant} model needs {missing}, and the data set {dataset.folder} is not made so;"
            f" make one with: bandrt train dataset --variant {config.model.variant}",
        )
    for name, wanted, found in (
        ("n_bands", config.model.n_bands, recipe.bands.n_bands),
        ("n_kpoints", config.model.n_kpoints, recipe.featurization.kpath.n_kpoints),
    ):
        if wanted != found:
            raise FitError("shape-mismatch", f"the model has {name} = {wanted}, the data set {dataset.folder} {found}")


def _check_alike(dataset: Dataset, more: Dataset) -> None:
    """What is learned beside the labels lies on the same k-points, and is of no formula that is held out."""
    own, other = dataset.header.recipe, more.header.recipe
    for name in ("featurization", "bands", "splits"):
        if getattr(own, name) != getattr(other, name):
            raise FitError(
                "other-recipe",
                f"{more.folder}: {name} is {getattr(other, name)}, but {getattr(own, name)} in {dataset.folder}; build both alike",
            )
    if not more.header.counts.get("train"):
        raise FitError("empty-split", f"{more.folder}: the train split has no crystals")


def _check_start(config: FitConfig, dataset: Dataset, start: Checkpoint) -> None:
    """The weights must fit and mean the same; dropout is free, and so are the k-points where no weight depends on them.

    A model whose atoms start from a table of properties may be given a vector for each element beside it, which starts at zero. And
    it may be given more layers, which add nothing at first.
    """
    if start.ensemble is not None:
        raise UsageError(
            "member-missing",
            f"the checkpoint to start from is an ensemble of {len(start.ensemble.members)}, whose members are trained one by one;"
            " choose with --member which of them to start from, and make a new ensemble in the end",
        )
    wanted, found = dataclasses.asdict(config.model), dataclasses.asdict(start.config)
    if wanted["variant"] != found["variant"]:
        raise FitError(
            "other-model",
            f"model.variant is {wanted['variant']!r}, but {found['variant']!r} in the checkpoint to start from; set it to that,"
            f" and make the data set with: bandrt train dataset --variant {found['variant']}",
        )
    free = {"dropout", "n_kpoints", "kpoint_stride"}
    if (found.get("node_features"), wanted.get("node_features")) == ("elemental", "elemental_one_hot"):
        free.add("node_features")
    if isinstance(config.model, ModelConfig):
        free |= {name for name in LAYERS if wanted[name] > found[name]}
    differing = [name for name in wanted if name not in free and wanted[name] != found[name]]
    if differing:
        what = "; ".join(f"model.{name} is {wanted[name]!r}, but {found[name]!r}" for name in differing)
        raise FitError("other-model", f"{what} in the checkpoint to start from")
    dealt, before = dataset.header.recipe.splits.said, start.training.splits
    if before not in (None, dealt):
        raise FitError(
            "other-recipe",
            f"the checkpoint to start from was trained with other splits ({before}) than the data set {dataset.folder} has"
            f" ({dealt}), so that it may have learned formulas that are held out here; build the data set with its --seed,"
            " --validation and --test",
        )
    own, other = dataset.header.recipe.featurization, start.recipe
    for name, here, there in (("graph", own.graph, other.graph), ("frame", own.kpath.frame, other.kpath.frame)):
        if here != there:
            raise FitError(
                "other-recipe",
                f"the checkpoint to start from was trained with {name} {there}, the data set {dataset.folder} was made with {here}",
            )
    try:
        initial_model(config.model, None, start)
    except RuntimeError as error:
        raise FitError("other-model", f"the weights of the checkpoint to start from do not fit this model: {error}") from error


def initial_model(config: Config, statistics: tuple[Tensor, Tensor, Tensor] | None, start: Checkpoint | None) -> Reference:
    """The model of the checkpoint to go on from, or a fresh one.

    A fresh one knows the statistics of the labels, but for ``released``, which has no place for them. What the model of the
    checkpoint has not, vectors of elements and further layers, is as in a fresh one, and such layers add nothing.
    """
    model = build_model(config)
    if start is not None:
        new = _silent_layers(model, start.config) if isinstance(model, Bandformer) else {}
        fresh = model.state_dict()
        new |= {name: fresh[name] for name in ADDED_LATER if name in fresh and name not in start.state}
        model.load_state_dict(start.state | new)
    elif isinstance(model, Bandformer) and statistics is not None:
        model.heads.set_statistics(*statistics)
    return model


def _silent_layers(model: Bandformer, before: Config) -> dict[str, Tensor]:
    """Silence the layers that a model has beyond those of an earlier configuration, and give their weights, by name."""
    assert isinstance(before, ModelConfig)
    found: dict[str, Tensor] = {}
    for name, layers, first in (
        ("encoder", model.encoder.layers, before.encoder_layers),
        ("decoder", model.decoder.layers, before.decoder_layers),
    ):
        for place in range(first, len(layers)):
            layer = layers[place]
            assert isinstance(layer, EncoderLayer | DecoderLayer)
            layer.silence()
            found |= {f"{name}.layers.{place}.{key}": value for key, value in layer.state_dict().items()}
    return found


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
