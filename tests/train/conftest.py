"""Band documents that several tests read: the open labels of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt_train.band_documents import DocumentText
from bandrt_train.sources.folders import find_documents

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
