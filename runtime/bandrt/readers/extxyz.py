"""Crystals from extended XYZ, frame by frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError
from bandrt.readers.cartesian import fractional
from bandrt.readers.species import unknown_species

_KEY_VALUE = re.compile(r"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|\[([^\]]*)\]|(\S+))""")
_DEFAULT_PROPERTIES = "species:S:1:pos:R:3"
_TRUE = {"t", "true", "1"}


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
        n_atoms = int(line)
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
    if not text.strip():
        raise InputError("empty-file", f"{name}: the file is empty")
    all_frames = frames(text.splitlines(keepends=True), name=name)
    frame = next(all_frames).splitlines()
    if next(all_frames, None) is not None:
        raise InputError("several-frames", f"{name}: more than one frame; give the file itself to `bandrt infer`, which reads each")
    return _crystal_of_frame(frame[1], frame[2:], name)


def _crystal_of_frame(comment: str, rows: list[str], name: str) -> Crystal:
    pairs = {
        match[1].lower(): next(value for value in match.groups()[1:] if value is not None) for match in _KEY_VALUE.finditer(comment)
    }
    if "lattice" not in pairs:
        raise InputError("not-periodic", f'{name}: no Lattice="..." in the comment line; a molecule has no bands')
    pbc = re.split(r"[\s,]+", pairs.get("pbc", "T T T").strip().lower())
    if not all(flag in _TRUE for flag in pbc):
        raise InputError("not-periodic", f"{name}: pbc is {pairs['pbc']!r}; all three directions must be periodic")
    try:
        lattice = np.array([float(value) for value in re.split(r"[\s,]+", pairs["lattice"].strip())]).reshape(3, 3)
        columns = _columns(pairs.get("properties", _DEFAULT_PROPERTIES))
        positions = [[float(value) for value in row.split()[columns["pos"] : columns["pos"] + 3]] for row in rows]
        kind = "species" if "species" in columns else "z"
        written = [row.split()[columns[kind]] for row in rows]
        cartesian = np.array(positions).reshape(len(rows), 3)
    except (ValueError, KeyError, IndexError) as error:
        raise InputError("extxyz-syntax", f"{name}: Lattice, Properties or an atom cannot be read: {error}") from None
    numbers = [int(token) if kind == "z" and token.isdecimal() else ATOMIC_NUMBERS.get(token, 0) for token in written]
    if 0 in numbers:
        raise unknown_species(written[numbers.index(0)], name=name, site=f"site {numbers.index(0) + 1}")
    return Crystal.checked(lattice, numbers, fractional(cartesian, lattice, name=name), name=name)


def _columns(properties: str) -> dict[str, int]:
    """First column of each property, by lower-case name: ``species:S:1:pos:R:3`` gives 0 and 1."""
    fields = properties.split(":")
    first, columns = 0, {}
    for property_name, count in zip(fields[::3], fields[2::3], strict=True):
        columns[property_name.lower()] = first
        first += int(count)
    return columns
