"""Band documents that several tests read: the open labels of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt_train.band_documents import DocumentText, find_documents

LABELS = Path(__file__).resolve().parents[2] / "train" / "labels"


@pytest.fixture(scope="session")
def labels() -> Path:
    """The folder of open labels."""
    return LABELS


@pytest.fixture(scope="session")
def label_texts() -> list[DocumentText]:
    """Every document of the first shard, not yet parsed."""
    return list(find_documents([sorted(LABELS.glob("*.jsonl.gz"))[0]]))
