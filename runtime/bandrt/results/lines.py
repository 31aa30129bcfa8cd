"""The lines of ``summary.csv`` and ``errors.jsonl``: which input each is of, and their way into the order of the inputs.

A line is written as its result comes, so that a killed run loses none. Of each line 50 bytes are remembered, whatever its length,
so that a run of millions of crystals fits into memory; the lines themselves are put in order on disk when the run ends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandrt.files import replaced

_ROW: Final = np.dtype(
    [
        ("id", "u8"), ("input", "u8"),  # of their hashes
        ("order", "i8"),  # among the inputs
        ("offset", "i8"), ("length", "i4"),  # bytes in the file
        ("part", "i4"), ("place", "i4"), ("n_atoms", "i4"),
        ("met", "?"),  # in this run
        ("gone", "?"),
    ]
)  # fmt: skip
_FIRST_ROWS = 1024


class Lines:
    """A text file with a line for each of some results; open for writing."""

    def __init__(self, path: Path, *, header: bytes = b"") -> None:
        """Begin a file, in the place of one that may be there.

        Args:
            path: the file; what was there stays until `open`.
            header: what stands before the first line.
        """
        self._path = path
        self._header = header
        self._rows = np.zeros(_FIRST_ROWS, _ROW)
        self._n = 0
        self._end = len(header)
        self._earlier_ids: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._earlier: NDArray[np.intp] = np.empty(0, np.intp)
        self._file = -1

    @property
    def rows(self) -> NDArray[np.void]:
        """What is known of each line, to be changed in place: a structured array, lines that are gone included."""
        return self._rows[: self._n]

    def open(self, lines: Iterator[bytes]) -> None:
        """Write the lines of earlier runs, each of which was told to `remember` before it is given, and stay open for more."""
        with replaced(self._path, "wb") as file:
            file.write(self._header)
            file.writelines(lines)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        self._earlier = np.argsort(self.rows["id"], kind="stable")
        self._earlier_ids = self.rows["id"][self._earlier]

    def remember(
        self, id: str, input_sha256: str, line: bytes, *, order: int, part: int = -1, place: int = -1, n_atoms: int = 0,
        met: bool = False,
    ) -> None:  # fmt: skip
        """Remember the line that comes next in the file.

        Args:
            id: of the result.
            input_sha256: of the result.
            line: with its end.
            order: place of the input among those of the run.
            part: number of the part that holds the prediction.
            place: of the prediction in it.
            n_atoms: of the prediction.
            met: whether the input is one of this run.
        """
        if self._n == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self._n] = (
            key_of(id), key_of(input_sha256), order, self._end, len(line), part, place, n_atoms, met, False,
        )  # fmt: skip
        self._n += 1
        self._end += len(line)

    def write(self, lines: bytes) -> None:
        """Append lines, each of which was told to `remember` first."""
        written = 0
        while written < len(lines):
            written += os.write(self._file, lines[written:])

    def earlier(self, id: str) -> int | None:
        """The line of an earlier run about an input of this name; the last, if there are several."""
        if not len(self._earlier):
            return None
        key = np.uint64(key_of(id))
        place = int(np.searchsorted(self._earlier_ids, key, side="right")) - 1
        if place < 0 or self._earlier_ids[place] != key or self._rows["gone"][self._earlier[place]]:
            return None
        return int(self._earlier[place])

    def unmet(self) -> NDArray[np.intp]:
        """The lines about inputs that this run has not met, gone ones apart."""
        return np.flatnonzero(~self.rows["met"] & ~self.rows["gone"])

    def is_of(self, row: int, input_sha256: str) -> bool:
        """Whether a line is about just this input."""
        return bool(self._rows["input"][row] == np.uint64(key_of(input_sha256)))

    def line(self, row: int) -> bytes:
        """A line as it is written."""
        os.lseek(self._file, int(self._rows["offset"][row]), os.SEEK_SET)
        return os.read(self._file, int(self._rows["length"][row]))

    def sort(self, changed: dict[int, bytes]) -> None:
        """Put the lines in the order of the inputs of this run, then those of inputs that it did not meet; leave out what is gone.

        Args:
            changed: lines to write in the place of what is there, by row.
        """
        rows = self.rows
        order = np.lexsort((rows["order"], ~rows["met"]))
        order = order[~rows["gone"][order]]
        if not changed and len(order) == len(rows) and (np.diff(rows["offset"][order]) > 0).all():
            return
        with self._path.open("rb") as unsorted, replaced(self._path, "wb") as file:
            file.write(self._header)
            for row in map(int, order):
                if row in changed:
                    file.write(changed[row])
                else:
                    unsorted.seek(int(rows["offset"][row]))  # within the buffer as a rule: results come nearly in order
                    file.write(unsorted.read(int(rows["length"][row])))

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def key_of(text: str) -> int:
    """A hash of 64 bits: among ten million strings two collide with a probability of 3 in a million."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
