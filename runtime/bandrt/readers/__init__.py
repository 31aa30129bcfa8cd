"""File formats: CIF, POSCAR, JSON, extended XYZ, those of several programs, and objects of other packages, each to one `Crystal`.

`to_crystal` takes them all; `parse` takes the text of a file whose format is known, and `format_of` tells it from the name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from os.path import splitext
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from bandrt.arguments import check_choice
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.files import absent, from_home
from bandrt.outcomes import typed
from bandrt.quoting import quoted, shortened
from bandrt.readers.aims import read_aims
from bandrt.readers.cif import read_cif
from bandrt.readers.documents import crystal_of_document, read_json
from bandrt.readers.espresso import is_espresso, read_espresso
from bandrt.readers.extxyz import read_extxyz
from bandrt.readers.objects import crystal_of_object
from bandrt.readers.poscar import read_poscar
from bandrt.readers.res import is_res, read_res
from bandrt.readers.text import SEARCH, bare_name, is_a_folder, read_file
from bandrt.readers.xsf import read_xsf

__all__ = [
    "FORMATS",
    "Format",
    "format_of",
    "is_of_another_program",
    "is_text",
    "may_be_of_another_program",
    "parse",
    "read_aims",
    "read_cif",
    "read_espresso",
    "read_extxyz",
    "read_json",
    "read_poscar",
    "read_res",
    "read_xsf",
    "to_crystal",
]

Format = Literal["cif", "poscar", "json", "extxyz", "xsf", "aims", "res", "espresso"]

FORMATS = (
    "CIF (.cif, .mcif, .mmcif), POSCAR, CONTCAR, .vasp, .poscar, JSON of pymatgen, JARVIS or OPTIMADE (.json), extended XYZ"
    " (.extxyz, .xyz), XSF (.xsf), geometry.in of FHI-aims, .res of SHELX and AIRSS, inputs of pw.x (.pwi, .in),"
    " each also as .gz, .bz2, .xz or .zst"
)
"""What can be read, for people."""

LONGEST_PATH = 4096
"""Characters; no system takes a longer path."""

_SUFFIXES: dict[str, Format] = {
    ".cif": "cif",
    ".mcif": "cif",
    ".mmcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".json": "json",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".xsf": "xsf",
    ".res": "res",
    ".pwi": "espresso",
    ".in": "espresso",
}
_SHARED_SUFFIXES = (".res", ".in")
"""Which other programs use as well, for what is no crystal."""
_OTHER_AIMS_NAME = re.compile(r"(.*[._-])?control\.in")
_AIMS_NAME = re.compile(r"geometry\.in(\.next_step)?|.*[._-]geometry\.in")
_VASP_NAME = re.compile(r"(POSCAR|CONTCAR)([._-].*)?|.*[._-](POSCAR|CONTCAR)")


class _Reader(Protocol):
    def __call__(self, text: str, *, name: str = ...) -> Crystal: ...


_READERS: dict[Format, _Reader] = {
    "cif": read_cif,
    "poscar": read_poscar,
    "json": read_json,
    "extxyz": read_extxyz,
    "xsf": read_xsf,
    "aims": read_aims,
    "res": read_res,
    "espresso": read_espresso,
}


def format_of(file_name: str) -> Format | None:
    """Format of a file by its name, ``.gz`` and its like aside; None if it is none that can be read."""
    bare = bare_name(file_name.rsplit("/", 1)[-1])
    if _AIMS_NAME.fullmatch(bare):
        return "aims"
    if _OTHER_AIMS_NAME.fullmatch(bare):
        return None
    return _SUFFIXES.get(splitext(bare)[1].lower()) or ("poscar" if _VASP_NAME.fullmatch(bare) else None)


def may_be_of_another_program(file_name: str) -> bool:
    """Whether the name alone does not tell that a file is of the format that `format_of` says."""
    return bare_name(file_name).lower().endswith(_SHARED_SUFFIXES) and format_of(file_name) != "aims"


def is_of_another_program(file_name: str, text: str) -> bool:
    """Whether the beginning of a file tells that it is not of the format that `format_of` says: many programs write ``.in``.

    Args:
        file_name: its name.
        text: its beginning, or all of it.
    """
    if not may_be_of_another_program(file_name):
        return False
    return not (is_res(text) if format_of(file_name) == "res" else is_espresso(text))


def parse(text: str, file_format: Format, *, name: str = "crystal") -> Crystal:
    """Crystal of the text of a file.

    Args:
        text: the whole file.
        file_format: how it is written.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: what is wrong with it, by a stable code.
        ArgumentError: ``bad-argument`` for a format that is none.
    """
    check_choice("file_format", file_format, Format)
    with typed("reader-failed", name=name), np.errstate(all="ignore"):  # what overflows is refused for its size
        return _READERS[file_format](text, name=name)


def to_crystal(item: Any, *, name: str | None = None) -> Crystal:
    """Crystal of anything that holds one.

    Args:
        item: a path (str or Path) to a file, the text of a CIF, or of JSON, a pymatgen `Structure`, its dictionary or an object
            that holds it as ``structure``, an ASE `Atoms`, or a `Crystal`.
        name: what to call it in an error; the file name for a path.

    Raises:
        InputError: stage ``read``, by a stable code.
    """
    if isinstance(item, str) and is_text(item):
        if is_json_text(item):
            return read_json(item, name=name or "JSON text")
        if "data_" not in item and "data_" not in item.lower():
            raise InputError(
                "unsupported-format",
                f"{name or 'text'}: this text is no path, no JSON, and no CIF, which has a data_ block: {quoted(item)}",
            )
        return parse(item, "cif", name=name or "CIF text")
    if isinstance(item, str | os.PathLike):
        path = os.fsdecode(item)
        if not path:
            raise InputError("file-not-found", f"{name or 'path'}: is empty, there is no such file")
        return _read_path(Path(from_home(path)), name or shortened(os.path.basename(path)) or quoted(path))
    name = name or "crystal"
    with typed("reader-failed", name=name), np.errstate(all="ignore"):
        if isinstance(item, Crystal):
            return Crystal.checked(item.lattice, item.atomic_numbers, item.frac_coords, name=name).with_notes(item.notes)
        if isinstance(item, Mapping):
            return crystal_of_document(item, name=name)
        return crystal_of_object(item, name=name)


def is_text(given: str) -> bool:
    """Whether it is the text of a file, and not a path: it has several lines, is longer than any path, or is JSON."""
    return "\n" in given or "\r" in given or len(given) > LONGEST_PATH or is_json_text(given)


def is_json_text(given: str) -> bool:
    """Whether a text begins and ends as an object or list of JSON does; no file of ours is called so."""
    text = given.strip()
    return text[:1] + text[-1:] in ("{}", "[]")


def _read_path(path: Path, name: str) -> Crystal:
    file_format = format_of(path.name)
    if file_format is None:
        if os.path.isdir(path):
            raise is_a_folder(name)
        if not os.path.exists(path):
            raise InputError("file-not-found", f"{name}: {absent(path)}")
        raise InputError("unsupported-format", f"{name}: this file name says no format that can be read: {FORMATS}; {SEARCH}")
    with typed("reader-failed", name=name):
        text = read_file(path, name=name)
    return parse(text, file_format, name=name)
