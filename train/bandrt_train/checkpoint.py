"""Checkpoints: a trained model with everything needed to use, export or continue it.

A checkpoint is a ``torch.save`` file of one dictionary that holds only strings, numbers and tensors, so that
``torch.load(weights_only=True)`` reads it and no file can run code. What is not a tensor is one JSON text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandrt.errors import BandrtError, UsageError
from bandrt.files import file_sha256, replaced
from bandrt.manifest import BandRule, EnsembleRule, TrainingDomain
from bandrt.recipe import Recipe
from bandrt.typed_values import from_mapping, parsed
from bandrt_train.description import FORMAT_VERSION, KIND, require_there, require_version
from bandrt_train.description import CheckpointError as CheckpointError  # which it raises
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.ensemble import Ensemble, Model
from bandrt_train.model.released.config import Conventions, SpeciesIndex
from bandrt_train.model.released.layout import is_released, read_released
from bandrt_train.model.variants import Config, read_model_config


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file says."""

    config: Config
    recipe: Recipe
    bands: BandRule
    training: TrainingDomain
    metrics: dict[str, float]
    """Figures of the run that wrote it, e.g. the validation loss of the epoch; eV unless the name says otherwise."""
    state: dict[str, Tensor]
    """Parameters and buffers of the reference model; of an ensemble, those of all members."""
    sha256: str
    """Checksum of the file."""
    ensemble: EnsembleRule | None = None
    """How the members are put together; None: one model alone."""

    def build_model(self) -> Model:
        """Make the reference model with these parameters, in evaluation mode."""
        model = _fresh(self.config, self.ensemble)
        model.load_state_dict(self.state, strict=True)
        return model.eval()

    def member(self, number: int) -> Checkpoint:
        """Take one model out of an ensemble: what its own checkpoint held, but for its figures, which an ensemble does not keep.

        Args:
            number: from 1, in the order in which the ensemble was put together.

        Raises:
            UsageError: ``member-unknown`` when there is no such member, or the checkpoint is one model.
        """
        if self.ensemble is None:
            raise UsageError(
                "member-unknown", f"the checkpoint (sha256 {self.sha256[:12]}…) is one model, not an ensemble with members"
            )
        members = self.ensemble.members
        if not 1 <= number <= len(members):
            raise UsageError("member-unknown", f"the ensemble has members 1 to {len(members)}, and not {number}")
        own = f"members.{number - 1}."
        state = {name.removeprefix(own): tensor for name, tensor in self.state.items() if name.startswith(own)}
        return dataclasses.replace(self, state=state, sha256=members[number - 1], metrics={}, ensemble=None)


@dataclass(frozen=True)
class _Description:
    """The JSON part of the file."""

    model: dict[str, Any]
    recipe: Recipe
    bands: BandRule
    training: TrainingDomain
    metrics: dict[str, float] = field(default_factory=dict)
    ensemble: EnsembleRule | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values; a model alone has no word on ensembles."""
        values = dataclasses.asdict(self)
        return values if self.ensemble else {name: value for name, value in values.items() if name != "ensemble"}


def save_checkpoint(
    path: str | Path,
    *,
    model: Model,
    config: Config,
    recipe: Recipe,
    bands: BandRule,
    training: TrainingDomain,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Write a checkpoint under a temporary name, then move it into place.

    Returns:
        The file's sha256.

    Raises:
        CheckpointError: ``checkpoint-invalid`` when the parts do not describe one model.
    """
    target = Path(path)
    ensemble = model.rule if isinstance(model, Ensemble) else None
    description = _Description(dataclasses.asdict(config), recipe, bands, training, dict(metrics or {}), ensemble)
    state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    _check_agreement(config, ensemble, recipe, bands, state, target)
    return write_content(target, description.as_dict(), state)


