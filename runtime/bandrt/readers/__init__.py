"""File formats: CIF, POSCAR, pymatgen JSON, extended XYZ, and objects of other packages, each to one `Crystal`.

`to_crystal` takes them all; `parse` takes the text of a file whose format is known, and `format_of` tells it from the name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from os.path import splitext
from pathlib import Path
from typing import Any, Literal, Protocol

from bandrt.arguments import check_choice
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers.aims import read_aims
from bandrt.readers.cif import read_cif
from bandrt.readers.documents import crystal_of_document, read_json
from bandrt.readers.extxyz import read_extxyz
from bandrt.readers.objects import crystal_of_object
from bandrt.readers.poscar import read_poscar
from bandrt.readers.text import SEARCH, bare_name, is_a_folder, read_file
from bandrt.readers.xsf import read_xsf

__all__ = [
    "FORMATS",
    "Format",
    "format_of",
    "parse",
    "read_aims",
    "read_cif",
    "read_extxyz",
    "read_json",
    "read_poscar",
    "read_xsf",
    "to_crystal",
]

Format = Literal["cif", "poscar", "json", "extxyz", "xsf", "aims"]

FORMATS = (
    "CIF (.cif, .mcif, .mmcif), POSCAR, CONTCAR, .vasp, .poscar, JSON of pymatgen, JARVIS or OPTIMADE (.json),"
    " extended XYZ (.extxyz, .xyz), XSF (.xsf), geometry.in of FHI-aims,"
    " each also as .gz, .bz2, .xz or .zst"
)
"""What can be read, for people."""

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
}
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
}


def format_of(file_name: str) -> Format | None:
    """Format of a file by its name, ``.gz`` and its like aside; None if it is none that can be read."""
    bare = bare_name(file_name.rsplit("/", 1)[-1])
    known = _SUFFIXES.get(splitext(bare)[1].lower())
    return known or ("poscar" if _VASP_NAME.fullmatch(bare) else "aims" if _AIMS_NAME.fullmatch(bare) else None)


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
    return _READERS[file_format](text, name=name)


def to_crystal(item: Any, *, name: str | None = None) -> Crystal:
    """Crystal of anything that holds one.

    Args:
        item: a path (str or Path) to a file, the text of a CIF, a pymatgen `Structure`, its dictionary or an object
            that holds it as ``structure``, an ASE `Atoms`, or a `Crystal`.
        name: what to call it in an error; the file name for a path.

    Raises:
        InputError: stage ``read``, by a stable code.
    """
    if isinstance(item, str) and "\n" in item:
        if "data_" not in item and "data_" not in item.lower():
            raise InputError(
                "unsupported-format", f"{name or 'text'}: text is read as a CIF, and there is no data_ block in this one"
            )
        return read_cif(item, name=name or "CIF text")
    if isinstance(item, str | os.PathLike):
        path = os.fsdecode(item)
        if not path:
            raise InputError("file-not-found", f"{name or 'path'}: is empty, there is no such file")
        return _read_path(Path(path), name or os.path.basename(path) or repr(path))
    name = name or "crystal"
    if isinstance(item, Crystal):
        return Crystal.checked(item.lattice, item.atomic_numbers, item.frac_coords, name=name).with_notes(item.notes)
    if isinstance(item, Mapping):
        return crystal_of_document(item, name=name)
    return crystal_of_object(item, name=name)


def _read_path(path: Path, name: str) -> Crystal:
    file_format = format_of(path.name)
    if file_format is None:
        if os.path.isdir(path):
            raise is_a_folder(name)
        raise InputError("unsupported-format", f"{name}: this file name says no format that can be read: {FORMATS}; {SEARCH}")
    return parse(read_file(path, name=name), file_format, name=name)
