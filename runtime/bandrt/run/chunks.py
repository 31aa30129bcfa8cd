"""Chunks: sources that go to a worker together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bandrt.features import CHUNK
from bandrt.sources import Source

CHUNK_BYTES = 8 * 1024 * 1024
"""Of texts that travel to a worker together, unless one alone is larger."""

Chunk = list[tuple[int, Source]]
"""Sources that are featurised together, each with its place among the inputs."""


def chunked(sources: Iterable[tuple[int, Source]]) -> Iterator[Chunk]:
    """Sources that are featurised together: up to `CHUNK`, and up to `CHUNK_BYTES` of text."""
    chunk: Chunk = []
    size = 0
    for order, source in sources:
        own = (len(source.content) if isinstance(source.content, str) else 0) + sum(map(len, source.kept.values()))
        if chunk and (len(chunk) == CHUNK or size + own > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((order, source))
        size += own
    if chunk:
        yield chunk
