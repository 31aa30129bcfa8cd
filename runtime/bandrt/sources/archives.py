"""Members of zip and tar archives, read in memory one at a time; nothing is unpacked to disk.

A member that cannot be read costs itself. What is missing from a damaged archive is told at its end, after everything that is left.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any

from bandrt.errors import InputError
from bandrt.limits import MAX_CRYSTAL_BYTES
from bandrt.readers import format_of, is_of_another_program
from bandrt.readers.text import bare_name, decoded, limited, open_file, unpacked
from bandrt.sources.json_documents import documents
from bandrt.sources.kinds import is_hidden, kind_of, stem_of
from bandrt.sources.packed import FREE_EXPANSION, MAX_EXPANSION, packing_of
from bandrt.sources.source import Candidate, Source, refused
from bandrt.sources.tables import STRUCTURE_COLUMN, rows, trajectory
from bandrt.sources.tar import TarMember, tar_members

_ENCRYPTED, _NAME_IS_UTF8 = 0x1, 0x800
"""Flags of a member of a zip archive."""

_PACK_IT = "pack the file itself"

Opener = Callable[[], IO[bytes]]


def members(archive: Path, label: str, structure_column: str = STRUCTURE_COLUMN, keep: Sequence[str] = ()) -> Iterator[Candidate]:
    """Crystals of an archive: its files of known kinds, rows of its tables, frames of its trajectories.

    Args:
        archive: the file.
        label: the file, the same in every run.
        structure_column: of the tables in it.
        keep: columns of its tables to carry through.
    """
    listing = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    last = "its beginning"
    try:
        for member, opener in listing(archive):
            if not is_hidden(member) and kind_of(member) is not None:
                yield from _member(member, opener, f"{archive}:{member}", f"{label}:{member}", structure_column, keep)
            last = member
    except Exception as error:  # zipfile and what unpacks raise a dozen kinds; a damaged archive costs only itself
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield refused(stem_of(archive.name), str(archive), "unreadable", f"{reason}; read up to {last}, which may be damaged, too")


def _zip_members(archive: Path) -> Iterator[tuple[str, Opener]]:
    with open_file(archive) as file:
        try:
            opened = zipfile.ZipFile(file)
        except UnicodeDecodeError:  # zipfile reads no member of an archive in which one name is damaged
            opened = zipfile.ZipFile(_without_utf8_flags(file))
        damaged: list[str] = []
        with opened:
            for info in opened.infolist():
                if not info.filename.endswith("/"):
                    if kind_of(info.filename) is None and not _has_its_name(opened, info):
                        damaged.append(repr(info.filename))
                    yield info.filename, partial(_open_zipped, opened, info)
        if damaged:
            raise zipfile.BadZipFile(f"members have two names, which may hide crystals: {', '.join(damaged)[:200]}")


def _has_its_name(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is called the same in the directory and where it stands: a damaged name hides what it is."""
    try:
        opened.open(info).close()
    except zipfile.BadZipFile:
        return False
    except (NotImplementedError, RuntimeError):  # a packing or a password, which are nothing to us
        return True
    return True


def _open_zipped(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise NotImplementedError("it needs a password")
    if (kind := stat.S_IFMT(info.external_attr >> 16)) not in (0, stat.S_IFREG):
        raise InputError(
            "not-a-file", f"it is {'a symbolic link' if kind == stat.S_IFLNK else 'a device'}, no plain file; {_PACK_IT}"
        )
    if info.file_size > max(FREE_EXPANSION, MAX_EXPANSION * info.compress_size):
        raise InputError("too-large", f"{info.filename}: unpacks to more than {MAX_EXPANSION} times its size")
    if (
        kind_of(info.filename) in ("crystal", "document")
        and bare_name(info.filename) == info.filename
        and info.file_size > MAX_CRYSTAL_BYTES
    ):
        raise InputError("too-large", f"{info.filename}: {info.file_size} bytes unpacked, too many for one crystal")
    return opened.open(info)


def _without_utf8_flags(file: IO[bytes]) -> IO[bytes]:
    """A zip archive, in which no damaged name claims to be UTF-8: zipfile then takes its bytes as they are, by the old code page.

    Raises:
        ValueError: of an archive of more than 4 GiB.
    """
    tail_at = max(0, file.seek(0, io.SEEK_END) - 2**16 - 22)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rindex(b"PK\5\6")
    n_bytes, said_at = struct.unpack_from("<LL", tail, end + 12)
    start = tail_at + end - n_bytes
    if start < 0 or 0xFFFFFFFF in (n_bytes, said_at):
        raise ValueError("a name in it is no UTF-8, as it claims")
    file.seek(start)
    directory = file.read(n_bytes)
    instead: dict[int, int] = {}
    place = 0
    while directory[place : place + 4] == b"PK\1\2":
        upper_flags = directory[place + 9] & ~(_NAME_IS_UTF8 >> 8)
        name, extra, comment = struct.unpack_from("<HHH", directory, place + 28)
        [member_at] = struct.unpack_from("<L", directory, place + 42)
        try:
            directory[place + 46 : place + 46 + name].decode()
        except UnicodeDecodeError:
            instead |= {start + place + 9: upper_flags, start - said_at + member_at + 7: upper_flags}
        place += 46 + name + extra + comment
    return io.BufferedReader(_Overlaid(file, instead))


class _Overlaid(io.RawIOBase):
    """A file of which some bytes read otherwise."""

    def __init__(self, file: IO[bytes], instead: dict[int, int]) -> None:
        self._file = file
        self._instead = instead
        self._places = sorted(instead)
        file.seek(0)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        at = self._file.tell()
        raw = bytearray(self._file.read(len(buffer)))
        for place in range(bisect_left(self._places, at), bisect_left(self._places, at + len(raw))):
            raw[self._places[place] - at] = self._instead[self._places[place]]
        buffer[: len(raw)] = raw
        return len(raw)


def _tar_members(archive: Path) -> Iterator[tuple[str, Opener]]:
    with open_file(archive) as file:
        packing = packing_of(file.read(8))
        file.seek(0)
        with unpacked(file, f"tar{packing}", name=str(archive)) as stream:
            for member in tar_members(stream, packed_bytes=archive.stat().st_size):
                yield member.name, partial(_open_tarred, member)


def _open_tarred(member: TarMember) -> IO[bytes]:
    if member.content is None:
        if member.damaged:
            raise InputError("unreadable", f"it is {member.problem}")
        raise InputError("not-a-file", f"it is {member.problem}, no plain file; {_PACK_IT}")
    return member.content


def _member(member: str, opener: Opener, path: str, label: str, structure_column: str, keep: Sequence[str]) -> Iterator[Candidate]:
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
                yield from rows(stream, member, path, label, structure_column, keep)
            elif kind == "frames":
                yield from trajectory(stream, member, path, label, keep)
            else:
                raw = limited(unpacked(stream, member, name=path), name=path)
                if is_of_another_program(member, decoded(raw)):
                    return
                several = (
                    documents(io.BytesIO(raw), bare_name(member), path, label, structure_column, keep)
                    if kind == "document"
                    else iter(())
                )
                first = next(several, None)
                yield first or Candidate(Source(stem_of(member), path, format_of(member) or "cif", decoded(raw)), label)
                yield from several
    except InputError as error:
        yield Candidate(Source(stem_of(member), path, "cif", error.about(path) if path not in error.message else error), label)
    except Exception as error:  # whatever a damaged member, or one that is packed in a way Python does not know, raises
        yield refused(stem_of(member), path, "unreadable", str(error) or type(error).__name__)
