"""Band documents for tests that need no entries of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bandrt.computed.documents import BandDocument
from bandrt_train.data.sources.folders import find_documents


def read_documents(*sources: Path) -> Iterator[BandDocument]:
    """Read every document under files and folders; the first bad one raises."""
    return (source.read().document for source in find_documents(sources))
