"""Band documents: the open labels of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.computed.documents import DocumentText
from bandrt.computed.files import documents_in

SHARD = Path(__file__).resolve().parents[3] / "train" / "labels" / "dft-pbe-080cdff9f8a7.jsonl.gz"


@pytest.fixture(scope="session")
def label_texts() -> list[DocumentText]:
    """Every document of one shard, not yet parsed."""
    return [source for source in documents_in(SHARD) if isinstance(source, DocumentText)]
