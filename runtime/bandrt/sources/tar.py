"""Members of a tar archive, read from front to back: a damaged header costs its own member and is told.

Python's tarfile ends without a word at a header whose checksum is wrong, believes the sizes in extended headers, and does not
read on to the checksum of a compressed archive. Here every header is looked for, block by block, and what lies between is counted.
Source: POSIX pax interchange format; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from bandrt.sources.packed import FREE_EXPANSION, MAX_EXPANSION

BLOCK = 512
MAX_EXTENDED_BYTES = 2**20
"""Of an extended header or a long name: a path has some hundred bytes."""
_SHOWN_GAPS = 3
_NO_FILES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"M": "the rest of a file from another volume",
}
_PASSED_OVER = (b"5", b"D", b"V", b"A", b"E", b"I", b"N")
"""Folders, labels and attributes: no crystal can be in them."""
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Whatever size their header gives."""


class DamagedTarError(Exception):
    """An archive is cut short, or parts of it cannot be read; what could be read was given before."""


@dataclass(frozen=True)
class TarMember:
    """A member.

    Attributes:
        name: its path in the archive.
        content: its bytes, to be read before the next member is asked for; none where it has none that are its own.
        problem: what it is instead of a plain file; empty for a file.
        damaged: whether it cannot be told what it is.
    """

    name: str
    content: IO[bytes] | None
    problem: str = ""
    damaged: bool = False


def tar_members(stream: IO[bytes], *, packed_bytes: int) -> Iterator[TarMember]:
    """Every member of an archive but folders.

    Args:
        stream: the archive, unpacked.
        packed_bytes: size of the file that it is unpacked from.

    Raises:
        DamagedTarError: at the end, if anything is missing; it says where.
        Exception: what reading the stream raises.
    """
    return _Walk(stream, max(FREE_EXPANSION, MAX_EXPANSION * packed_bytes)).members()


@dataclass(frozen=True)
class _Header:
    name: str
    kind: bytes
    size: int
    extended: bool
    """Whether blocks of an old sparse map follow."""


