"""From a file on disk, perhaps compressed, to its text."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable
from os.path import splitext
from pathlib import Path
from typing import IO, Any, Protocol

from bandrt.errors import InputError
from bandrt.files import SPECIAL, absent, is_special
from bandrt.limits import MAX_CRYSTAL_BYTES, MAX_DIGITS, too_large
from bandrt.readers.zstandard import open_zstandard

PACKINGS = (".gz", ".bz2", ".xz", ".zst")
"""Endings of files that are compressed, in lower case."""
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What reading a damaged file raises; a ValueError is for a name that no file can have."""

SEARCH = "folders, tables and archives are searched by `bandrt infer`, and in Python by `bandrt.find`"


_LINE_END = re.compile(r"\r\n|\r|\n")
"""Of a text file. Python's ``splitlines`` ends lines at eight more characters, the ellipsis of an old code page among them."""


class ByteStream(Protocol):
    """Anything that bytes are read from: a file, a member of an archive."""

    def read(self, size: int, /) -> bytes: ...


def bare_name(file_name: str) -> str:
    """The name of a file without the ending that says how it is compressed: ``a.cif`` for ``a.cif.gz``."""
    bare, ending = splitext(file_name)
    return bare if ending.lower() in PACKINGS else file_name


def unpacked(stream: IO[bytes], file_name: str, *, name: str = "") -> IO[bytes]:
    """The bytes of a stream, decompressed if the name of the file says so.

    Args:
        stream: the bytes of the file.
        file_name: its name.
        name: what to call it in an error.

    Raises:
        InputError: ``missing-package`` for Zstandard where nothing reads it.
    """
    ending = splitext(file_name)[1].lower()
    if ending == ".zst":
        return open_zstandard(stream, name=name)
    opened: IO[bytes] = _OPENERS[ending](stream) if ending in _OPENERS else stream
    return opened


def decoded(raw: bytes) -> str:
    """Text of the bytes: UTF-8 or UTF-16 with a mark, else Latin-1, which takes every byte."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def check_not_empty(text: str, *, name: str) -> None:
    """Refuse a file that holds nothing but white space.

    Raises:
        InputError: ``empty-file``.
    """
    if not text or text.isspace():
        raise InputError("empty-file", f"{name}: the file is empty")


def lines_of(text: str) -> list[str]:
    """The lines of a text file, without their ends."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def real_number(written: str) -> float:
    """A number as programs write it; to Python, 3_3 is thirty-three.

    Raises:
        ValueError: it is none.
    """
    return float(_without_underscore(written))


def integer(written: str) -> int:
    """A whole number as programs write it.

    Raises:
        ValueError: it is none.
    """
    return int(_without_underscore(written))


def whole_number(written: str, what: str, *, name: str) -> int:
    """Read a number of something, of decimal digits.

    Args:
        written: the digits.
        what: is counted, for the error.
        name: what to call the input.

    Raises:
        InputError: ``number-too-large``.
        ValueError: they are no digits.
    """
    digits = written.strip().lstrip("0")
    if len(digits) > MAX_DIGITS and digits.isdecimal():
        raise InputError("number-too-large", f"{name}: {what} has {len(digits)} digits, {digits[:12]}...; at most {MAX_DIGITS}")
    return integer(digits or written.strip()[-1:])  # Python counts zeros, too


def _without_underscore(written: str) -> str:
    if "_" in written:
        raise ValueError(f"{written[:40]!r} is no number")
    return written


def limited(stream: ByteStream, *, name: str) -> bytes:
    """All bytes of a stream that holds one crystal.

    Raises:
        InputError: ``too-large``.
    """
    raw = stream.read(MAX_CRYSTAL_BYTES + 1)
    if len(raw) > MAX_CRYSTAL_BYTES:
        raise too_large(name)
    return raw


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading; a FIFO that nobody writes to would be waited for without end, and a device may have no end.

    Raises:
        InputError: ``not-a-file``.
        OSError: it cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return file
    file.close()
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise InputError("not-a-file", f"{path}: {SPECIAL}")


def read_file(path: Path, *, name: str) -> str:
    """Text of a file, decompressed if its name says that it is compressed.

    Raises:
        InputError: ``file-not-found``, ``is-a-folder``, ``not-a-file``, ``unreadable``, ``too-large`` or ``missing-package``.
    """
    if is_special(path):
        raise InputError("not-a-file", f"{name}: {SPECIAL}")
    try:
        with open_file(path) as file, unpacked(file, path.name, name=name) as stream:
            return decoded(limited(stream, name=name))
    except FileNotFoundError:
        raise InputError("file-not-found", f"{name}: {absent(path)}") from None
    except IsADirectoryError:
        raise is_a_folder(name) from None
    except BROKEN as error:
        raise InputError("unreadable", f"{name}: {getattr(error, 'strerror', None) or error}") from error


def is_a_folder(name: str) -> InputError:
    """Why a folder is not read as a crystal."""
    return InputError("is-a-folder", f"{name}: is a folder, not a crystal; {SEARCH}")
