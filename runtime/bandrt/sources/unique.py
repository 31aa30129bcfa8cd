"""Sets of strings for millions of members, at eight bytes each, and ids that no other input of a run has."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from bandrt.quoting import printable

_RECENT = 100_000


class SeenStrings:
    """Remembers 64-bit hashes; among ten million strings two collide with a probability of 3 in a million."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    def add(self, text: str) -> bool:
        """Remember a string; whether it is new."""
        key = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        place = int(np.searchsorted(self._older, np.uint64(key))) if len(self._older) else 0
        if key in self._recent or (place < len(self._older) and int(self._older[place]) == key):
            return False
        self._recent.add(key)
        if len(self._recent) >= _RECENT:
            self._older = np.union1d(self._older, np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent)))
            self._recent.clear()
        return True


class SharedStrings:
    """Which strings came more than once, of which there are few."""

    def __init__(self) -> None:
        self._seen = SeenStrings()
        self._shared: set[str] = set()

    def add(self, text: str) -> None:
        """Count a string."""
        if not self._seen.add(text):
            self._shared.add(text)

    def __contains__(self, text: object) -> bool:
        """Whether it came more than once."""
        return text in self._shared


class UniqueIds:
    """Gives each input of a run an id of its own."""

    def __init__(self) -> None:
        self._taken = SeenStrings()
        self._numbers: dict[str, int] = {}

    def unique(self, *wanted: str) -> str:
        """The first of some names, as they can be printed, that no other input has.

        If all are taken, the last with a number: ``NaCl``, ``NaCl-2``.
        """
        wanted = tuple(map(printable, wanted))
        for name in wanted:
            if self._taken.add(name):
                return name
        number = self._numbers.get(wanted[-1], 2)
        while not self._taken.add(f"{wanted[-1]}-{number}"):
            number += 1
        self._numbers[wanted[-1]] = number + 1
        return f"{wanted[-1]}-{number}"
