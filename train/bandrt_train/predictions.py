"""Predictions for a data set, by a checkpoint in torch or by an exported engine: the same bands, to be judged alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Batch, Data

from bandrt.batch import pad
from bandrt.engine import open_session
from bandrt.engine.session import Session
from bandrt.errors import BandrtError
from bandrt.features import Features
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import Recipe
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.dataset import Dataset, Entry
from bandrt_train.graph_data import to_data
from bandrt_train.model import Reference

BATCH_SIZE = 16
ENGINE_SUFFIXES = (".onnx",)


class EvaluationError(BandrtError):
    """A model and a data set that can not be compared."""


class Graphs(Protocol):
    """PyG graphs that can be counted and read one at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Data: ...


def graph_energies(model: Reference, graphs: Graphs) -> NDArray[np.float32]:
    """Band energies of PyG graphs, (n, n_bands, K), eV, computed where the model is; it is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    energies = []
    with torch.no_grad():
        for start in range(0, len(graphs), BATCH_SIZE):
            batch = Batch.from_data_list([graphs[i] for i in range(start, min(start + BATCH_SIZE, len(graphs)))])
            energies.append(model(batch.to(device)).energies.cpu())
    return torch.cat(energies).numpy()


def session_energies(session: Session, features: Sequence[Features]) -> NDArray[np.float32]:
    """Band energies of padded batches of similar size, (n, n_bands, K), eV, in the order given."""
    order = sorted(range(len(features)), key=lambda i: len(features[i].atomic_numbers))
    energies: dict[int, NDArray[Any]] = {}
    for start in range(0, len(order), BATCH_SIZE):
        members = order[start : start + BATCH_SIZE]
        energies |= zip(members, session.run(pad([features[i] for i in members]))["band_energies"], strict=True)
    return np.stack([energies[i] for i in range(len(features))])


def predict_entries(path: Path, dataset: Dataset, entries: Sequence[Entry]) -> tuple[NDArray[np.float32], BandRule, TrainingDomain]:
    """Predict entries of a data set with an engine (``*.onnx``) or, under any other name, a checkpoint.

    Returns:
        Energies (n, n_bands, K) in eV, the model's metal rule, and what it was trained on.

    Raises:
        EvaluationError: ``recipe-mismatch`` when the data set was featurised in another way than the model needs.
    """
    if path.suffix.lower() in ENGINE_SUFFIXES:
        with open_session(path) as session:
            manifest = session.manifest
            _check_recipe(path, manifest.recipe, manifest.bands, dataset)
            return session_energies(session, [entry.features for entry in entries]), manifest.bands, manifest.training
    checkpoint = load_checkpoint(path)
    _check_recipe(path, checkpoint.recipe, checkpoint.bands, dataset)
    energies = graph_energies(checkpoint.build_model(), [to_data(entry.features) for entry in entries])
    return energies, checkpoint.bands, checkpoint.training


def _check_recipe(path: Path, recipe: Recipe, bands: BandRule, dataset: Dataset) -> None:
    own = dataset.header.recipe
    wanted, found = (recipe, bands.n_bands, bands.n_valence), (own.featurization, own.bands.n_bands, own.bands.n_valence)
    if wanted != found:
        raise EvaluationError(
            "recipe-mismatch",
            f"{path}: needs {wanted}, the data set {dataset.folder} was made with {found}; build it again by the model's recipe",
        )
