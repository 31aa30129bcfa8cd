"""What is piped in: the text of a crystal, a table, or a list of paths; told apart by what it says, since it has no name."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from bandrt.errors import BandrtError
from bandrt.readers import Format
from bandrt.readers.espresso import is_espresso
from bandrt.readers.res import is_res
from bandrt.readers.text import decoded
from bandrt.sources.json_documents import documents
from bandrt.sources.source import Candidate, Source
from bandrt.sources.tables import OTHER_COLUMN, STRUCTURE_COLUMN, rows, trajectory

STANDARD_INPUT = Path("-")
"""The path that stands for it."""
NAME = "stdin"
"""What it is called in ids and messages."""
MAX_PIPED_BYTES = 2**28
"""More is to be written to a file, which is read piece by piece."""
_LOOKED_AT = 100
"""Lines of a list that are looked for on disk to know that it is one."""
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK\3\4")
_CIF = re.compile(r"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)
_CIF_TAG = re.compile(r"^[ \t]*(?:_[a-z]\S*|loop_)", re.IGNORECASE | re.MULTILINE)
_BLOCK = re.compile(r"^[ \t]*data_(\S+)", re.IGNORECASE | re.MULTILINE)
_AIMS = re.compile(r"^[ \t]*lattice_vector\s", re.MULTILINE)
_XSF = re.compile(r"^[ \t]*PRIMVEC\b", re.IGNORECASE | re.MULTILINE)
_ROWS_OF_THREE = 3

PipedKind = Literal["csv", "jsonl", Format]


@dataclass(frozen=True)
class Piped:
    """Crystals that were piped in as text.

    Attributes:
        kind: how they are written.
        text: all of it.
    """

    kind: PipedKind
    text: str


def read_piped(stream: IO[bytes], structure_column: str = STRUCTURE_COLUMN) -> Piped | list[Path]:
    """Tell what is piped in: text of crystals, or paths, one a line or separated by NUL.

    Args:
        stream: standard input.
        structure_column: of a table.

    Raises:
        BandrtError: ``no-input`` if there is nothing, ``too-large``, ``unsupported-format`` if it is neither.
    """
    raw = stream.read(MAX_PIPED_BYTES + 1)
    if not raw.strip(b"\0 \t\r\n"):
        raise BandrtError("no-input", f"{NAME}: nothing was piped in; pipe a crystal, or paths, one a line")
    if len(raw) > MAX_PIPED_BYTES:
        raise BandrtError("too-large", f"{NAME}: more than {MAX_PIPED_BYTES // 2**20} MiB were piped in; write them to a file")
    if raw.startswith(_PACKED):
        raise BandrtError(
            "unsupported-format", f"{NAME}: is compressed; unpack it, as in `zcat FILE | bandrt infer -`, or name the file"
        )
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    paths = [] if is_utf16 else _paths(raw)
    there = [os.path.lexists(path) for path in paths[:_LOOKED_AT]]
    if there and all(there):
        return paths
    text = decoded(raw)
    kind = None if "\0" in text else _kind(text, structure_column)
    if kind is not None:
        return Piped(kind, text)
    if any(there):
        return paths
    raise BandrtError(
        "unsupported-format",
        f"{NAME}: neither a crystal in a format that is recognised nor a list of paths: there is no file {text.split()[0][:60]!r}",
    )


def piped_candidates(piped: Piped, structure_column: str = STRUCTURE_COLUMN, keep: Sequence[str] = ()) -> Iterator[Candidate]:
    """The crystals that were piped in; a CIF has the name of its data block for an id."""
    if piped.kind == "csv" or piped.kind == "jsonl":
        yield from rows(_stream(piped.text), f"{NAME}.{piped.kind}", NAME, NAME, structure_column, keep)
        return
    if piped.kind == "extxyz":
        yield from trajectory(_stream(piped.text), f"{NAME}.xyz", NAME, NAME, keep)
        return
    several = (
        documents(_stream(piped.text), f"{NAME}.json", NAME, NAME, structure_column, keep) if piped.kind == "json" else iter(())
    )
    first = next(several, None)
    block = _BLOCK.search(piped.text) if piped.kind == "cif" else None
    yield first or Candidate(Source(block[1] if block else NAME, NAME, piped.kind, piped.text), NAME)
    yield from several


def _stream(text: str) -> IO[bytes]:
    return io.BytesIO(text.encode("utf-8", "replace"))


def _paths(raw: bytes) -> list[Path]:
    """The paths of a list, if it is one."""
    parts = raw.split(b"\0") if b"\0" in raw else raw.splitlines()
    return [Path(os.fsdecode(part)) for part in parts if part.strip()]


def _kind(text: str, structure_column: str) -> PipedKind | None:
    """How a text is written; None for what is not recognised."""
    beginning = text.lstrip()[:1]
    if beginning in ("{", "["):
        return "jsonl" if beginning == "{" and _is_json_lines(text) else "json"
    if _CIF.search(text) and _CIF_TAG.search(text):
        return "cif"
    lines = text.splitlines()
    try:
        header = next(csv.reader(lines[:1]), [])
    except csv.Error:  # a field that is longer than any name of a column
        header = []
    if len(lines) > 1 and (structure_column in header or (structure_column == STRUCTURE_COLUMN and OTHER_COLUMN in header)):
        return "csv"
    if lines[0].strip().isdecimal() and len(lines) > 1 and "lattice=" in lines[1].lower():
        return "extxyz"
    if is_espresso(text):
        return "espresso"
    if _XSF.search(text):
        return "xsf"
    if _AIMS.search(text):
        return "aims"
    if _is_poscar(lines):
        return "poscar"
    return "res" if is_res(text) else None


def _is_json_lines(text: str) -> bool:
    """Whether the first line is a document of its own, and another follows."""
    first, _, rest = text.strip().partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return rest.lstrip()[:1] == "{"


def _is_poscar(lines: list[str]) -> bool:
    """Whether a scale and three vectors follow a first line."""
    numbers = [[_is_number(word) for word in line.split()[:_ROWS_OF_THREE]] for line in lines[1:5]]
    return len(numbers) == 4 and numbers[0][:1] == [True] and all(row == [True] * _ROWS_OF_THREE for row in numbers[1:])


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?", word) is not None
