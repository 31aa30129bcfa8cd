"""Files that are either whole or not there, whether they are there at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from bandrt.errors import NotFoundError

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def replaced(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file under a temporary name in the same folder and move it into place when the block ends well.

    Args:
        path: the final name; what was there before stays until the end.
        mode: text (UTF-8) or binary.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
    try:
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def require_there(path: Path) -> Path:
    """The path of a file or folder that was named as input, if there is one.

    Raises:
        NotFoundError: ``file-not-found``.
    """
    if not path.exists():
        raise NotFoundError("file-not-found", f"{path}: no such file or folder")
    return path


def file_sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
