"""Files that paths lead to: each once, in sorted order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from bandrt.errors import InputError
from bandrt.files import SPECIAL, absent, is_special
from bandrt.readers import is_of_another_program, may_be_of_another_program
from bandrt.readers.text import BROKEN, decoded, open_file, unpacked
from bandrt.sources.kinds import FileKind, ending_of, is_hidden, kind_of
from bandrt.sources.unique import SeenStrings

_ASE_BEGINNINGS = (b"- of Ulm", b"SQLite format 3\0")
"""Of a trajectory and a database."""
_BEGINNING_BYTES = 2**20
"""Read of a file whose name other programs use, too, to tell whose it is."""
_BROKEN_LINK = "(broken link)"
RESULTS = "folder(s) of earlier results"
"""What is counted where a folder was left out because a run wrote it."""


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
    kind: FileKind | None
    problem: tuple[str, str] = ("", "")


def files(paths: Sequence[Path], *, skip: Sequence[Path] = (), left_out: Counter[str] | None = None) -> Iterator[FoundFile]:
    """Files that were named, and files of known kinds in folders that were named.

    Hidden files are found only when named. A file that is reached twice, by a link or because it is given twice, comes once.

    Args:
        paths: files and folders, in the order wanted.
        skip: folders not to search, such as the output of this run.
        left_out: where to count the files in folders that are of no known kind, hidden ones aside, by their endings, and folders of
            `RESULTS`.
    """
    seen = SeenStrings()
    for folder in skip:
        seen.add(os.path.realpath(folder))
    for path in paths:
        real = os.path.realpath(path)
        if os.path.isdir(path):
            yield from _search(Path(path), os.path.basename(real), real, seen, left_out)
        elif seen.add(real):
            yield _named(Path(path), label_of(path))


def label_of(path: str | os.PathLike[str]) -> str:
    """A file that was named, with the folder it is in, the same from wherever one starts: ``one/POSCAR``."""
    absolute = PurePath(os.path.abspath(path))
    return f"{absolute.parent.name}/{absolute.name}"


def _named(path: Path, label: str) -> FoundFile:
    """A file that the user named: one that cannot be used is reported."""
    if not os.path.exists(path):
        missing = (
            f"is a link to {os.readlink(path)}, which is not there" if os.path.islink(path) else absent(path, "file or folder")
        )
        return FoundFile(path, label, None, ("file-not-found", missing))
    if is_special(path):
        return FoundFile(path, label, None, ("not-a-file", SPECIAL))
    kind = kind_of(path.name)
    if kind is None:
        return FoundFile(path, label, None, ("unsupported-format", "this file name says no format that can be read"))
    if not os.path.isfile(path):
        return FoundFile(path, label, None, ("not-a-file", SPECIAL))
    return FoundFile(path, label, kind)


class _Folder(NamedTuple):
    """A folder that is being searched."""

    label: str
    real: str
    """Its path without links."""
    left: Iterator[os.DirEntry[str]]


def _search(folder: Path, label: str, real: str, seen: SeenStrings, left_out: Counter[str] | None) -> Iterator[FoundFile]:
    """Files of known kinds below a folder, names in sorted order, folders where their name stands."""
    open_folders: list[_Folder] = []  # no recursion: folders may be nested thousands deep
    try:
        open_folders += _opened(folder, label, real, seen, left_out)
    except OSError as error:
        yield FoundFile(folder, label, None, ("unreadable", error.strerror or str(error)))
    while open_folders:
        inside = open_folders[-1]
        entry = next(inside.left, None)
        if entry is None:
            open_folders.pop()
            continue
        if is_hidden(entry.name):
            continue
        path, label = Path(entry.path), f"{inside.label}/{entry.name}"
        real_path = os.path.realpath(entry.path) if entry.is_symlink() else f"{inside.real}/{entry.name}"
        kind = kind_of(entry.name)
        try:
            if entry.is_dir():
                open_folders += _opened(path, label, real_path, seen, left_out)
                continue
            is_file = entry.is_file()
        except OSError as error:  # links in a circle, a folder that cannot be listed
            if kind is not None or not entry.is_symlink():
                yield FoundFile(path, label, None, ("unreadable", error.strerror or str(error)))
            elif left_out is not None:
                left_out[_BROKEN_LINK] += 1
            continue
        if (kind == "ase" and not _of_ase(entry)) or (may_be_of_another_program(entry.name) and _of_another_program(entry)):
            kind = None
        if kind is None:
            if left_out is not None and entry.is_symlink() and not os.path.exists(entry.path):
                left_out[_BROKEN_LINK] += 1  # perhaps to a folder of crystals
            elif left_out is not None and is_file and seen.add(real_path):
                left_out[ending_of(entry.name)] += 1
        elif is_file or (entry.is_symlink() and not os.path.exists(entry.path)):  # a dangling link fails when it is read
            if seen.add(real_path):
                yield FoundFile(path, label, kind)
        elif seen.add(real_path):
            yield FoundFile(path, label, None, ("not-a-file", SPECIAL))


def _opened(folder: Path, label: str, real: str, seen: SeenStrings, left_out: Counter[str] | None) -> list[_Folder]:
    """A folder to search, unless it was searched before or a run wrote it."""
    if not seen.add(real):
        return []
    if _is_of_a_run(folder):
        if left_out is not None:
            left_out[RESULTS] += 1
        return []
    with os.scandir(folder) as listing:
        return [_Folder(label, real, iter(sorted(listing, key=lambda entry: entry.name)))]


def _is_of_a_run(folder: Path) -> bool:
    """Whether a folder has the results of an earlier run, whose tables and documents are no inputs of the next."""
    return os.path.isfile(folder / "run.json") and os.path.isdir(folder / "parts")


def _of_ase(entry: os.DirEntry[str]) -> bool:
    """Whether a file in a folder begins as ASE's do: others end in ``.db`` or ``.traj``, too."""
    try:
        if not entry.is_file():
            return entry.is_symlink() and not os.path.exists(entry.path)  # a dangling link is reported
        with open_file(Path(entry.path)) as file:
            return file.read(16).startswith(_ASE_BEGINNINGS)
    except (OSError, InputError):
        return True  # that it cannot be read is reported


def _of_another_program(entry: os.DirEntry[str]) -> bool:
    """Whether a file in a folder has a name that we know, and is of another program: many write ``.in`` and ``.res``."""
    try:
        if not entry.is_file():
            return False
        with open_file(Path(entry.path)) as file, unpacked(file, entry.name) as stream:
            return is_of_another_program(entry.name, decoded(stream.read(_BEGINNING_BYTES)))
    except (InputError, *BROKEN):
        return False  # that it cannot be read is reported
