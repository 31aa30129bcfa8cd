"""What a file can be, told from its name."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from bandrt.readers import format_of

Kind = Literal["crystal", "frames", "table", "archive"]

TABLES = (".csv", ".jsonl")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_CRYSTALS = (".cif", ".vasp", ".poscar", ".json", ".extxyz", ".xyz")


def kind_of(file_name: str) -> Kind | None:
    """What the name says the file holds; None for a file that is not for us."""
    lower = file_name.lower()
    if lower.endswith(ARCHIVES):
        return "archive"
    if lower.removesuffix(".gz").endswith(TABLES):
        return "table"
    found = format_of(file_name)
    if found is None:
        return None
    return "frames" if found == "extxyz" else "crystal"


def stem_of(file_name: str) -> str:
    """The file name without folder and known endings: ``a/GaAs.cif.gz`` is ``GaAs``; ``POSCAR.Si`` stays."""
    name = PurePosixPath(file_name).name
    for endings in (ARCHIVES, (".gz",), TABLES + _CRYSTALS):
        ending = max((ending for ending in endings if name.lower().endswith(ending)), key=len, default="")
        if ending and len(ending) < len(name):
            name = name[: -len(ending)]
    return name


def is_hidden(file_name: str) -> bool:
    """Whether any part of a path inside a folder or archive is hidden, or a Mac's shadow of another file."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(file_name).parts)
