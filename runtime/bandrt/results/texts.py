"""Texts as results hold them: as they are read back, and in NumPy archives without pickles.

There they are UTF-8 of any length, one after the other, beside where each begins: an array of NumPy's own texts gives every row the
width of the longest, and one id of 10,000 characters among 512 takes 20 MB.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def packed(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as bytes.

    Args:
        texts: n of them; halves of characters, which UTF-8 has not, become ``\\udcff``, as everywhere in results.

    Returns:
        Their bytes, and offsets (n + 1,): text i is ``offsets[i]:offsets[i + 1]`` of the bytes.
    """
    encoded = [as_bytes(text) for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)


def unpacked(content: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.object_]:
    """The texts (n,), from what `packed` made of them.

    Raises:
        ValueError: the offsets are not those of this content, or a text is no UTF-8.
    """
    if content.dtype != np.uint8 or offsets.ndim != 1 or offsets.dtype != np.int64 or not len(offsets):
        raise ValueError("texts are bytes and whole offsets")
    if offsets[0] != 0 or offsets[-1] != len(content) or (np.diff(offsets) < 0).any():
        raise ValueError("the offsets of a text are not those of its bytes")
    raw, ends = content.tobytes(), offsets.tolist()
    return as_objects([raw[start:end].decode() for start, end in itertools.pairwise(ends)])


def as_objects(texts: Sequence[str]) -> NDArray[np.object_]:
    """An array (n,) in which each text has its own length."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def as_bytes(text: str) -> bytes:
    """A text as files hold it: halves of characters, which UTF-8 has not, become ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace")


def as_written(text: str) -> str:
    """A text as it is read back from a file, where names may hold bytes that are no text."""
    return as_bytes(text).decode("utf-8")
