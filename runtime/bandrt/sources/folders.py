"""Files that paths lead to: each once, in sorted order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandrt.errors import InputError
from bandrt.readers import is_of_another_program, may_be_of_another_program
from bandrt.readers.text import BROKEN, decoded, unpacked
from bandrt.sources.kinds import Kind, ending_of, is_hidden, kind_of
from bandrt.sources.unique import SeenStrings

_ASE_BEGINNINGS = (b"- of Ulm", b"SQLite format 3\0")
"""Of a trajectory and a database."""
_BEGINNING_BYTES = 2**20
"""Read of a file whose name other programs use, too, to tell whose it is."""


@dataclass(frozen=True)
class FoundFile:
    """A file to open.

    Attributes:
        path: as the user would write it.
        label: the same however the user got there: the folder that was searched, then the path inside it.
        kind: what it holds; None for one that is none of ours, or that cannot be looked at.
        problem: code and reason if `kind` is None.
    """

    path: Path
    label: str
    kind: Kind | None
    problem: tuple[str, str] = ("", "")


def files(paths: Sequence[Path], *, skip: Sequence[Path] = (), left_out: Counter[str] | None = None) -> Iterator[FoundFile]:
    """Files that were named, and files of known kinds in folders that were named.

    Hidden files are found only when named. A file that is reached twice, by a link or because it is given twice, comes once.

    Args:
        paths: files and folders, in the order wanted.
        skip: folders not to search, such as the output of this run.
        left_out: where to count the files in folders that are of no known kind, hidden ones aside, by their endings.
    """
    seen = SeenStrings()
    for folder in skip:
        seen.add(os.path.realpath(folder))
    for path in paths:
        real = os.path.realpath(path)
        if os.path.isdir(path):
            yield from _search(Path(path), os.path.basename(real), real, seen, left_out)
        elif seen.add(real):
            absolute = Path(os.path.abspath(path))
            yield _named(Path(path), f"{absolute.parent.name}/{absolute.name}")


def _named(path: Path, label: str) -> FoundFile:
    """A file that the user named: one that cannot be used is reported."""
    if not os.path.exists(path):
        return FoundFile(path, label, None, ("file-not-found", "no such file or folder"))
    kind = kind_of(path.name)
    if kind is None:
        return FoundFile(path, label, None, ("unsupported-format", "this file name says no format that can be read"))
    return FoundFile(path, label, kind)


def _search(folder: Path, label: str, real: str, seen: SeenStrings, left_out: Counter[str] | None) -> Iterator[FoundFile]:
    """Files of known kinds below a folder, names in sorted order, folders where their name stands."""
    if not seen.add(real):
        return
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield FoundFile(folder, label, None, ("unreadable", error.strerror or str(error)))
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        real_path = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
        if entry.is_dir():
            yield from _search(Path(entry.path), f"{label}/{entry.name}", real_path, seen, left_out)
            continue
        kind = kind_of(entry.name)
        if (kind == "ase" and not _of_ase(entry)) or (may_be_of_another_program(entry.name) and _of_another_program(entry)):
            kind = None
        if kind is None and left_out is not None and entry.is_file() and seen.add(real_path):
            left_out[ending_of(entry.name)] += 1
        if kind is not None and (entry.is_file() or entry.is_symlink()) and seen.add(real_path):
            yield FoundFile(Path(entry.path), f"{label}/{entry.name}", kind)


def _of_ase(entry: os.DirEntry[str]) -> bool:
    """Whether a file in a folder begins as ASE's do: others end in ``.db`` or ``.traj``, too."""
    try:
        if not entry.is_file():
            return entry.is_symlink()  # a dangling link is reported
        with open(entry.path, "rb") as file:
            return file.read(16).startswith(_ASE_BEGINNINGS)
    except OSError:
        return True  # that it cannot be read is reported


def _of_another_program(entry: os.DirEntry[str]) -> bool:
    """Whether a file in a folder has a name that we know, and is of another program: many write ``.in`` and ``.res``."""
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file, unpacked(file, entry.name) as stream:
            return is_of_another_program(entry.name, decoded(stream.read(_BEGINNING_BYTES)))
    except (InputError, *BROKEN):
        return False  # that it cannot be read is reported
