"""Band structures in files and folders, found in a fixed order and opened one at a time.

``.json``, ``.json.gz``         one band document each,
``.jsonl``, ``.jsonl.gz``       one band document a line,
``*vasprun*.xml``, ``.xml.gz``  one VASP run each, see `bandrt.computed.vasprun`.
A document file without a structure takes that of the file beside it, see `bandrt.computed.structure_beside`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from bandrt.computed.documents import DocumentText, Reading
from bandrt.computed.structure_beside import MARK as STRUCTURE_MARK
from bandrt.computed.structure_beside import read_structure, structure_beside
from bandrt.computed.vasprun import VasprunFile, is_vasprun, run_name
from bandrt.errors import InputError
from bandrt.files import file_sha256, require_there

DOCUMENT_SUFFIXES = (".json", ".json.gz")
LINES_SUFFIXES = (".jsonl", ".jsonl.gz")
SIDE_FILES = ("failed.jsonl",)
"""What a download by `bandrt train download` leaves beside its documents."""
UNREADABLE = (OSError, EOFError, zlib.error)


class BandSource(Protocol):
    """Somewhere a band structure can be read from; cheap to hand to another process."""

    @property
    def name(self) -> str:
        """File, and line number where a file holds several."""

    @property
    def id(self) -> str:
        """What to call it if the source does not say."""

    def stamp(self) -> str:
        """What tells whether this is still the same source, without parsing it."""

    def read(self) -> Reading:
        """Read it.

        Raises:
            InputError: it holds no band structure that can be used.
        """


class DocumentFile(NamedTuple):
    """A file with one band document, not yet opened."""

    name: str
    id: str

    def stamp(self) -> str:
        """Checksum of the file and of that with its structure, "" if it cannot be read."""
        path = Path(self.name)
        try:
            return " ".join(file_sha256(file) for file in (path, structure_beside(path)) if file is not None)
        except OSError:
            return ""

    def read(self) -> Reading:
        """Open and parse it.

        Raises:
            InputError: ``malformed``, or what `bandrt.computed.documents.parse_document` raises.
        """
        try:
            packed = Path(self.name).read_bytes()
            text = (gzip.decompress(packed) if self.name.endswith(".gz") else packed).decode()
        except (*UNREADABLE, UnicodeDecodeError) as error:
            raise InputError("malformed", f"{self.name}: cannot be read ({error})") from error
        reading, beside = DocumentText(self.name, self.id, text).read(), structure_beside(Path(self.name))
        if reading.document.crystal is not None or beside is None:
            return reading
        crystal = read_structure(beside, reading.document.reciprocal)
        return Reading(replace(reading.document, crystal=crystal), f"{reading.sha256} {file_sha256(beside)}")


def documents_in(source: Path) -> Iterator[BandSource]:
    """Yield every document of a file or folder, in sorted order.

    Raises:
        NotFoundError: ``file-not-found`` when it does not exist.
        InputError: ``no-input`` when it holds no documents at all.
    """
    for file in find_files(source):
        if file.name.endswith(LINES_SUFFIXES):
            yield from _lines_of(file)
        elif is_vasprun(file):
            yield VasprunFile(str(file), run_name(file, source))
        else:
            yield DocumentFile(str(file), _stem(file))


def find_files(source: Path) -> list[Path]:
    """The files of a folder, or a file itself, that hold band data.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    files = sorted(file for file in source.rglob("*") if _holds_bands(file)) if require_there(source).is_dir() else [source]
    if not files:
        raise InputError(
            "no-input", f"{source}: no band documents here ({', '.join((*DOCUMENT_SUFFIXES, *LINES_SUFFIXES))}, vasprun.xml)"
        )
    return files


def count_in(source: Path) -> int:
    """How many documents a file or folder holds: files with one each, and lines, which are not parsed.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``no-input``.
    """
    return sum(sum(1 for _ in _lines_of(file)) if file.name.endswith(LINES_SUFFIXES) else 1 for file in find_files(source))


def _holds_bands(file: Path) -> bool:
    if file.name.startswith(".") or file.name in SIDE_FILES or _stem(file).endswith(STRUCTURE_MARK) or not file.is_file():
        return False
    return file.name.endswith((*DOCUMENT_SUFFIXES, *LINES_SUFFIXES)) or is_vasprun(file)


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")


def _lines_of(file: Path) -> Iterator[DocumentText]:
    """The documents of a file with one a line; what comes after damage in a compressed file is lost, and said so."""
    stem, number = _stem(file), 0
    try:
        with gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                name, identifier = f"{file}:{number}", f"{stem}-{number}"
                try:
                    yield DocumentText(name, identifier, line.decode())
                except UnicodeDecodeError as error:
                    yield DocumentText(name, identifier, "", str(error))
    except UNREADABLE as error:
        yield DocumentText(f"{file}:{number + 1}", f"{stem}-{number + 1}", "", str(error))
