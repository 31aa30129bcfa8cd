"""Crystals from the ``.res`` files of SHELX, which CASTEP and AIRSS write, too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal, cofactors
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.readers.cif_symmetry import IDENTITY, SPECIAL_POSITION_TOLERANCE, Operations, expand, fits_cell, parse_operations
from bandrt.readers.moments import WHOLE_CELL, is_moment, moments_dropped
from bandrt.readers.occupancies import number_of
from bandrt.readers.species import is_full, label_number, partial_occupancy, unknown_species
from bandrt.readers.text import check_not_empty, integer, lines_of, real_number

_CENTRINGS = {
    1: (),
    2: (("1/2", "1/2", "1/2"),),
    3: (("2/3", "1/3", "1/3"), ("1/3", "2/3", "2/3")),
    4: (("0", "1/2", "1/2"), ("1/2", "0", "1/2"), ("1/2", "1/2", "0")),
    5: (("0", "1/2", "1/2"),),
    6: (("1/2", "0", "1/2"),),
    7: (("1/2", "1/2", "0"),),
}
"""Translations beside lattice vectors, by the number behind LATT: P, I, R (obverse), F, A, B, C."""
_SILENT = frozenset(
    "ABIN ACTA AFIX ANIS ANSC ANSR BASF BEDE BIND BLOC BOND BUMP CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP EADP EQIV EXTI"
    " EXYZ FLAT FMAP FREE GRID HTAB ISOR LAUE LIST L.S. LONE MERG MORE MPLA NCSY NEUT OMIT PLAN PRIG REM RESI RIGU RTAB SADI SAME"
    " SHEL SIMU SIZE SPEC STIR SUMP SWAT TEMP TIME TITL TWIN TWST WGHT WIGL WPDB XNPD ZERR".split()
)
"""Instructions that move, add and remove no atom."""
_REFUSED = {
    "HFIX": "asks for hydrogen atoms that are not in the file; take the .res that the refinement wrote",
    "FRAG": "begins a fragment whose positions are not those of the crystal",
    "MOVE": "moves the atoms that follow",
}
_READ = frozenset({"CELL", "LATT", "SYMM", "SFAC", "UNIT", "FVAR", "PART"})
_END = ("END", "HKLF")
_BEGINNING = re.compile(r"^(?:TITL|CELL)\b", re.IGNORECASE | re.MULTILINE)
FORMULA_TOLERANCE = 1e-3
"""By which the number of atoms of an element may differ from UNIT."""


@dataclass
class _Content:
    """What the instructions of a file say.

    Attributes:
        cell: a, b, c in Å, alpha, beta, gamma in degrees.
        lattice_type: the number behind LATT.
        triplets: the operations behind SYMM.
        symbols: those behind SFAC.
        unit: atoms of each symbol in the cell; empty if the file does not say.
        free: the free variables, the overall scale first.
        atoms: rows of the sites, each with its name first.
        title: the words behind TITL.
    """

    cell: list[float] = field(default_factory=list)
    lattice_type: int | None = None
    triplets: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    atoms: list[list[str]] = field(default_factory=list)
    title: list[str] = field(default_factory=list)


def is_res(text: str) -> bool:
    """Whether a text, of which the end may be missing, looks like a file of SHELX; other programs write ``.res``, too."""
    return _BEGINNING.search(text) is not None


def read_res(text: str, *, name: str = "crystal") -> Crystal:
    """Read a file of SHELX: cell, lattice type, operations and sites; displacements, restraints and the like are ignored.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``not-a-crystal``, ``res-syntax``, ``bad-symmetry``, ``unknown-species``, ``species-mismatch``,
            ``partial-occupancy``, ``composition-mismatch``, or what `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    if not is_res(text):
        raise InputError("not-a-crystal", f"{name}: neither TITL nor CELL in it: no file of SHELX, CASTEP or AIRSS")
    content = _content(text, name)
    if len(content.cell) != 6:
        raise InputError("res-syntax", f"{name}: CELL is missing; it has seven numbers, the wavelength first")
    lattice = _lattice(content.cell, name)
    operations = _operations(content, name)
    if not fits_cell(operations, lattice):
        raise InputError("bad-symmetry", f"{name}: SYMM and LATT do not fit the cell")
    if not content.atoms:
        raise InputError("no-atoms", f"{name}: holds no atoms")
    kinds = [_kind(atom, content.symbols, name) for atom in content.atoms]
    coords = np.array([[_value(token, content, atom[0], name) for token in atom[2:5]] for atom in content.atoms])
    _check_full(content, coords, operations, lattice, name)
    numbers = np.array([number_of(content.symbols[kind]) for kind in kinds], dtype=np.int32)
    all_numbers, all_coords = expand(operations, numbers, coords, lattice) if len(operations.rotations) > 1 else (numbers, coords)
    _check_unit(content, all_numbers, name)
    return Crystal.checked(lattice, all_numbers, all_coords, name=name).with_notes(_moments(content))


def _moments(content: _Content) -> tuple[str, ...]:
    """The warning for the spin of the cell that AIRSS writes into its title, and of atoms, where SHELX has displacements.

    The title: name, pressure, volume, enthalpy, spin, sum of the absolute spins, number of atoms, (space group), n - times found.
    """
    title = content.title
    if title[8:10] != ["n", "-"] or not any(map(is_moment, title[4:6])):
        return ()
    labels = [f"{atom[0]}{place}" for place, atom in enumerate(content.atoms, start=1) if any(map(is_moment, atom[6:7]))]
    return moments_dropped(labels or [WHOLE_CELL])


def _instructions(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers and words of the instructions up to the end mark, continued lines joined, comments left out."""
    lines, held, is_continued = lines_of(text), list[str](), False
    for number, line in enumerate(lines, start=1):
        is_remark = not is_continued and line[:4].upper().rstrip() in ("REM", "TITL")
        words = line.split() if is_remark else line.split("!")[0].replace("=", " = ").split()
        if not is_continued and line[:1].isspace():
            if _looks_like_content(words):
                raise InputError("res-syntax", f"{name}: line {number}: SHELX takes a line that begins with a blank for a comment")
            continue
        is_continued = not is_remark and words[-1:] == ["="]
        held += words[:-1] if is_continued else words
        if is_continued or not held:
            continue
        complete, held = held, []
        if complete[0].upper() in _END:
            if any(_BEGINNING.match(later) for later in lines[number:]):
                raise InputError("several-structures", f"{name}: line {number} ends a crystal, and another follows; split the file")
            return
        yield number, complete
    raise InputError("res-syntax", f"{name}: neither END nor HKLF; the file may be cut short")


def _looks_like_content(words: list[str]) -> bool:
    """Whether a comment would be an atom or an instruction without the blank at its beginning."""
    if words and words[0].upper() in _READ:
        return True
    return len(words) >= 5 and words[1].isdecimal() and all(re.fullmatch(r"[-+]?\d*\.\d+", word) for word in words[2:5])


def _content(text: str, name: str) -> _Content:
    content, part = _Content(), 0.0
    for number, words in _instructions(text, name):
        command, rest = words[0].upper().partition("_")[0], words[1:]
        place = f"{name}: line {number}"
        try:
            if command in _REFUSED:
                raise InputError("res-syntax", f"{place}: {command} {_REFUSED[command]}")
            if command == "TITL":
                content.title = rest
            elif command == "CELL" and not content.cell:
                content.cell = [real_number(word) for word in rest[1:]]
            elif command == "LATT" and content.lattice_type is None:
                content.lattice_type = integer(rest[0])
            elif command == "SYMM":
                content.triplets.append("".join(rest))
            elif command == "SFAC":
                content.symbols += _symbols(rest)
            elif command == "UNIT":
                content.unit += [real_number(word) for word in rest]
            elif command == "FVAR":
                content.free += [real_number(word) for word in rest]
            elif command == "PART":
                part = real_number(rest[0])
            elif command in ("CELL", "LATT"):
                raise InputError("res-syntax", f"{place}: a second {command}")
            elif command not in _SILENT:
                _add_atom(content, words, part, place)
        except (ValueError, IndexError):
            raise InputError("res-syntax", f"{place}: {' '.join(words)[:60]!r} cannot be read") from None
    return content


def _symbols(words: list[str]) -> list[str]:
    """The symbols behind SFAC; numbers behind a single one are its scattering factors."""
    if len(words) > 1 and not words[1][:1].isalpha():
        words = words[:1]
    return [word.lstrip("$").capitalize() for word in words]


def _add_atom(content: _Content, words: list[str], part: float, place: str) -> None:
    if len(words) < 5 or not re.fullmatch(r"-?\d{1,4}", words[1]):
        raise InputError("res-syntax", f"{place}: {words[0][:20]!r} is no instruction that is known, and no atom")
    if re.fullmatch(r"Q\d+", words[0], re.IGNORECASE):
        raise InputError("res-syntax", f"{place}: {words[0]} is a peak of the electron density that was given no atom")
    if part:
        raise partial_occupancy("of an alternative (PART)", name=place, site=words[0])
    content.atoms.append(words)


def _lattice(cell: list[float], name: str) -> NDArray[np.float64]:
    """Lattice vectors in rows, Å: a along x, b in the xy plane."""
    possible = np.isfinite(cell).all() and min(cell) > 0.0 and max(cell[3:]) < 180.0
    lattice = np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T if possible else np.zeros((3, 3))
    if not 0.0 < abs(cofactors(lattice)[1]) < math.inf:
        raise InputError("bad-lattice", f"{name}: no cell has lengths {cell[:3]} Å with angles {cell[3:]}°")
    return lattice


def _operations(content: _Content, name: str) -> Operations:
    """The whole group: identity, inversion and centring are not listed behind SYMM."""
    kind = content.lattice_type
    if kind is None or abs(kind) not in _CENTRINGS:
        reason = "LATT is missing, without which SHELX takes the crystal for centrosymmetric" if kind is None else f"LATT {kind}"
        raise InputError("bad-symmetry", f"{name}: {reason}; 1 to 7 is needed, negative without a centre of inversion")
    listed = [tuple(triplet.upper().split(",")) for triplet in ["X,Y,Z", *content.triplets]]
    if any(len(rows) != 3 for rows in listed):
        raise InputError("bad-symmetry", f"{name}: SYMM {content.triplets[0]!r} cannot be read")
    if kind > 0:
        listed += [tuple(_negative(row) for row in rows) for rows in listed]
    centred = [(rows, shifts) for shifts in _CENTRINGS[abs(kind)] for rows in listed]
    listed += [tuple(f"{row}+{shift}" for row, shift in zip(rows, shifts, strict=True)) for rows, shifts in centred]
    if len(listed) == 1:
        return IDENTITY
    try:
        return parse_operations(tuple(",".join(rows) for rows in listed))
    except ValueError as error:
        raise InputError("bad-symmetry", f"{name}: SYMM and LATT: {error}") from None


def _negative(row: str) -> str:
    """One coordinate of an operation with every sign turned: ``1/2-X`` becomes ``-1/2+X``."""
    signed = row.strip() if row.strip()[:1] in ("+", "-") else f"+{row.strip()}"
    return signed.translate(str.maketrans("+-", "-+"))


def _kind(atom: list[str], symbols: list[str], name: str) -> int:
    """Place among the symbols of the element of a site."""
    kind = int(atom[1]) - 1
    if not 0 <= kind < len(symbols):
        raise InputError("res-syntax", f"{name}: {atom[0]} is of kind {atom[1]}, SFAC names {len(symbols)}")
    number, by_name = number_of(symbols[kind]), label_number(atom[0])
    if not number:
        raise unknown_species(symbols[kind], name=name, site=atom[0])
    if by_name and by_name != number:
        raise InputError("species-mismatch", f"{name}: {atom[0]} is {symbols[kind]} by its number {atom[1]} behind SFAC; mend one")
    return kind


def _value(token: str, content: _Content, label: str, name: str) -> float:
    """A parameter: a number, 10 + a fixed one, or of a free variable v: 10 m + p is p v, and -10 m + p is p (v - 1).

    Raises:
        InputError: ``res-syntax`` for what is no number, or a free variable that is not there.
    """
    try:
        value = real_number(token)
        multiple = int((abs(value) + 5.0) / 10.0) * (1 if value > 0.0 else -1)
        rest = value - 10.0 * multiple
        if multiple in (0, 1):
            return rest
        free = content.free[abs(multiple) - 1]
        if multiple == -1:
            raise ValueError
        return rest * free if multiple > 0 else rest * (free - 1.0)
    except (ValueError, OverflowError, IndexError):
        raise InputError("res-syntax", f"{name}: {label}: {token[:20]!r} is no number, and no free variable of FVAR") from None


def _check_full(
    content: _Content, coords: NDArray[np.float64], operations: Operations, lattice: NDArray[np.float64], name: str
) -> None:
    """Refuse a site that is not full; SHELX divides the occupancy on a special position by the order of the site symmetry."""
    offset = np.einsum("oij,sj->soi", operations.rotations, coords) + operations.translations - coords[:, None]
    offset -= np.rint(offset)
    orders = (np.linalg.norm(offset @ lattice, axis=2) < SPECIAL_POSITION_TOLERANCE).sum(axis=1)  # of the site symmetry
    for atom, order in zip(content.atoms, orders.tolist(), strict=True):
        occupancy = _value(atom[5], content, atom[0], name) if len(atom) > 5 else 1.0
        if not (is_full(occupancy * order) or is_full(occupancy)):
            raise partial_occupancy(f"{occupancy * order:g}", name=name, site=atom[0])


def _check_unit(content: _Content, numbers: NDArray[np.int32], name: str) -> None:
    """Refuse a crystal with other numbers of atoms than UNIT has."""
    if not content.unit:
        return
    if len(content.unit) != len(content.symbols):
        raise InputError("res-syntax", f"{name}: UNIT has {len(content.unit)} numbers, SFAC {len(content.symbols)} elements")
    stated: dict[int, float] = {}
    for symbol, amount in zip(content.symbols, content.unit, strict=True):
        stated[number_of(symbol)] = stated.get(number_of(symbol), 0.0) + amount
    for number, amount in stated.items():
        found = int((numbers == number).sum())
        if not abs(found - amount) <= FORMULA_TOLERANCE * max(found, 1):
            raise InputError(
                "composition-mismatch",
                f"{name}: UNIT has {amount:g} {SYMBOLS[number]} in the cell, the sites and their symmetry make {found};"
                " mend what is wrong, or remove UNIT",
            )
