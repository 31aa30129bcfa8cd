"""Band data in files and folders: what `bandrt.computed.files` finds, and predictions.

The folder of a run of ``bandrt infer`` is band data, too, see `bandrt_train.data.sources.predictions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bandrt.computed.files import BandSource, count_in, documents_in
from bandrt.results.store import is_store
from bandrt_train.data.sources.predictions import count_predictions, find_predictions


def find_documents(sources: Sequence[Path]) -> Iterator[BandSource]:
    """Yield every document under files and folders, in sorted order.

    Raises:
        NotFoundError: ``file-not-found`` when a source does not exist.
        InputError: ``no-input`` when one holds no documents at all.
    """
    for source in sources:
        yield from find_predictions(source) if is_store(source) else documents_in(source)


def count_documents(sources: Sequence[Path]) -> int:
    """How many documents there are; none is parsed.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    return sum(count_predictions(source) if is_store(source) else count_in(source) for source in sources)
