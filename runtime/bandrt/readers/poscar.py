"""Crystals from VASP's POSCAR and CONTCAR."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import dropwhile

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS, HYDROGEN_ISOTOPES, SYMBOLS
from bandrt.errors import InputError
from bandrt.limits import check_n_atoms
from bandrt.readers.cartesian import fractional
from bandrt.readers.species import unknown_species
from bandrt.readers.text import check_not_empty, lines_of, real_number, whole_number

_FLAGS = frozenset({"t", "f", ".t.", ".f.", "true", "false", ".true.", ".false."})
"""Selective dynamics, in lower case: whether an atom may move along an axis. They are never fluorine or tritium."""
_OF_LATTICE = "lattice velocities"
"""What a block begins with, in lower case, that has lattice vectors as another crystal has."""
_ROW_SYMBOL = re.compile(r"([A-Z][a-z]?)(?:\d*[+-]|\d+)?")
"""What may follow a position: `Ti`, a label `Ti1`, an ion `Ti4+`."""


class _Lines:
    """The lines of a POSCAR, read in order; running out of them is an error that says what was missing."""

    def __init__(self, text: str, name: str) -> None:
        self.lines = lines_of(text)
        self.number = 0
        self.ended = False
        self.name = name

    def next(self, what: str) -> str:
        if self.number >= len(self.lines):
            self.ended = True
            raise self.error(f"the file ends before the {what}; it may be cut short")
        self.number += 1
        return self.lines[self.number - 1]

    def error(self, reason: str) -> InputError:
        return InputError("poscar-syntax", f"{self.name}: line {self.number}: {reason}")

    def floats(self, what: str, count: int) -> list[float]:
        """The first `count` numbers of the next line."""
        tokens = self.next(what).split()
        values = [_number(token) for token in tokens[:count]]
        if len(values) < count or not all(map(math.isfinite, values)):
            raise self.error(f"{what}: {count} numbers are needed, found {' '.join(tokens[:6])!r}")
        return values


def read_poscar(text: str, *, name: str = "crystal") -> Crystal:
    """Read a POSCAR or CONTCAR; flags of selective dynamics, velocities and what follows them are ignored.

    A file of VASP 4, which has no line of symbols, is taken if symbols behind all its positions agree with the numbers of atoms, or
    if its comment line is a symbol for each of these numbers. Whatever names the species twice has to name the same.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``poscar-syntax``, ``several-structures``, ``unknown-species``, ``species-mismatch``, or what
            `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    lines = _Lines(text, name)
    comment = lines.next("comment")
    scale = _scale_factors(lines)
    vectors = np.array([lines.floats(f"lattice vector {axis}", 3) for axis in "abc"])
    factors = _cartesian_factors(scale, vectors, lines)
    lattice = vectors * factors
    symbols, counts = _species_lines(lines)
    mode = lines.next("coordinate mode").strip()
    selective = mode[:1] in ("S", "s")
    if selective:
        mode = lines.next("coordinate mode").strip()
    if not mode[:1].isalpha():
        raise lines.error(f"Direct or Cartesian is needed, found {mode[:40]!r}")
    first = lines.number
    positions = np.array([lines.floats(f"position of atom {atom + 1} of {sum(counts)}", 3) for atom in range(sum(counts))])
    _check_end(lines, sum(counts))
    _check_single(lines)
    behind = _symbols_behind(lines.lines[first : lines.number], selective=selective)
    species = [_atomic_number(symbol, name) for symbol in symbols] or _species_of_vasp4(comment, counts, behind, name)
    numbers = np.repeat(species, counts)
    _check_behind(numbers, behind, first, "the line of species" if symbols else "the comment line", name)
    if mode[0] in "CcKk":
        positions = fractional(positions.reshape(-1, 3) * factors, lattice, name=name)
    return Crystal.checked(lattice, numbers, positions, name=name)


def _check_end(lines: _Lines, n_atoms: int) -> None:
    """Refuse one position more than there are atoms; velocities come after a blank line, all else begins with a word."""
    following = lines.lines[lines.number].split() if lines.number < len(lines.lines) else []
    if n_atoms and len(following) >= 3 and all(math.isfinite(_number(token)) for token in following[:3]):
        lines.number += 1
        raise lines.error(f"the numbers of atoms add up to {n_atoms}, and here is one position more")


def _check_single(lines: _Lines) -> None:
    """Refuse a file in which another crystal, or another step of an XDATCAR, follows the first.

    Raises:
        InputError: ``several-structures``.
    """
    following = list(dropwhile(lambda line: not line.strip(), lines.lines[lines.number :]))
    if not following or following[0].strip().lower().startswith(_OF_LATTICE):
        return
    if not following[0].lower().startswith("direct configuration="):
        head = _Lines("\n".join(following).rstrip(), lines.name)
        try:
            _read_head(head)
        except InputError:
            if not _is_cut_short(head):
                return  # velocities and the like
    raise InputError("several-structures", f"{lines.name}: another crystal follows the first; write each to a file of its own")


def _is_cut_short(head: _Lines) -> bool:
    """Whether what was gone over as the head of a crystal is one whose end is missing: all its lines fit, a vector among them.

    Velocities are numbers from their first line on, or have no number alone in their second.
    """
    if not head.ended or len(head.lines) < 3:
        return False
    is_named = not all(math.isfinite(_number(token)) for token in head.lines[0].split())
    return is_named and len(head.lines[1].split()) == 1


def _read_head(lines: _Lines) -> None:
    """Go over what stands before the positions.

    Raises:
        InputError: it is not there.
    """
    lines.next("comment")
    _scale_factors(lines)
    for axis in "abc":
        lines.floats(f"lattice vector {axis}", 3)
    _species_lines(lines)


def _scale_factors(lines: _Lines) -> list[float]:
    """The one or three numbers of the second line."""
    tokens = lines.next("scale factor").split()
    count = next((place for place, token in enumerate(tokens[:3]) if math.isnan(_number(token))), len(tokens[:3]))
    lines.number -= 1
    scale = lines.floats("scale factor", max(count, 1))
    if 0.0 in scale or count == 2 or (count == 3 and min(scale) < 0.0):
        raise lines.error(f"scale factor {' '.join(tokens[:3])} is not allowed: one number other than 0, or three positive ones")
    return scale


def _number(token: str) -> float:
    """The number that Fortran reads, 1.0D0 included; nan for what is none."""
    try:
        return real_number(token.lower().replace("d", "e"))
    except ValueError:
        return math.nan


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
    counts = [whole_number(token, "a number of atoms", name=f"{lines.name}: line {lines.number}") for token in tokens]
    if sum(counts) > len(lines.lines):
        lines.ended = True
        raise lines.error(f"{sum(counts)} atoms are announced, the file has {len(lines.lines)} lines; it may be cut short")
    check_n_atoms(sum(counts), name=lines.name)
    return symbols, counts


def _before_comment(line: str) -> list[str]:
    return line.split("!")[0].split("#")[0].split()


def _symbols_behind(rows: list[str], *, selective: bool) -> list[str | None]:
    """The symbol behind each position, flags aside; None where there is none.

    Without the line `Selective dynamics`, two or three flags in a row are flags all the same, and so is a single one where nothing
    but T and F is written; one F among other symbols is fluorine.
    """
    behind = [_without_mark(row.split()[3:]) for row in rows]
    for place, tokens in enumerate(behind):
        flags = next((n for n, token in enumerate(tokens[:3]) if token.lower() not in _FLAGS), len(tokens[:3]))
        if selective or flags > 1:
            behind[place] = tokens[flags:]
    matches = [_ROW_SYMBOL.fullmatch(tokens[0]) if tokens else None for tokens in behind]
    found = [match[1] if match and _element(match[1]) else None for match in matches]
    return [None] * len(rows) if all(symbol in ("F", "T", None) for symbol in found) and _only_flags(behind) else found


def _without_mark(tokens: list[str]) -> list[str]:
    """What is behind a position; a comment that is one word says as much as if it were none."""
    written = " ".join(tokens)
    marked = written[:1] in ("!", "#") and len(written[1:].split()) == 1
    return written[1:].split() if marked else tokens


def _only_flags(behind: Sequence[Sequence[str]]) -> bool:
    return all(token.lower() in _FLAGS for tokens in behind for token in tokens)


def _species_of_vasp4(comment: str, counts: list[int], behind: list[str | None], name: str) -> list[int]:
    """Atomic number of each block of a file without a line of symbols: from the comment, or from what is behind the positions."""
    named = [_element(token) for token in comment.split()]
    if len(named) == len(counts) and all(named):
        return named
    ends = np.cumsum(counts).tolist()
    blocks = [behind[end - n : end] for end, n in zip(ends, counts, strict=True)]
    if behind and all(behind):
        several = next((block for block in blocks if len(set(block)) > 1), None)
        if several:
            raise InputError(
                "species-mismatch",
                f"{name}: {len(several)} atoms are announced as one species, but {' '.join(map(str, several[:6]))} stand behind"
                " their positions; write a line of element symbols before the numbers of atoms",
            )
        if all(blocks):
            return [_element(block[0]) for block in blocks if block[0]]
    raise InputError(
        "unknown-species",
        f"{name}: no line of element symbols before the numbers of atoms (VASP 4), and neither the comment nor every position names"
        " one; add the line after the lattice vectors",
    )


def _check_behind(numbers: NDArray[np.int64], behind: list[str | None], first: int, where: str, name: str) -> None:
    """Refuse symbols behind positions that are not those of the blocks."""
    for atom, (number, symbol) in enumerate(zip(numbers.tolist(), behind, strict=True)):
        if symbol and _element(symbol) != number:
            raise InputError(
                "species-mismatch",
                f"{name}: line {first + atom + 1}: atom {atom + 1} is {SYMBOLS[number]} by {where}, and {symbol} stands behind its"
                " position; mend the one that is wrong",
            )


def _element(symbol: str | None) -> int:
    """Atomic number of an exact symbol, that of hydrogen for D; 0 for anything else."""
    return ATOMIC_NUMBERS.get(symbol or "", 0) or (1 if symbol == "D" else 0)


def _atomic_number(symbol: str, name: str) -> int:
    """Atomic number of ``Ti``, of a kind ``Ti1``, of a pseudopotential ``Ti_sv`` or of VASP 6's ``Ti_sv/a1b2c3``."""
    bare = symbol.split("/")[0].split("_")[0]
    kind = bare.rstrip("0123456789") if bare[-1:].isdecimal() and "." not in bare else bare
    number = ATOMIC_NUMBERS.get(kind, 0) or HYDROGEN_ISOTOPES.get(bare, 0)
    if not number:
        raise unknown_species(symbol, name=name, site="the species line")
    return number