def load_checkpoint(path: str | Path, *, conventions: Conventions | None = None) -> Checkpoint:
    """Read and check a checkpoint, our own or one of the authors' released code; nothing in the file is executed.

    Args:
        path: the file.
        conventions: what a released checkpoint leaves unsaid; None takes the defaults. Ours say everything.

    Raises:
        CheckpointError: ``checkpoint-not-found``, ``checkpoint-invalid``, ``checkpoint-version``, or ``hamiltonian-checkpoint`` for
            one that `bandrt_train.hamiltonian_checkpoint` reads.
        UsageError: ``conventions-unused`` when conventions are given for a checkpoint that states its own.
    """
    file = Path(path)
    content = read_content(file)
    if is_released(content):
        return _released(content, conventions or Conventions(), file)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise CheckpointError(
            "checkpoint-invalid", f"{file}: a torch file, but not a {KIND}, nor one in the layout of the released code"
        )
    if conventions is not None:
        raise UsageError(
            "conventions-unused",
            f"{file}: this checkpoint says what it was trained on; edges, k-point frame, species index and k-path scheme"
            " can be chosen only for checkpoints of the released code",
        )
    require_version(content.get("format_version"), file)
    if is_hamiltonian(content):
        raise CheckpointError(
            "hamiltonian-checkpoint",
            f"{file}: holds a learned Hamiltonian, which is no model of bands on a path;"
            " score it with: bandrt train hamiltonian score",
        )
    try:
        description = from_mapping(_Description, parsed(content["description"], name=str(file)), name=str(file))
        config = read_model_config(description.model, name=str(file))
        state = content["state"]
    except (BandrtError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError("checkpoint-invalid", f"{file}: {error}") from error
    _check_agreement(config, description.ensemble, description.recipe, description.bands, state, file)
    return Checkpoint(
        config,
        description.recipe,
        description.bands,
        description.training,
        description.metrics,
        state,
        file_sha256(file),
        description.ensemble,
    )


def load_checkpoint_for(path: str | Path, recipe: Recipe, species_index: SpeciesIndex) -> Checkpoint:
    """Read a checkpoint; what one of the released code leaves unsaid is taken from what it is to be used with.

    Raises:
        CheckpointError: see `load_checkpoint`.
    """
    try:
        return load_checkpoint(path, conventions=Conventions.of(recipe, species_index))
    except UsageError:  # it says them itself
        return load_checkpoint(path)


def _released(content: dict[str, Any], conventions: Conventions, file: Path) -> Checkpoint:
    try:
        released = read_released(content, conventions)
    except BandrtError as error:
        raise CheckpointError("checkpoint-invalid", f"{file}: {error}") from error
    recipe, bands = conventions.recipe(released.config), BandRule(n_bands=released.config.n_bands)
    _check_agreement(released.config, None, recipe, bands, released.state, file)
    return Checkpoint(released.config, recipe, bands, TrainingDomain(), released.metrics, released.state, file_sha256(file))


def _fresh(config: Config, ensemble: EnsembleRule | None) -> Model:
    """A freshly initialised model, or one of several members."""
    return build_model(config) if ensemble is None else Ensemble([build_model(config) for _ in ensemble.members], ensemble)


def write_content(target: Path, description: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Write a checkpoint file under a temporary name, move it into place, and give back its sha256."""
    content = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "description": json.dumps(description, ensure_ascii=False, sort_keys=True),
        "state": dict(state),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced(target, "wb") as stream:
        torch.save(content, stream)
    return file_sha256(target)


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """What tells whether two models have the same parameters and buffers, to the last bit, whatever else their files say."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def is_hamiltonian(content: Any) -> bool:
    """Whether the content of a checkpoint is that of a learned Hamiltonian."""
    try:
        return bool(json.loads(content["description"])["model"]["variant"] == "hamiltonian")
    except (KeyError, TypeError, ValueError):
        return False


def read_content(file: Path) -> Any:
    """Read a torch file of strings, numbers and tensors only.

    Raises:
        CheckpointError: ``checkpoint-not-found`` or ``checkpoint-invalid``.
    """
    require_there(file)
    if not zipfile.is_zipfile(file):
        raise CheckpointError("checkpoint-invalid", f"{file}: not a checkpoint, or a truncated one: it is no zip archive")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make torch's reader raise almost anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError("checkpoint-invalid", f"{file}: not a checkpoint that is safe to load ({reason})") from error


def _check_agreement(
    config: Config, ensemble: EnsembleRule | None, recipe: Recipe, bands: BandRule, state: Any, file: Path
) -> None:
    """Refuse parts that do not describe one model."""
    pairs = {"bands": (config.n_bands, bands.n_bands), "k-points": (config.n_kpoints, recipe.kpath.n_kpoints)}
    for what, (modelled, described) in pairs.items():
        if modelled != described:
            raise CheckpointError("checkpoint-invalid", f"{file}: the model has {modelled} {what}, the recipe says {described}")
    with torch.device("meta"):  # names and shapes only: no memory, no initialisation
        expected = {name: tuple(tensor.shape) for name, tensor in _fresh(config, ensemble).state_dict().items()}
    check_state(expected, state, file)


def check_state(expected: Mapping[str, tuple[int, ...]], state: Any, file: Path) -> None:
    """Refuse parameters of other names or shapes than a model has, and numbers that are not finite.

    Raises:
        CheckpointError: ``checkpoint-invalid``.
    """
    found = {name: tuple(tensor.shape) for name, tensor in state.items()} if isinstance(state, dict) else {}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                "checkpoint-invalid",
                f"{file}: parameter {name} has shape {found.get(name, 'missing')},"
                f" the model configuration says {expected.get(name, 'none')}",
            )
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError("checkpoint-invalid", f"{file}: parameter {name} holds numbers that are not finite")
