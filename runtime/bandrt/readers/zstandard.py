"""Zstandard: part of Python from 3.14 on, before that of a package that is an extra."""

from __future__ import annotations

import io
from importlib import import_module
from typing import IO, Any

from bandrt.errors import InputError

_BUFFER = 1 << 17


def open_zstandard(stream: IO[bytes], *, name: str = "") -> IO[bytes]:
    """The bytes of a stream, decompressed; what is damaged or cut short is an OSError or EOFError when it is read.

    Args:
        stream: the bytes of the file.
        name: what to call it in an error.

    Raises:
        InputError: ``missing-package``.
    """
    try:
        library = _library()
    except InputError as error:
        raise error.about(name) if name else error from None
    return io.BufferedReader(_Decompressed(library.open(stream), library.ZstdError), _BUFFER)


def _library() -> Any:
    """Python's own module, or the same one as a package.

    Raises:
        InputError: ``missing-package``.
    """
    try:
        return import_module("compression.zstd")
    except ImportError:
        pass
    try:
        from backports import zstd
    except ImportError:
        raise InputError(
            "missing-package",
            "reading Zstandard needs Python 3.14 or backports.zstd; install it with: pip install 'bandrt[zstd]', or unpack the file"
            " with `zstd -d`",
        ) from None
    return zstd


class _Decompressed(io.RawIOBase):
    """A decompressed stream whose damage is an OSError, as that of every other packing."""

    def __init__(self, opened: Any, damage: type[Exception]) -> None:
        self._opened = opened
        self._damage = damage

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as there is something."""
        try:
            return int(self._opened.readinto(buffer))
        except self._damage as error:
            raise OSError(str(error)) from None

    def close(self) -> None:
        """Close the decompressor."""
        self._opened.close()
        super().close()
