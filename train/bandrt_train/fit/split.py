"""What a run learns of its training split before the first step, reading one crystal at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from bandrt.elements import SYMBOLS
from bandrt.manifest import TrainingDomain
from bandrt_train.checkpoint import Checkpoint
from bandrt_train.data.composition import elements_among
from bandrt_train.data.dataset import Dataset, Entry
from bandrt_train.data.targets import Targets
from bandrt_train.evaluation.metrics import known_energies

UNSTATED = "data of another code, not stated"
"""What a checkpoint learned from that says nothing of it, as those of the released code."""


def training_entries(dataset: Dataset) -> Iterator[Entry]:
    """The entries of the training split, one at a time."""
    return (dataset[i] for i in dataset.indices("train"))


def training_statistics(training: Iterable[Targets]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and spread of the band centres and spread of the dispersions, each (n_bands,), eV."""
    known = [known_energies([targets])[0] for targets in training]
    centers = np.ma.stack([labels.mean(axis=-1) for labels in known])  # (n, n_bands), of the bands that have labels
    deviations = np.ma.stack([labels.std(axis=-1) for labels in known])
    statistics = centers.mean(axis=0), centers.std(axis=0) + 1e-3, np.sqrt((deviations**2).mean(axis=0)) + 1e-3
    mean, spread, dispersion = (torch.tensor(one.filled(0.0), dtype=torch.float32) for one in statistics)
    return mean, spread, dispersion


def training_domain(
    dataset: Dataset, start: Checkpoint | None = None, gaps: Dataset | None = None, teacher: Dataset | None = None
) -> TrainingDomain:
    """What a model trained on this data has seen, on these gaps and predictions, and what the checkpoint it started from had."""
    before = start.training if start else TrainingDomain()
    numbers: set[int] = set()
    methods: set[str] = set()
    max_atoms = 0
    for entry in training_entries(dataset):
        numbers.update(entry.features.atomic_numbers.tolist())
        methods.add(entry.method)
        max_atoms = max(max_atoms, len(entry.features.atomic_numbers))
    taught = [teacher.records[i] for i in teacher.indices("train")] if teacher else []
    elements = {SYMBOLS[z] for z in numbers} | set(elements_among(record["formula"] for record in taught))
    learned = [gaps.records[i] for i in gaps.indices("train")] if gaps else []
    return TrainingDomain(
        n_crystals=dataset.header.counts["train"],
        elements=tuple(symbol for symbol in SYMBOLS if symbol in elements),
        max_atoms=max([max_atoms, *(record["n_atoms"] for record in taught)]),
        functional="; ".join(sorted(methods - {""})),
        data_sha256=dataset.header.fingerprint,
        parent_sha256=start.sha256 if start else "",
        pretraining=(*before.pretraining, before.functional or UNSTATED) if start else (),
        n_gaps=gaps.header.counts["train"] if gaps else before.n_gaps,
        gap_elements=elements_among(record["formula"] for record in learned) if gaps else before.gap_elements,
        gap_max_atoms=max(record["n_atoms"] for record in learned) if gaps else before.gap_max_atoms,
        gaps_sha256=gaps.header.fingerprint if gaps else before.gaps_sha256,
        n_taught=max(before.n_taught, teacher.header.counts["train"]) if teacher else before.n_taught,
        teacher_sha256=teacher.header.fingerprint if teacher else before.teacher_sha256,
        splits=dataset.header.recipe.splits.said,
    )
