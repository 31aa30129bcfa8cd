"""The configuration of a training run of a learned Hamiltonian."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bandrt.arguments import checked_number, checked_whole
from bandrt.errors import ManifestError
from bandrt.typed_values import from_mapping
from bandrt_train.data.dataset import SplitRule
from bandrt_train.data.hamiltonian.bands import BandChoice
from bandrt_train.fit.config import MAX_SEED, MOST, FitError, OptimizerConfig, toml_values
from bandrt_train.model.hamiltonian.config import HamiltonianConfig


@dataclass(frozen=True)
class LossConfig:
    """How bands are compared."""

    n_kpoints: int = 5
    """Of a crystal in a step, drawn anew; the band edges of insulators are always among them, metals have two more."""
    huber_ev: float = 0.3
    """Where the loss turns from square to linear; it is 1 for an error of about this size."""
    smearing_ev: float = 0.3
    """Of the Fermi function that finds the zero of metals: wide, since few k-points are seen at a time."""

    gap_weight: float = 0.3
    """What the gap of an insulator counts beside its bands, which see its edges as two energies among many."""

    def __post_init__(self) -> None:
        checked_whole("n_kpoints", self.n_kpoints, at_least=1)
        checked_number("gap_weight", self.gap_weight, at_least=0.0, at_most=100.0)
        checked_number("huber_ev", self.huber_ev, above=0.0, at_most=100.0)
        checked_number("smearing_ev", self.smearing_ev, above=0.0, at_most=10.0)


@dataclass(frozen=True)
class TightBindingConfig:
    """What is learned of cheaper labels; nothing where none are given."""

    epochs: int = 3
    """Over all of them, before anything else."""
    n_kpoints: int = 3
    """Of a crystal in a step of these first epochs."""
    max_atoms: int = 6
    """Larger crystals are left out."""
    weight: float = 0.3
    """Of their loss beside that of the labels, in the epochs that follow."""
    batch_size: int = 2
    """Crystals of them in a step of the epochs that follow."""
    share: float = 0.75
    """Of the epochs that follow: after it they are no longer learned."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("n_kpoints", 1), ("max_atoms", 1), ("batch_size", 1)):
            checked_whole(name, getattr(self, name), at_least=least)
        checked_number("weight", self.weight, at_least=0.0, at_most=MOST)
        checked_number("share", self.share, at_least=0.0, at_most=1.0)


@dataclass(frozen=True)
class KnownGapConfig:
    """What is learned of crystals of which the gap alone is known; nothing where none are given."""

    weight: float = 0.3
    """Of their loss beside that of the labels."""
    batch_size: int = 4
    """Crystals in a step."""
    n_kpoints: int = 5
    """Of a crystal in a step, beside the two where its band edges were when it was last looked at."""
    max_atoms: int = 10
    """Larger crystals are left out."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "n_kpoints", "max_atoms"):
            checked_whole(name, getattr(self, name), at_least=1)
        checked_number("weight", self.weight, at_least=0.0, at_most=MOST)


@dataclass(frozen=True)
class HamiltonianFit:
    """A training run."""

    model: HamiltonianConfig = field(default_factory=lambda: HamiltonianConfig(overlap=True))
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=3e-3, weight_decay=0.05, warmup_epochs=3.0, ema_decay=0.99)
    )
    bands: BandChoice = field(default_factory=BandChoice)
    loss: LossConfig = field(default_factory=LossConfig)
    tight_binding: TightBindingConfig = field(default_factory=TightBindingConfig)
    gaps: KnownGapConfig = field(default_factory=KnownGapConfig)
    splits: SplitRule = field(default_factory=SplitRule)
    """Formulas that are not learned; those of the validation split are watched. A fold takes its place."""
    epochs: int = 100
    """Over the labels."""
    batch_size: int = 6
    """Crystals in a step."""
    seed: int = 0
    """Of the first weights, the order of crystals, k-points and dropout."""

    def __post_init__(self) -> None:
        checked_whole("epochs", self.epochs, at_least=1)
        checked_whole("batch_size", self.batch_size, at_least=1)
        checked_whole("seed", self.seed, at_least=0, at_most=MAX_SEED)


def read_hamiltonian_config(path: Path) -> HamiltonianFit:
    """Read a TOML configuration; keys left out keep their defaults, unknown keys are errors.

    Raises:
        NotFoundError: ``file-not-found``.
        FitError: ``config-invalid`` for text that is not TOML, an unknown key, a value that is not allowed, or another variant.
    """
    values = toml_values(path)
    model = values.get("model")
    variant = model.get("variant", "paper") if isinstance(model, dict) else "paper"
    if variant != "hamiltonian":
        raise FitError("config-invalid", f"{path}: model.variant is {variant!r}, which is trained by: bandrt train fit")
    try:
        return from_mapping(HamiltonianFit, values, name=str(path))
    except ManifestError as error:
        raise FitError("config-invalid", error.message) from error
