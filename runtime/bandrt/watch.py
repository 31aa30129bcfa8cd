"""Which crystal of a chunk is being worked on: said by the steps that go crystal by crystal, heard by who watches this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

ALL_OF_THEM = -1
"""The place of what is done for a whole chunk at once."""

_listener: Callable[[int], None] | None = None


def listen(listener: Callable[[int], None] | None) -> None:
    """Let somebody hear the place of each crystal, from 0, when work on it begins; None: nobody."""
    global _listener
    _listener = listener


def watched(crystals: Iterable[T]) -> Iterator[T]:
    """Go through a chunk, and say of each crystal when work on it begins, and when the last is done."""
    for place, crystal in enumerate(crystals):
        if _listener is not None:
            _listener(place)
        yield crystal
    if _listener is not None:
        _listener(ALL_OF_THEM)