@dataclass
class _Said:
    """What extended headers say of the member after them."""

    values: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class _Walk:
    """The way through an archive."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._at = 0
        self._gaps: list[str] = []  # the first few
        self._n_gaps = 0
        self._last = ""

    def members(self) -> Iterator[TarMember]:
        said, zeros, gap = _Said(), 0, 0
        while len(block := self.read(BLOCK)) == BLOCK:
            header = _header(block)
            if header is None:
                blank = not block.strip(b"\0")
                zeros = zeros + 1 if blank and not gap else 0
                gap += 0 if zeros else BLOCK
                continue
            self._close_gap(gap)
            zeros = gap = 0
            if header.kind in b"xXgLK":
                self._extended(header, said)
                continue
            yield from self._member(header, said)
            said = _Said()
        self._close_gap(gap + (len(block) if gap or block.strip(b"\0") else 0))
        if not zeros and not gap:
            self._miss("the end mark is missing, it may be cut short")
        if said.values or said.problem:
            self._miss(f"the member is missing whose long name stands {self._place()}")
        self._tell()

    def read(self, size: int) -> bytes:
        """Up to so many bytes; fewer only at the end."""
        pieces, left = [], size
        while left and (piece := self._stream.read(min(left, 2**20))):
            pieces.append(piece)
            left -= len(piece)
            self._at += len(piece)
        if self._at > self._limit:
            raise DamagedTarError(f"it unpacks to more than {MAX_EXPANSION} times its size; reading stopped {self._place()}")
        return b"".join(pieces)

    def _member(self, header: _Header, said: _Said) -> Iterator[TarMember]:
        values = said.values
        name = values.get("GNU.sparse.name", values.get("path", header.name))
        size = int(values.get("size", header.size))
        problem = said.problem or _NO_FILES.get(header.kind, "")
        if not problem and any(key.startswith("GNU.sparse.") for key in values):
            problem = _NO_FILES[b"S"]
        if not problem and header.kind not in (b"0", b"\0", b"7", *_PASSED_OVER):
            problem = f"of a type that is not known here ({header.kind!r})"
        while header.extended and (block := self.read(BLOCK)):
            if not block[-8]:
                break
        content = _Content(self, 0 if header.kind in _WITHOUT_CONTENT else size)
        folder = header.kind in _PASSED_OVER or (header.kind == b"\0" and name.endswith("/"))
        if not folder:
            yield TarMember(name, None if problem else io.BufferedReader(content), problem, bool(said.problem))
        content.skip()
        if content.left:
            self._miss(f"it ends within {name}")
            self._tell()
        self.read(-content.size % BLOCK)
        self._last = name

    def _extended(self, header: _Header, said: _Said) -> None:
        """Take what an extended header, or a GNU long name, says of the next member."""
        content = _Content(self, header.size)
        raw = content.read(MAX_EXTENDED_BYTES)
        content.skip()
        if content.left:
            self._miss("it ends within a long name or an extended header")
            self._tell()
        self.read(-content.size % BLOCK)
        if header.kind == b"g":
            return  # of all members, which one path or size cannot be of
        if content.size > MAX_EXTENDED_BYTES:
            said.problem = f"a member with an extended header of {content.size} bytes"
        elif header.kind == b"L":
            said.values["path"] = _text(raw)
        elif header.kind in b"xX":
            try:
                said.values.update(_records(raw))
                if not re.fullmatch("[0-9]{1,20}", said.values.get("size", "0")):
                    raise ValueError("a size is no number")
            except ValueError:
                said.values.clear()
                said.problem = "a member with a damaged extended header"

    def _close_gap(self, size: int) -> None:
        if size:
            self._miss(f"{size} bytes {self._place(size)} begin with no header that can be read")

    def _miss(self, what: str) -> None:
        self._n_gaps += 1
        if len(self._gaps) < _SHOWN_GAPS:
            self._gaps.append(what)

    def _place(self, before: int = 0) -> str:
        return f"after {self._last}" if self._last else f"at byte {self._at - before}"

    def _tell(self) -> None:
        if self._gaps:
            more = f"; and {self._n_gaps - len(self._gaps)} more places" if self._n_gaps > len(self._gaps) else ""
            raise DamagedTarError(f"{'; '.join(self._gaps)}{more}; members may be missing there")


class _Content(io.RawIOBase):
    """The bytes of one member."""

    def __init__(self, walk: _Walk, size: int) -> None:
        self._walk = walk
        self.size = self.left = size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer.

        Raises:
            EOFError: the archive ends before the member does.
        """
        raw = self._take(min(self.left, len(buffer)))
        if not raw and self.left and len(buffer):
            raise EOFError("the archive ends within it")
        buffer[: len(raw)] = raw
        return len(raw)

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes, fewer at the end of the member or archive."""
        return self._take(self.left if size < 0 else min(self.left, size))

    def skip(self) -> None:
        """Read to the end."""
        while self._take(min(self.left, 2**20)):
            pass

    def _take(self, size: int) -> bytes:
        raw = self._walk.read(size)
        self.left -= len(raw)
        return raw


def _header(block: bytes) -> _Header | None:
    """The header in a block; None where its checksum says that there is none."""
    said = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked) if max(block) > 127 else -1
    size = _number(block[124:136])
    if said is None or size is None or said not in (sum(blanked), signed):
        return None
    kind, name = block[156:157], _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return _Header(name, kind, size, kind == b"S" and bool(block[482]))


def _number(raw: bytes) -> int | None:
    """A number of a header, in octal digits or, after a first bit that is set, binary; None for neither, or a negative one."""
    if raw[0] == 0x80:
        return int.from_bytes(raw[1:], "big")
    try:
        digits = raw.split(b"\0")[0].strip()
        return int(digits, 8) if digits.isdigit() else None if digits else 0
    except ValueError:
        return None


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _records(raw: bytes) -> Iterator[tuple[str, str]]:
    """Keys and values of an extended header: ``length key=value\\n``, the length that of the whole.

    Raises:
        ValueError: it is damaged.
    """
    while raw.strip(b"\0"):
        length, _, _ = raw[:20].partition(b" ")
        record, raw = raw[: int(length)], raw[int(length) :]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n") or len(record) != int(length):
            raise ValueError("a record of an extended header is damaged")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
