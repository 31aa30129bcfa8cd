"""Checkpoints of learned Hamiltonians: the file of `checkpoint`, with which formulas it has not learned in the place of a recipe.

There is no recipe in it, since the model is fed crystals and k-points, and no rule of bands, since it has all of them. Engines have
both, and they are the same for all such checkpoints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandrt.errors import BandrtError
from bandrt.files import file_sha256
from bandrt.manifest import ZERO_GAP_EV, BandRule, EnsembleRule, TrainingDomain
from bandrt.recipe import Recipe
from bandrt.typed_values import from_mapping, parsed
from bandrt_train.checkpoint import (
    Checkpoint,
    CheckpointError,
    check_state,
    is_hamiltonian,
    load_checkpoint,
    read_content,
    write_content,
)
from bandrt_train.data.hamiltonian.folds import HeldOut
from bandrt_train.data.recipes import HAMILTONIAN_RECIPE
from bandrt_train.description import require_ours
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel, LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.released.config import Conventions

METAL_TOLERANCE_EV = ZERO_GAP_EV
"""By which a band must cross zero on both sides in an engine's bands, whose zero is a Fermi level or mid-gap. What a band must
reach below it to be in the lower half of the window: with more, a band between both would be in that half, and cross nothing."""


@dataclass(frozen=True)
class _Description:
    """The JSON part of the file."""

    model: HamiltonianConfig
    held_out: HeldOut
    training: TrainingDomain
    metrics: dict[str, float] = field(default_factory=dict)
    ensemble: EnsembleRule | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values; a model alone has no word on ensembles."""
        values = dataclasses.asdict(self)
        return values if self.ensemble else {name: value for name, value in values.items() if name != "ensemble"}


@dataclass(frozen=True, eq=False)
class HamiltonianCheckpoint:
    """What a checkpoint file says.

    Attributes:
        config: the model.
        held_out: the formulas that it has not learned.
        training: what it has seen.
        metrics: figures of the run that wrote it.
        state: parameters and buffers; of an ensemble, those of all members.
        sha256: checksum of the file.
        ensemble: how the members are put together; None: one model alone.
    """

    config: HamiltonianConfig
    held_out: HeldOut
    training: TrainingDomain
    metrics: dict[str, float]
    state: dict[str, Tensor]
    sha256: str
    ensemble: EnsembleRule | None = None

    @property
    def recipe(self) -> Recipe:
        """What an engine made from it is fed."""
        return HAMILTONIAN_RECIPE

    @property
    def bands(self) -> BandRule:
        """Which bands such an engine gives."""
        return BandRule(metal_tolerance_ev=METAL_TOLERANCE_EV)

    def build_model(self) -> HamiltonianModel:
        """Make the model with these parameters, in evaluation mode."""
        model = _fresh(self.config, self.ensemble)
        model.load_state_dict(self.state, strict=True)
        return model.eval()


def save_hamiltonian(
    path: str | Path,
    *,
    model: HamiltonianModel,
    held_out: HeldOut,
    training: TrainingDomain,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Write a checkpoint under a temporary name, then move it into place.

    Returns:
        The file's sha256.

    Raises:
        CheckpointError: ``checkpoint-invalid`` for parameters that are not finite.
    """
    target = Path(path)
    state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    ensemble = model.rule if isinstance(model, LearnedHamiltonianEnsemble) else None
    check_state(_shapes(model.config, ensemble), state, target)
    description = _Description(model.config, held_out, training, dict(metrics or {}), ensemble)
    return write_content(target, description.as_dict(), state)


def load_hamiltonian(path: str | Path) -> HamiltonianCheckpoint:
    """Read and check a checkpoint; nothing in the file is executed.

    Raises:
        CheckpointError: ``checkpoint-not-found``, ``checkpoint-version`` or ``checkpoint-invalid``, also for another variant.
    """
    file = Path(path)
    content: Any = read_content(file)
    require_ours(content, file)
    if not is_hamiltonian(content):
        raise CheckpointError(
            "checkpoint-invalid", f"{file}: holds no learned Hamiltonian; evaluate it with: bandrt train evaluate"
        )
    try:
        description = from_mapping(_Description, parsed(content["description"], name=str(file)), name=str(file))
        state = content["state"]
        if description.ensemble is not None and not description.ensemble.members:
            raise ValueError("an ensemble without members")
    except (BandrtError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError("checkpoint-invalid", f"{file}: {error}") from error
    check_state(_shapes(description.model, description.ensemble), state, file)
    fold = description.held_out.fold
    return HamiltonianCheckpoint(
        description.model,
        description.held_out,
        dataclasses.replace(description.training, fold=fold.said if fold else None),  # which files of before do not say there
        description.metrics,
        state,
        file_sha256(file),
        description.ensemble,
    )


AnyCheckpoint = Checkpoint | HamiltonianCheckpoint
"""Of any variant: what an engine can be made from."""


def load_any_checkpoint(path: str | Path, *, conventions: Conventions | None = None) -> AnyCheckpoint:
    """Read and check a checkpoint of any variant.

    Args:
        path: the file.
        conventions: what a released checkpoint leaves unsaid.

    Raises:
        CheckpointError, UsageError: as `load_checkpoint`, but for ``hamiltonian-checkpoint``, and as `load_hamiltonian`.
    """
    if conventions is None and is_hamiltonian(read_content(Path(path))):
        return load_hamiltonian(path)
    return load_checkpoint(path, conventions=conventions)


def _fresh(config: HamiltonianConfig, ensemble: EnsembleRule | None) -> HamiltonianModel:
    """A freshly initialised model, or one of several members."""
    if ensemble is None:
        return LearnedHamiltonian(config)
    return LearnedHamiltonianEnsemble([LearnedHamiltonian(config) for _ in ensemble.members], ensemble)


def _shapes(config: HamiltonianConfig, ensemble: EnsembleRule | None) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # names and shapes only: no memory, no initialisation, no random number drawn
        return {name: tuple(tensor.shape) for name, tensor in _fresh(config, ensemble).state_dict().items()}
