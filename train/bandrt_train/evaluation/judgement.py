"""Judgement: one model on one data set, beside the baselines that the training crystals give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bandrt_train.data.dataset import Dataset, Entry, Split
from bandrt_train.data.targets import Targets
from bandrt_train.evaluation.baselines import (
    mean_of_bands,
    mean_of_gaps,
    nearest,
    neighbours_bands,
    neighbours_gaps,
)
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.metrics import CrystalErrors, Predicted, crystal_errors

if TYPE_CHECKING:
    from bandrt_train.evaluation.predictions import Predictions

MODEL, NEIGHBOUR, MEAN = "model", "nearest neighbour", "training mean"
SplitChoice = Split | Literal["all"]
CountEntries = Callable[[Iterable[Entry], int], Iterable[Entry]]
"""Wraps the entries as they are predicted, of which there are so many, e.g. to count them."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was predicted for n crystals of a data set, and how far off it is.

    Attributes:
        dataset: the data set.
        split: which part of it; ``all`` for every crystal.
        indices: which entries, n of them.
        targets: their labels.
        predictions: the model's bands.
        predicted: what the model and the baselines say, by their names.
        errors: of each of them.
        seen: (n,) bool, whether a training crystal has the formula; None where no training crystals were given.
        training_known: whether it is known which formulas were trained on: this is a part of a data set that the model was trained
            on, which holds its formulas out of all, or every such data set is among those that `seen` is about.
    """

    dataset: Dataset
    split: SplitChoice
    indices: list[int]
    targets: list[Targets]
    predictions: Predictions
    predicted: dict[str, Predicted]
    errors: dict[str, CrystalErrors]
    seen: NDArray[np.bool_] | None
    training_known: bool

    @property
    def records(self) -> list[dict[str, Any]]:
        """What ``entries.jsonl`` says of the crystals."""
        return [self.dataset.records[i] for i in self.indices]

    @property
    def kind(self) -> Literal["bands", "gaps"]:
        """Whether there are bands to judge by, or gaps alone."""
        return "bands" if any(t.mask.any() for t in self.targets) else "gaps"


def judge(
    model: Path,
    dataset: Dataset,
    split: SplitChoice,
    *,
    training: Sequence[Dataset] = (),
    progress: CountEntries = lambda entries, n: entries,
) -> Judgement:
    """Predict a split of a data set and compare with its labels.

    Args:
        model: a checkpoint or an engine.
        dataset: the labels.
        split: which part.
        training: data sets whose training splits the baselines learn from: for bands the first that labels any, for gaps alone the
            largest; none: the data set's own, unless all of it is judged.
        progress: wraps the entries.

    Raises:
        EvaluationError: ``empty-split``, ``recipe-mismatch``, or ``other-recipe`` for training data with other paths or bands.
    """
    indices = list(range(len(dataset))) if split == "all" else dataset.indices(split)
    teachers = list(training) or ([] if split == "all" else [dataset])
    if not indices:
        raise EvaluationError("empty-split", f"{dataset.folder}: the {split} split has no crystals")
    for teacher in teachers:
        if not teacher.header.counts.get("train"):
            raise EvaluationError("empty-split", f"{teacher.folder}: the train split has no crystals")
    from bandrt_train.evaluation.predictions import predict_entries  # torch, which reading a report does not need

    predictions = predict_entries(model, dataset, progress((dataset[i] for i in indices), len(indices)))
    targets = [dataset[i].targets for i in indices]
    predicted = {MODEL: Predicted.from_energies(predictions.energies, predictions.model.rule)}
    if any(t.mask.any() for t in targets):
        banded = [teacher for teacher in teachers if labels_bands(teacher)]
        if banded:
            _check_recipe(banded[0], dataset)
            predicted |= _band_baselines(dataset, indices, banded[0], predictions)
    elif teachers:
        predicted |= _gap_baselines(dataset, indices, max(teachers, key=lambda teacher: len(teacher.indices("train"))))
    errors = {name: crystal_errors(one, targets) for name, one in predicted.items()}
    formulas = {teacher.records[i]["formula"] for teacher in teachers for i in teacher.indices("train")}
    seen = np.array([dataset.records[i]["formula"] in formulas for i in indices], dtype=np.bool_) if teachers else None
    domain, given = predictions.model.training, {teacher.header.fingerprint for teacher in teachers}
    learned = {domain.data_sha256, domain.gaps_sha256, domain.teacher_sha256} - {""}
    known = bool(learned) and (learned <= given or (split != "all" and dataset.header.fingerprint in learned))
    return Judgement(dataset, split, indices, targets, predictions, predicted, errors, seen, known)


def labels_bands(dataset: Dataset) -> bool:
    """Whether the training split labels any band, not gaps alone."""
    return any(dataset.records[i]["mapping"]["mapped_fraction"] > 0.0 for i in dataset.indices("train"))


def _band_baselines(dataset: Dataset, indices: Sequence[int], teacher: Dataset, predictions: Predictions) -> dict[str, Predicted]:
    neighbours = nearest([dataset.records[i] for i in indices], teacher)
    learned = [teacher[i].targets for i in teacher.indices("train")]
    return {
        NEIGHBOUR: neighbours_bands(_entries(dataset, indices), _entries(teacher, neighbours), learned, predictions.model.rule),
        MEAN: mean_of_bands(learned, len(indices), predictions.model.rule),
    }


def _gap_baselines(dataset: Dataset, indices: Sequence[int], teacher: Dataset) -> dict[str, Predicted]:
    neighbours = nearest([dataset.records[i] for i in indices], teacher)
    return {NEIGHBOUR: neighbours_gaps(teacher, neighbours), MEAN: mean_of_gaps(teacher, len(indices))}


def _entries(dataset: Dataset, indices: Iterable[int]) -> Iterator[Entry]:
    return (dataset[i] for i in indices)


def _check_recipe(teacher: Dataset, dataset: Dataset) -> None:
    """Bands pass from one crystal to another only where both data sets have the same bands on paths of one kind."""
    own, other = dataset.header.recipe, teacher.header.recipe
    for name, wanted, found in (
        ("k-paths", own.featurization.kpath, other.featurization.kpath),
        ("bands", own.bands, other.bands),
    ):
        if wanted != found:
            raise EvaluationError(
                "other-recipe", f"{teacher.folder}: {name} are {found}, but {wanted} in {dataset.folder}; build both alike"
            )
