"""Crystals from extended XYZ, frame by frame."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS, HYDROGEN_ISOTOPES
from bandrt.errors import InputError
from bandrt.limits import check_n_atoms
from bandrt.readers.cartesian import fractional
from bandrt.readers.charges import CHARGE_COLUMN, CHARGE_NAMES, charges_of_atoms
from bandrt.readers.moments import MOMENT_NAMES, moments_of_sites
from bandrt.readers.occupancies import OCCUPANCY_COLUMNS, OCCUPANCY_NAMES, check_column, check_kinds
from bandrt.readers.species import unknown_species
from bandrt.readers.text import check_not_empty, integer, lines_of, real_number, whole_number

_KEY = r'"(?:[^"\\]|\\.)*"|[^\s="]+'
_VALUE = r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|\{[^}]*\}|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|[^\s"]\S*'
_ENTRY = re.compile(rf"({_KEY})(?:\s*=\s*({_VALUE}))?")
"""A key with its value, or alone; what stands between quotes is not looked into."""
_DEFAULT_PROPERTIES = "species:S:1:pos:R:3"
_FLAGS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_JSON = "_JSON "
"""What ASE writes before a value in JSON."""
LATTICE_TOLERANCE = 1e-6
"""Å: two ways to read a matrix that differ by less are one."""


def frames(lines: Iterable[str], *, name: str) -> Iterator[str]:
    """Texts of the frames of a file, one at a time.

    Args:
        lines: the lines of the file, each with its end of line.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``extxyz-syntax`` where a frame does not begin with its number of atoms or the file ends inside it.
    """
    stream = iter(lines)
    for index, line in enumerate(_without_blank_ends(stream)):
        if not line.strip().isdecimal():
            raise InputError("extxyz-syntax", f"{name}:{index}: a number of atoms is needed, found {line.strip()[:40]!r}")
        n_atoms = whole_number(line, "the number of atoms", name=f"{name}:{index}")
        check_n_atoms(n_atoms, name=f"{name}:{index}")
        frame = [line]
        for row in stream:
            frame.append(row)
            if len(frame) == n_atoms + 2:
                break
        if len(frame) < n_atoms + 2:
            raise InputError(
                "extxyz-syntax",
                f"{name}:{index}: {n_atoms} atoms are announced, the file ends after {max(len(frame) - 2, 0)}",
            )
        yield "".join(frame)


def _without_blank_ends(stream: Iterator[str]) -> Iterator[str]:
    """Lines that are not blank; between frames only, since the caller takes the rest of a frame from the same stream."""
    return (line for line in stream if line.strip())


def read_extxyz(text: str, *, name: str = "crystal") -> Crystal:
    """Read the one frame of an extended XYZ file.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``several-frames``, ``extxyz-syntax``, ``not-periodic``, ``unknown-species``, or what
            `Crystal.checked` raises.
    """
    check_not_empty(text, name=name)
    all_frames = frames((f"{line}\n" for line in lines_of(text)), name=name)
    frame = lines_of(next(all_frames))
    if next(all_frames, None) is not None:
        raise InputError("several-frames", f"{name}: more than one frame; give the file itself to `bandrt infer`, which reads each")
    return _crystal_of_frame(frame[1], frame[2:], name)


def info(frame: str) -> dict[str, str]:
    """What the comment line of a frame says, by key.

    Raises:
        InputError: ``extxyz-syntax`` for a key that is there twice with two values.
    """
    return _entries(lines_of(frame)[1], "frame")


def _crystal_of_frame(comment: str, rows: list[str], name: str) -> Crystal:
    entries = _entries(comment, name)
    if "Lattice" not in entries:
        raise InputError("not-periodic", f'{name}: no Lattice="..." in the comment line; a molecule has no bands')
    _check_periodic(entries.get("pbc", "T T T"), name)
    try:
        lattice = _lattice(entries["Lattice"], name)
        columns = _columns(entries.get("Properties", _DEFAULT_PROPERTIES))
        if columns["pos"][1] != 3:
            raise ValueError(f"pos has {columns['pos'][1]} columns")
        table = [row.split() for row in rows]
        width = max(first + count for first, count in columns.values())
        short = next((place for place, row in enumerate(table) if len(row) < width), None)
        if short is not None:
            raise ValueError(f"atom {short + 1} has {len(table[short])} columns of {width}")
        first = columns["pos"][0]
        cartesian = np.array([[real_number(value) for value in row[first : first + 3]] for row in table]).reshape(len(rows), 3)
        for title, (place, count) in columns.items():
            if title.lower() in OCCUPANCY_COLUMNS and count == 1:
                check_column((row[place] for row in table), name=name)
        numbers = _numbers(table, columns, name)
    except (ValueError, KeyError) as error:
        raise InputError("extxyz-syntax", f"{name}: Lattice, Properties or an atom cannot be read: {error}") from None
    _check_occupancy(entries, name)
    crystal = Crystal.checked(lattice, numbers, fractional(cartesian, lattice, name=name), name=name)
    return crystal.with_notes(_notes(entries, columns, table, numbers))


def _notes(
    entries: Mapping[str, str], columns: Mapping[str, tuple[int, int]], table: list[list[str]], numbers: list[int]
) -> tuple[str, ...]:
    """Warnings of moments and a charge, which the comment line and columns may give."""
    titles = {title.lower(): title for title in columns}
    said = {key.lower(): value for key, value in entries.items()}

    def values_of(title: str) -> list[list[str]] | None:
        first, count = columns[titles[title]] if title in titles else (0, 0)
        return [row[first : first + count] for row in table] if count else None

    moments = moments_of_sites(numbers, map(values_of, MOMENT_NAMES), total=said.get("magmom"))
    charge = next((said[key] for key in CHARGE_NAMES if key in said), None)
    charges = values_of(CHARGE_COLUMN)
    return (*moments, *charges_of_atoms(charge, charges and [value for value, *_ in charges]))


def _entries(comment: str, name: str) -> dict[str, str]:
    """Values of the comment line by key, those that are read by their usual spelling: beside `Lattice`, `lattice` is another key.

    Raises:
        InputError: ``extxyz-syntax`` for a key that is there twice with two values.
    """
    entries: dict[str, str] = {}
    for match in _ENTRY.finditer(comment):
        key, value = _bare(match[1]), _bare(match[2]) if match[2] is not None else "T"
        if entries.setdefault(key, value) != value:
            raise InputError("extxyz-syntax", f"{name}: {key} is there twice, as {entries[key][:60]!r} and as {value[:60]!r}")
    for key in ("Lattice", "Properties", "pbc", *OCCUPANCY_NAMES):
        spellings = [other for other in entries if other.lower() == key.lower()]
        if key not in entries and len({entries[other] for other in spellings}) > 1:
            raise InputError("extxyz-syntax", f"{name}: {' and '.join(spellings)} are there, none of them written {key}")
        if spellings:
            entries.setdefault(key, entries[spellings[0]])
    return entries


def _bare(written: str) -> str:
    """A key or value without its delimiters and escapes."""
    if len(written) > 1 and written[0] + written[-1] in ('""', "''", "{}", "[]"):
        written = written[1:-1]
    return re.sub(r"\\(.)", r"\1", written)


def _check_periodic(pbc: str, name: str) -> None:
    """Refuse what is not periodic along all three axes."""
    flags = [_FLAGS.get(flag) for flag in re.split(r"[\s,]+", pbc.strip().lower())]
    if len(flags) not in (1, 3) or None in flags:
        raise InputError("extxyz-syntax", f"{name}: pbc is {pbc!r}; three of T and F are needed")
    if not all(flags):
        raise InputError("not-periodic", f"{name}: pbc is {pbc!r}; all three directions must be periodic")


def _lattice(written: str, name: str) -> NDArray[np.float64]:
    """The vectors in rows, (3, 3), Å; a nested list is a matrix whose rows may be meant or its columns.

    Raises:
        InputError: ``extxyz-syntax`` for such a matrix if that makes a difference.
        ValueError: there are not nine numbers.
    """
    numbers = [real_number(value) for value in re.split(r"[\s,\[\]]+", written.strip(" \t,[]"))]
    lattice = np.array(numbers).reshape(3, 3)
    if "[" in written and not np.allclose(lattice, lattice.T, rtol=0.0, atol=LATTICE_TOLERANCE):
        raise InputError(
            "extxyz-syntax",
            f"{name}: Lattice is a nested list, of which programs take the rows or the columns for vectors; write nine numbers in"
            " quotes, one vector after the other",
        )
    return lattice


def _columns(properties: str) -> dict[str, tuple[int, int]]:
    """First column and number of columns of each property: ``species:S:1:pos:R:3`` gives 0, 1 and 1, 3.

    The names that are read may be in any case, unless two differ by it alone.
    """
    fields = properties.split(":")
    first = 0
    columns: dict[str, tuple[int, int]] = {}
    for title, count in zip(fields[::3], fields[2::3], strict=True):
        if title in columns:
            raise ValueError(f"{title} is there twice")
        columns[title] = first, integer(count)
        first += integer(count)
    for title in ("species", "pos", "Z"):
        spellings = [other for other in columns if other.lower() == title.lower() and not (title == "Z" and "species" in columns)]
        if title not in columns and len(spellings) == 1:
            columns[title] = columns[spellings[0]]
    return columns


def _numbers(table: list[list[str]], columns: Mapping[str, tuple[int, int]], name: str) -> list[int]:
    """Atomic number of each atom, by its symbol or its number; if both are there, they have to agree."""
    if "species" not in columns:
        place = columns["Z"][0]
        return [whole_number(row[place], "Z", name=name) for row in table]
    symbols = [row[columns["species"][0]] for row in table]
    numbers = [ATOMIC_NUMBERS.get(symbol, 0) or HYDROGEN_ISOTOPES.get(symbol, 0) for symbol in symbols]
    if 0 in numbers:
        raise unknown_species(symbols[numbers.index(0)], name=name, site=f"site {numbers.index(0) + 1}")
    for atom, (row, number) in enumerate(zip(table, numbers, strict=True)):
        if "Z" in columns and whole_number(row[columns["Z"][0]], "Z", name=name) != number:
            raise InputError(
                "species-mismatch", f"{name}: site {atom + 1} is {symbols[atom]} by its symbol and {row[columns['Z'][0]]} by Z"
            )
    return numbers


def _check_occupancy(entries: Mapping[str, str], name: str) -> None:
    """Refuse a comment line that says that a site is not full, as ASE writes it: ``occupancy="_JSON {...}"``."""
    for key in OCCUPANCY_NAMES:
        written = entries.get(key)
        if written is None:
            continue
        try:
            check_kinds(json.loads(written.removeprefix(_JSON)) if written.startswith(_JSON) else written.split(), name=name)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError("extxyz-syntax", f"{name}: {key} is {written[:60]!r}, which cannot be read: {error}") from None
