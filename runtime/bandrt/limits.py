"""Limits at the door: how large an input may be, before any native code sees it. Everything that is refused for its size is here.

Beyond them lies no crystal that bands are predicted for, but a wrong unit, a lost decimal point or an attack; and the library that
searches for symmetry does not end there, or ends the whole process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError

MAX_VECTOR: Final = 1e4
"""Å: the longest lattice vector; the search for symmetry does not end in a cell of a lost decimal point."""
MAX_FRACTION: Final = 1e6
"""The largest fractional coordinate, of either sign: beyond it, rounding moves atoms."""
MAX_VOLUME_PER_ATOM: Final = 1e8
"""Å^3: one atom in a box of 464 Å."""
MAX_ATOMS: Final = 10_000
"""Atoms in a cell as it is written."""
MAX_CRYSTAL_BYTES: Final = 16 * 1024 * 1024
"""The text of one crystal, one line and one row of a table; a CIF of 10,000 atoms has 1 MB."""
MAX_KPOINT: Final = 100.0
"""The largest fractional coordinate of a computed k-point, of either sign: lines are looked up cell by cell."""
MAX_KPOINTS: Final = 1_000_000
"""Of a user's own, in a file."""
MAX_KPOINTS_BYTES: Final = 64 * 1024 * 1024
"""The file of them: as many lines of three numbers of 16 digits."""
WRONG: Final = "is a decimal point or a unit wrong?"
"""What to look for where a number is too large."""
MAX_DIGITS: Final = 12
"""Digits of a whole number: no count of atoms has more, and Python refuses to read thousands of them."""


def check_n_atoms(n_atoms: int, *, name: str) -> None:
    """Refuse more atoms than any cell has.

    Raises:
        InputError: ``too-many-atoms``.
    """
    if n_atoms > MAX_ATOMS:
        raise InputError(
            "too-many-atoms", f"{name}: {n_atoms} atoms, at most {MAX_ATOMS} are read; reduce the cell to a primitive one"
        )


def check_numbers(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], *, name: str) -> None:
    """Refuse numbers that are beyond any crystal, or are none.

    Args:
        lattice: (3, 3) rows, Å.
        frac_coords: (n_atoms, 3).
        name: what to call the crystal in an error.

    Raises:
        InputError: ``lattice-too-large`` or ``coordinate-too-large``; ``bad-coordinates`` for what is no number.
    """
    longest = max(math.hypot(*vector) for vector in lattice.tolist())
    if MAX_VECTOR < longest < math.inf:
        raise InputError(
            "lattice-too-large",
            f"{name}: a lattice vector is {longest:.4g} Å long, at most {MAX_VECTOR:g} Å is taken; {WRONG}",
        )
    largest = float(np.abs(frac_coords).max(initial=0.0))
    if not math.isfinite(largest):  # neither if one of them is nan
        raise InputError("bad-coordinates", f"{name}: a fractional coordinate is not a finite number")
    if largest > MAX_FRACTION:
        raise InputError(
            "coordinate-too-large",
            f"{name}: a fractional coordinate is {largest:.4g}, at most {MAX_FRACTION:g} is taken; {WRONG}",
        )


def check_volume(volume: float, n_atoms: int, *, name: str) -> None:
    """Refuse a cell that is nearly empty.

    Raises:
        InputError: ``lattice-too-large``.
    """
    if volume > MAX_VOLUME_PER_ATOM * n_atoms:
        raise InputError(
            "lattice-too-large",
            f"{name}: cell volume {volume:.3g} Å^3 for {n_atoms} atoms, at most {MAX_VOLUME_PER_ATOM:g} Å^3 each is taken; {WRONG}",
        )


def too_large(what: str) -> InputError:
    """The error for text that is larger than any crystal.

    Args:
        what: was read, with its file where that is known.
    """
    return InputError("too-large", f"{what} is larger than {MAX_CRYSTAL_BYTES // 2**20} MiB, too much for one crystal")


class BoundedLines:
    """The lines of a stream; none that is longer than a crystal is read whole, nor are several, unless `restart` is called."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._taken = 0

    def restart(self) -> None:
        """Say that what was read is done with, such as a row or a frame."""
        self._taken = 0

    def __iter__(self) -> Iterator[str]:
        """The lines, with their ends.

        Raises:
            InputError: ``too-large``.
        """
        readline, most = self._stream.readline, MAX_CRYSTAL_BYTES
        while line := readline(most + 1):
            self._taken += len(line)
            if self._taken > most:
                raise too_large("a line, row or frame")
            yield line
