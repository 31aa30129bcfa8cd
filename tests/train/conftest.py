"""Band documents that several tests read: the open labels of this repository."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bandrt.computed.documents import DocumentText
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import Dataset
from bandrt_train.data.gap_labels import METHOD, gap_targets
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.data.writer import DatasetWriter
from tests.support.small_fits import N_KPOINTS, RECIPE

LABELS = Path(__file__).resolve().parents[2] / "train" / "labels"
SHARD = "dft-pbe-080cdff9f8a7.jsonl.gz"
"""257 crystals of 39 space groups; named, so that tests read the same crystals however many labels there are."""


@pytest.fixture(scope="session")
def labels() -> Path:
    """The folder of open labels."""
    return LABELS


@pytest.fixture(scope="session")
def label_texts() -> list[DocumentText]:
    """Every document of one shard, not yet parsed."""
    return [source for source in find_documents([LABELS / SHARD]) if isinstance(source, DocumentText)]


@pytest.fixture(scope="session")
def data(label_texts: list[DocumentText], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Some thirty crystals on a coarse path."""
    folder = tmp_path_factory.mktemp("data")
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::8]
    (folder / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    return build_dataset([folder / "labels.jsonl"], folder / "dataset", RECIPE)


@pytest.fixture(scope="session")
def gaps(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same crystals, of which only wrong gaps are known: 3 eV more than the true one."""
    writer = DatasetWriter(tmp_path_factory.mktemp("gaps") / "gaps", RECIPE)
    for entry in data:
        targets = gap_targets(entry.targets.band_gap + 3.0, 6, N_KPOINTS)
        writer.add(dataclasses.replace(entry, targets=targets, method=METHOD))
    return writer.close()
