"""The configuration of a training run: one TOML file, one frozen dataclass, no key that means nothing."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bandrt.arguments import check_choices, checked_number, checked_whole, not_allowed
from bandrt.errors import BandrtError, ManifestError
from bandrt.files import require_there
from bandrt.typed_values import from_mapping
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.variants import Config, read_model_config

MOST = 1e6
"""Of rates and weights: more is a slip."""
MAX_SEED = 2**32 - 1
"""As NumPy and torch take them."""


class FitError(BandrtError):
    """A training run that cannot be started or has nothing to learn from."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move."""

    learning_rate: float = 1e-3
    """Peak of the schedule."""
    weight_decay: float = 0.01
    """Of AdamW, on weight matrices only."""
    warmup_epochs: float = 5.0
    """Linear rise to the peak; after it the rate falls to zero as a cosine over the remaining epochs."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.995
    """The weights that are validated and kept are an exponential moving average of those that are trained, per step."""

    def __post_init__(self) -> None:
        checked_number("gradient_clip", self.gradient_clip, above=0.0, at_most=MOST)
        for name in ("learning_rate", "weight_decay", "warmup_epochs"):
            checked_number(name, getattr(self, name), at_least=0.0, at_most=MOST)
        if not 0.0 <= self.ema_decay < 1.0:
            raise not_allowed("ema_decay", self.ema_decay, "from 0 up to, not including, 1")


@dataclass(frozen=True)
class GapConfig:
    """What crystals add of which only the gap is known; nothing without a data set of gaps."""

    weight: float = 0.3
    """Of their loss (see `gap_loss`) beside that of the bands."""
    batch_size: int = 16
    """Crystals of them per step, drawn anew in every epoch."""

    def __post_init__(self) -> None:
        checked_number("weight", self.weight, at_least=0.0, at_most=MOST)
        checked_whole("batch_size", self.batch_size, at_least=1)


@dataclass(frozen=True)
class TeacherConfig:
    """What predictions of another engine add; nothing without a data set of them."""

    weight: float = 1.0
    """Of their loss beside that of the labels: the same loss, in which each counts what its entry says."""
    batch_size: int = 16
    """Crystals of them per step, drawn anew in every epoch."""

    def __post_init__(self) -> None:
        checked_number("weight", self.weight, at_least=0.0, at_most=MOST)
        checked_whole("batch_size", self.batch_size, at_least=1)


@dataclass(frozen=True)
class TrainerConfig:
    """Where a run happens: what Lightning's trainer is told. Nothing here but the precision says what is learned."""

    accelerator: str = "auto"
    """``cpu``, ``gpu`` or whatever Lightning knows; ``auto`` takes what the machine has."""
    devices: int = 1
    """Processes on each machine, a device each; -1 for all there are. They share the crystals of a step."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """How several devices work together, in Lightning's words, e.g. ``ddp``."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of products in training; heads, k-points and validation stay in fp32."""
    loader_workers: int = 0
    """Processes that read the data of each device, for each data set; 0 reads between the steps."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.devices != -1 and self.devices < 1:
            raise FitError("config-invalid", f"trainer.devices is {self.devices}, allowed: 1 or more, or -1 for all there are")
        if self.num_nodes < 1:
            raise FitError("config-invalid", f"trainer.num_nodes is {self.num_nodes}, allowed: 1 or more")
        if self.loader_workers < 0:
            raise FitError("config-invalid", f"trainer.loader_workers is {self.loader_workers}, allowed: 0 or more")


@dataclass(frozen=True)
class FitConfig:
    """A training run."""

    model: Config = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    gaps: GapConfig = field(default_factory=GapConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    epochs: int = 150
    """At most."""
    patience: int = 40
    """Epochs without a better validation energy MAE after which to stop, when the best weights are kept."""
    keep: Literal["best", "last"] = "best"
    """Which weights become the checkpoint: those with the lowest validation energy MAE, or those of the last epoch. Where few
    crystals validate, the lowest of many errors is luck, and what gaps teach late in a run would be thrown away."""
    batch_size: int = 16
    """Crystals per step, of all devices together."""
    dispersion_weight: float = 1.0
    """The paper's lambda: the loss is ``L1(centre) + lambda L1(dispersion)``."""
    seed: int = 0
    """Of the first weights, the order of crystals and dropout."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise FitError("config-invalid", f"{name} is {getattr(self, name)}, allowed: 1 or more")
        checked_number("dispersion_weight", self.dispersion_weight, at_least=0.0, at_most=MOST)
        checked_whole("seed", self.seed, at_least=0, at_most=MAX_SEED)


def toml_values(path: Path) -> dict[str, Any]:
    """What a TOML configuration says, as it stands there.

    Raises:
        NotFoundError: ``file-not-found``.
        FitError: ``config-invalid`` for a folder, or text that is not TOML.
    """
    if path.is_dir():
        raise FitError("config-invalid", f"{path}: is a folder; name the TOML file in it")
    try:
        return tomllib.loads(require_there(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FitError("config-invalid", f"{path}: cannot be read as TOML ({error})") from error


def read_config(path: Path) -> FitConfig:
    """Read a TOML configuration; keys left out keep their defaults, unknown keys are errors.

    Raises:
        NotFoundError: ``file-not-found``.
        FitError: ``config-invalid`` for text that is not TOML, an unknown key, or a value of the wrong kind, naming it.
        ConfigError: ``config-invalid`` for a model that cannot be.
    """
    values = toml_values(path)
    try:
        model = read_model_config(values.pop("model", {}), name=str(path))
        return replace(from_mapping(FitConfig, values, name=str(path)), model=model)
    except ManifestError as error:  # the rules of reading are the same; what mends it is not
        raise FitError("config-invalid", error.message) from error
