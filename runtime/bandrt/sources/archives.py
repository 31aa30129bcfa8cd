"""Members of zip and tar archives, read in memory one at a time; nothing is unpacked to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO

from bandrt.errors import InputError
from bandrt.readers import format_of, is_of_another_program
from bandrt.readers.text import bare_name, decoded, limited, unpacked
from bandrt.sources.json_documents import documents
from bandrt.sources.kinds import is_hidden, kind_of, stem_of
from bandrt.sources.source import Candidate, Source, refused
from bandrt.sources.tables import BROKEN_STREAM, STRUCTURE_COLUMN, rows, trajectory

_BROKEN_MEMBER = (*BROKEN_STREAM, zipfile.BadZipFile, NotImplementedError)
"""What reading a member raises that is damaged or packed in a way Python does not know."""

Opener = Callable[[], IO[bytes]]


def members(archive: Path, label: str, structure_column: str = STRUCTURE_COLUMN) -> Iterator[Candidate]:
    """Crystals of an archive: its files of known kinds, rows of its tables, frames of its trajectories.

    Args:
        archive: the file.
        label: the file, the same in every run.
        structure_column: of the tables in it.
    """
    listing = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    last = "its beginning"
    try:
        for member, opener in listing(archive):
            if not is_hidden(member) and kind_of(member) is not None:
                yield from _member(member, opener, f"{archive}:{member}", f"{label}:{member}", structure_column)
            last = member
    except (*_BROKEN_MEMBER, tarfile.TarError) as error:
        yield refused(stem_of(archive.name), str(archive), "unreadable", f"{error}; nothing after {last} can be read")


def _zip_members(archive: Path) -> Iterator[tuple[str, Opener]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                yield info.filename, partial(_open_zipped, opened, info)


def _open_zipped(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.flag_bits & 0x1:
        raise NotImplementedError("it needs a password")
    return opened.open(info)


def _tar_members(archive: Path) -> Iterator[tuple[str, Opener]]:
    with tarfile.open(archive) as opened:
        remembered: list[tarfile.TarInfo] = opened.members  # type: ignore[attr-defined]
        while (info := opened.next()) is not None:
            if info.isreg():
                yield info.name, partial(_open_tarred, opened, info)
            remembered.clear()  # else memory grows with the number of members
        opened.fileobj.seek(opened.offset)
        if len(opened.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the end mark is missing, it may be cut short")


def _open_tarred(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = opened.extractfile(info)
    assert stream is not None  # only for members that are no files
    return stream


def _member(member: str, opener: Opener, path: str, label: str, structure_column: str) -> Iterator[Candidate]:
    """Crystals of one member."""
    kind = kind_of(member)
    if kind == "archive":
        yield refused(stem_of(member), path, "unsupported-format", "an archive inside an archive; unpack the outer one")
        return
    if kind in ("ase", "parquet"):
        package = "ASE" if kind == "ase" else "pyarrow"
        yield refused(stem_of(member), path, "unsupported-format", f"a file that {package} has to open; unpack the archive")
        return
    try:
        with closing(opener()) as stream:
            if kind == "table":
                yield from rows(stream, member, path, label, structure_column)
            elif kind == "frames":
                yield from trajectory(stream, member, path, label)
            else:
                raw = limited(unpacked(stream, member, name=path), name=path)
                if is_of_another_program(member, decoded(raw)):
                    return
                several = documents(io.BytesIO(raw), bare_name(member), path, label) if kind == "document" else iter(())
                first = next(several, None)
                yield first or Candidate(Source(stem_of(member), path, format_of(member) or "cif", decoded(raw)), label)
                yield from several
    except InputError as error:
        yield Candidate(Source(stem_of(member), path, "cif", error), label)
    except _BROKEN_MEMBER as error:
        yield refused(stem_of(member), path, "unreadable", str(error))
