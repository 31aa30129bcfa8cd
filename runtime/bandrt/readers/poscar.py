"""Crystals from VASP's POSCAR and CONTCAR."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError
from bandrt.readers.cartesian import fractional
from bandrt.readers.species import unknown_species


class _Lines:
    """The lines of a POSCAR, read in order; running out of them is an error that says what was missing."""

    def __init__(self, text: str, name: str) -> None:
        self.lines = text.splitlines()
        self.number = 0
        self.name = name

    def next(self, what: str) -> str:
        if self.number >= len(self.lines):
            raise self.error(f"the file ends before the {what}; it may be cut short")
        self.number += 1
        return self.lines[self.number - 1]

    def error(self, reason: str) -> InputError:
        return InputError("poscar-syntax", f"{self.name}: line {self.number}: {reason}")

    def floats(self, what: str, count: int) -> list[float]:
        """The first `count` numbers of the next line."""
        tokens = self.next(what).split()
        try:
            values = [float(token.lower().replace("d", "e")) for token in tokens[:count]]  # 1.0D0 is Fortran for 1e0
        except ValueError:
            values = []
        if len(values) < count or not all(map(math.isfinite, values)):
            raise self.error(f"{what}: {count} numbers are needed, found {' '.join(tokens[:6])!r}")
        return values


def read_poscar(text: str, *, name: str = "crystal") -> Crystal:
    """Read a POSCAR or CONTCAR; velocities and what follows them are ignored.

    A file of VASP 4, which has no line of symbols, is taken if its comment line or the ends of all its position lines
    name the species.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``poscar-syntax``, ``unknown-species``, or what `Crystal.checked` raises.
    """
    if not text.strip():
        raise InputError("empty-file", f"{name}: the file is empty")
    lines = _Lines(text, name)
    comment = lines.next("comment")
    scale = _scale_factors(lines)
    vectors = np.array([lines.floats(f"lattice vector {axis}", 3) for axis in "abc"])
    factors = _cartesian_factors(scale, vectors, lines)
    lattice = vectors * factors
    symbols, counts = _species_lines(lines)
    mode = lines.next("coordinate mode").strip()
    if mode[:1] in ("S", "s"):
        mode = lines.next("coordinate mode").strip()
    if not mode[:1].isalpha():
        raise lines.error(f"Direct or Cartesian is needed, found {mode[:40]!r}")
    first = lines.number
    positions = np.array([lines.floats(f"position of atom {atom + 1} of {sum(counts)}", 3) for atom in range(sum(counts))])
    if not symbols:
        symbols = _symbols_of_vasp4(comment, counts, lines.lines[first : lines.number], name)
    numbers = [_atomic_number(symbol, name) for symbol in symbols]
    if mode[0] in "CcKk":
        positions = fractional(positions.reshape(-1, 3) * factors, lattice, name=name)
    return Crystal.checked(lattice, np.repeat(numbers, counts), positions, name=name)


def _scale_factors(lines: _Lines) -> list[float]:
    """The one or three numbers of the second line."""
    tokens = lines.next("scale factor").split()
    count = 3 if len(tokens) >= 3 and all(_is_number(token) for token in tokens[:3]) else 1
    lines.number -= 1
    scale = lines.floats("scale factor", count)
    if 0.0 in scale or (count == 3 and min(scale) < 0.0):
        raise lines.error(f"scale factor {' '.join(tokens[:3])} is not allowed: one number other than 0, or three positive ones")
    return scale


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _cartesian_factors(scale: list[float], vectors: NDArray[np.float64], lines: _Lines) -> NDArray[np.float64]:
    """What the x, y and z components of vectors and positions are multiplied by, (3,); a negative scale is the volume in Å^3."""
    if scale[0] > 0.0:
        return np.broadcast_to(np.array(scale), (3,))
    volume = abs(float(np.linalg.det(vectors)))
    if not volume > 0.0:
        raise InputError("bad-lattice", f"{lines.name}: the lattice vectors span no volume")
    return np.full(3, (-scale[0] / volume) ** (1.0 / 3.0))


def _species_lines(lines: _Lines) -> tuple[list[str], list[int]]:
    """Symbols (empty for VASP 4) and how many atoms each has."""
    tokens = _before_comment(lines.next("species"))
    symbols: list[str] = []
    if not tokens or not tokens[0].isdecimal():
        symbols, tokens = tokens, _before_comment(lines.next("numbers of atoms"))
    if not tokens or not all(token.isdecimal() for token in tokens):
        raise lines.error(f"numbers of atoms are needed, found {' '.join(tokens)[:40]!r}")
    if symbols and len(symbols) != len(tokens):
        raise lines.error(f"{len(symbols)} species ({' '.join(symbols)}) but {len(tokens)} numbers of atoms")
    counts = [int(token) for token in tokens]
    if sum(counts) > len(lines.lines):
        raise lines.error(f"{sum(counts)} atoms are announced, the file has {len(lines.lines)} lines; it may be cut short")
    return symbols, counts


def _before_comment(line: str) -> list[str]:
    return line.split("!")[0].split("#")[0].split()


def _symbols_of_vasp4(comment: str, counts: list[int], positions: list[str], name: str) -> list[str]:
    """Species of a file without a line of symbols: from the comment, else from the ends of the position lines."""
    if len(comment.split()) == len(counts) and all(token in ATOMIC_NUMBERS for token in comment.split()):
        return comment.split()
    endings = [line.split()[-1] for line in positions]
    blocks = [set(endings[sum(counts[:kind]) : sum(counts[: kind + 1])]) for kind in range(len(counts))]
    if all(len(block) == 1 and block <= ATOMIC_NUMBERS.keys() for block in blocks):
        return [block.pop() for block in blocks]
    raise InputError(
        "unknown-species",
        f"{name}: no line of element symbols before the numbers of atoms (VASP 4); add one after the lattice vectors",
    )


def _atomic_number(symbol: str, name: str) -> int:
    """Atomic number of ``Ti``, of a pseudopotential ``Ti_sv`` or of VASP 6's ``Ti_sv/a1b2c3``."""
    number = ATOMIC_NUMBERS.get(symbol.split("/")[0].split("_")[0], 0)
    if not number:
        raise unknown_species(symbol, name=name, site="the species line")
    return number
