"""From a file on disk, perhaps compressed, to its text."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Protocol

from bandrt.errors import InputError

MAX_CRYSTAL_BYTES = 64 * 1024 * 1024
"""One crystal in a larger file is a mistake or an attack; a CIF of 100,000 atoms has 8 MB."""


SEARCH = "folders, tables and archives are searched by `bandrt infer`, and in Python by `bandrt.sources.find`"


class ByteStream(Protocol):
    """Anything that bytes are read from: a file, a member of an archive."""

    def read(self, size: int, /) -> bytes: ...


def decoded(raw: bytes) -> str:
    """Text of the bytes: UTF-8 or UTF-16 with a mark, else Latin-1, which takes every byte."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def limited(stream: ByteStream, *, name: str) -> bytes:
    """All bytes of a stream that holds one crystal.

    Raises:
        InputError: ``too-large``.
    """
    raw = stream.read(MAX_CRYSTAL_BYTES + 1)
    if len(raw) > MAX_CRYSTAL_BYTES:
        raise InputError("too-large", f"{name}: more than {MAX_CRYSTAL_BYTES // 2**20} MiB, too much for one crystal")
    return raw


def read_file(path: Path, *, name: str) -> str:
    """Text of a file; one whose name ends in ``.gz`` is decompressed.

    Raises:
        InputError: ``file-not-found``, ``is-a-folder``, ``unreadable`` or ``too-large``.
    """
    try:
        with path.open("rb") as file:
            if path.suffix.lower() != ".gz":
                return decoded(limited(file, name=name))
            with gzip.open(file) as unpacked:
                return decoded(limited(unpacked, name=name))
    except FileNotFoundError:
        raise InputError("file-not-found", f"{name}: no such file") from None
    except IsADirectoryError:
        raise is_a_folder(name) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:  # a ValueError is for a name that no file can have
        raise InputError("unreadable", f"{name}: {getattr(error, 'strerror', None) or error}") from error


def is_a_folder(name: str) -> InputError:
    """Why a folder is not read as a crystal."""
    return InputError("is-a-folder", f"{name}: is a folder, not a crystal; {SEARCH}")
