"""What a file can be, told from its name."""

from __future__ import annotations

import re
from typing import Literal

from bandrt.readers import format_of

Kind = Literal["crystal", "frames", "table", "archive"]

TABLES = (".csv", ".jsonl")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_PLAIN = r"\.(?:csv|jsonl|cif|vasp|poscar|json|extxyz|xyz)"
_ENDING = re.compile(rf"(?<=.)(?:\.tar\.(?:gz|bz2|xz)|\.(?:zip|tar|tgz)|(?:{_PLAIN})?\.gz|{_PLAIN})$", re.IGNORECASE)


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
    return _ENDING.sub("", file_name.rsplit("/", 1)[-1])


def is_hidden(file_name: str) -> bool:
    """Whether any part of a path inside a folder or archive is hidden, or a Mac's shadow of another file."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in file_name.split("/"))
