"""Predictions for a data set, by a checkpoint in torch or by an exported engine: the same bands, to be judged alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Batch, Data

from bandrt.batch import pad
from bandrt.calibration import GapCalibration
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.engine import ONNX_SUFFIX, open_session
from bandrt.engine.session import Session
from bandrt.features import Features
from bandrt.files import file_sha256
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import Recipe
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.data.dataset import Dataset, Entry
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.model.ensemble import Model
from bandrt_train.model.graphs import to_data
from bandrt_train.model.output import BandOutput

BATCH_SIZE = 16
ENTRIES_IN_MEMORY = 32 * BATCH_SIZE
"""Entries in memory at a time, sorted by size to fill batches well."""


class Graphs(Protocol):
    """PyG graphs that can be counted and read one at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Data: ...


@dataclass(frozen=True)
class ModelFacts:
    """What a report says of a model.

    Attributes:
        sha256: checksum of the file.
        checkpoint_sha256: of the checkpoint that an engine was exported from, which for a checkpoint is the same.
        variant: the kind of model.
        rule: which bands it predicts, and when they make a metal.
        training: what it was trained on.
        calibration: how far its gaps are from labels; None where that is not known.
    """

    sha256: str
    checkpoint_sha256: str
    variant: str
    rule: BandRule
    training: TrainingDomain
    calibration: GapCalibration | None = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about n crystals.

    Attributes:
        energies: (n, n_bands, K) float32, eV.
        uncertainty_ev: (n,) float32, expected mean absolute error of the energies; None from a model that does not estimate it.
        model: which model that was.
    """

    energies: NDArray[np.float32]
    uncertainty_ev: NDArray[np.float32] | None
    model: ModelFacts


class Estimates(NamedTuple):
    """What a model says of n graphs."""

    energies: NDArray[np.float32]
    """(n, n_bands, K) eV."""
    uncertainty_ev: NDArray[np.float32] | None
    """(n,); None from a model that does not estimate its error."""


def estimate(model: Model, graphs: Graphs) -> Estimates:
    """Predict PyG graphs, where the model is; it is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    outputs: list[BandOutput] = []
    with torch.no_grad():
        for start in range(0, len(graphs), BATCH_SIZE):
            batch = Batch.from_data_list([graphs[i] for i in range(start, min(start + BATCH_SIZE, len(graphs)))])
            outputs.append(model(batch.to(device)))
    uncertainties = [output.uncertainty.cpu() for output in outputs if output.uncertainty is not None]
    return Estimates(
        torch.cat([output.energies.cpu() for output in outputs]).numpy(),
        torch.cat(uncertainties).numpy() if uncertainties else None,
    )


def graph_energies(model: Model, graphs: Graphs) -> NDArray[np.float32]:
    """Band energies of PyG graphs, (n, n_bands, K), eV; see `estimate`."""
    return estimate(model, graphs).energies


def session_outputs(session: Session, features: Sequence[Features]) -> dict[str, NDArray[Any]]:
    """Outputs of padded batches of similar size by name, each (n, ...), in the order given."""
    order = sorted(range(len(features)), key=lambda i: len(features[i].atomic_numbers))
    batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
    outputs = [session.run(pad([features[i] for i in members])) for members in batches]
    back = np.argsort([i for members in batches for i in members])
    return {name: np.concatenate([one[name] for one in outputs])[back] for name in outputs[0]}


def predict_entries(path: Path, dataset: Dataset, entries: Iterable[Entry]) -> Predictions:
    """Predict entries of a data set with an engine (``*.onnx``) or, under any other name, a checkpoint.

    Args:
        path: the model.
        dataset: where the entries are from.
        entries: at least one; read as they are needed.

    Raises:
        EvaluationError: ``recipe-mismatch`` when the data set was featurised in another way than the model needs;
            ``non-finite-energies`` when the model gives energies of which no mean can be taken.
    """
    if path.suffix.lower() == ONNX_SUFFIX:
        with open_session(path) as session:
            manifest = session.manifest
            check_recipe(path, manifest.recipe, manifest.bands, dataset)
            parts = [session_outputs(session, [entry.features for entry in chunk]) for chunk in chunks(entries)]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        sha256 = file_sha256(path)
        facts = ModelFacts(
            sha256, manifest.checkpoint_sha256, manifest.variant, manifest.bands, manifest.training, manifest.calibration
        )
        return Predictions(_finite(outputs[BAND_ENERGIES], path), outputs.get(UNCERTAINTY), facts)
    checkpoint = load_checkpoint(path)
    check_recipe(path, checkpoint.recipe, checkpoint.bands, dataset)
    model = checkpoint.build_model()
    estimates = [estimate(model, [to_data(entry.features) for entry in chunk]) for chunk in chunks(entries)]
    uncertainties = [one.uncertainty_ev for one in estimates if one.uncertainty_ev is not None]
    facts = ModelFacts(checkpoint.sha256, checkpoint.sha256, checkpoint.config.variant, checkpoint.bands, checkpoint.training)
    energies = _finite(np.concatenate([one.energies for one in estimates]), path)
    return Predictions(energies, np.concatenate(uncertainties) if uncertainties else None, facts)


def _finite(energies: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """Energies (n, n_bands, K) of a model, all of them numbers."""
    bad = np.flatnonzero(~np.isfinite(energies).all(axis=(1, 2)))
    if len(bad):
        raise EvaluationError(
            "non-finite-energies", f"{path}: gives energies that are not finite numbers for {len(bad)} of {len(energies)} crystals"
        )
    return energies


def chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """As many entries at a time as fit in memory."""
    stream = iter(entries)
    while chunk := list(islice(stream, ENTRIES_IN_MEMORY)):
        yield chunk


def check_recipe(path: Path, recipe: Recipe, rule: BandRule, dataset: Dataset) -> None:
    """Refuse a data set that was featurised in another way than a model needs.

    Raises:
        EvaluationError: ``recipe-mismatch``.
    """
    own = dataset.header.recipe
    wanted, found = (recipe, rule.n_bands, rule.n_valence), (own.featurization, own.bands.n_bands, own.bands.n_valence)
    if wanted != found:
        raise EvaluationError(
            "recipe-mismatch",
            f"{path}: needs {wanted}, the data set {dataset.folder} was made with {found}; build it again by the model's recipe",
        )
