"""What a file can be, told from its name."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from bandrt.readers import format_of
from bandrt.readers.text import bare_name

FileKind = Literal["crystal", "document", "frames", "table", "archive", "ase", "parquet"]

TABLES = (".csv", ".jsonl")
ASE_DATABASE = ".db"
ASE_FILES = (".traj", ASE_DATABASE)
"""Trajectories and databases that ASE writes."""
PARQUET = ".parquet"
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_PLAIN = r"(?:\.(?:csv|jsonl|cif|vasp|poscar|json|extxyz|xyz|xsf|res|pwi|traj|db|parquet)|(?<!geometry)\.in)"
_ENDING = re.compile(rf"(?<=.)(?:\.tar\.(?:gz|bz2|xz)|\.(?:zip|tar|tgz)|(?:{_PLAIN})?\.(?:gz|bz2|xz|zst)|{_PLAIN})$", re.IGNORECASE)


def kind_of(file_name: str) -> FileKind | None:
    """What the name says the file holds; None for a file that is not for us."""
    lower = file_name.lower()
    if lower.endswith(ARCHIVES):
        return "archive"
    if bare_name(lower).endswith(TABLES):
        return "table"
    if lower.endswith(ASE_FILES):
        return "ase"
    if lower.endswith(PARQUET):
        return "parquet"
    found = format_of(file_name)
    if found is None:
        return None
    return "frames" if found == "extxyz" else "document" if found == "json" else "crystal"


def stem_of(file_name: str) -> str:
    """The file name without folder and known endings: ``a/GaAs.cif.gz`` is ``GaAs``; ``POSCAR.Si`` stays."""
    return _ENDING.sub("", file_name.rsplit("/", 1)[-1])


def is_hidden(file_name: str) -> bool:
    """Whether any part of a path inside a folder or archive is hidden, or a Mac's shadow of another file."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in file_name.split("/"))


def ending_of(file_name: str) -> str:
    """The ending of a file, that of a compressed one with it: ``.cube``, ``.cube.gz``; the name where it has none."""
    return (
        "".join(PurePath(file_name).suffixes[-1:] if bare_name(file_name) == file_name else PurePath(file_name).suffixes[-2:])
        or file_name
    )
