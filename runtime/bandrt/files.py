"""Files that are either whole or not there, whether they are there or can be written where they are wanted, and their checksums."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from bandrt.arguments import not_allowed
from bandrt.errors import NotFoundError, OutputError, OutputInTheWayError

TEMPORARY_SUFFIX = ".tmp"
CRASH_LOG = "bandrt-error.log"
"""Where the traceback of a bug is written, in the output folder if there is one."""


FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))
"""Why a write fails though the file could be opened."""
UNFINISHED_BYTES = 1 << 16


class _Unfinished:
    """The temporary files that are being written, so that a process that ends at once, or is killed, leaves none of them."""

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._shared: mmap.mmap | None = None

    def share(self) -> None:
        """From now on a process that this one forks tells it which they are, even by its death."""
        self._shared = mmap.mmap(-1, UNFINISHED_BYTES)

    @contextmanager
    def noted(self, path: Path) -> Iterator[None]:
        """Know of a file for as long as it is being written."""
        name = os.fsencode(os.path.abspath(path))
        self._paths.append(name)
        self._tell()
        try:
            yield
        finally:
            self._paths.remove(name)
            self._tell()

    def remove(self) -> None:
        """Remove them; what is not named as temporary files are is left alone, since a name may have been cut short."""
        from shutil import rmtree

        told = self._paths if self._shared is None else bytes(self._shared).partition(b"\0\0")[0].split(b"\0")
        for path in (Path(os.fsdecode(name)) for name in told):
            if _is_temporary(path.name):
                with suppress(OSError):
                    rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _tell(self) -> None:
        text = b"\0".join(self._paths) + b"\0\0"
        if self._shared is not None and len(text) <= UNFINISHED_BYTES:
            self._shared[: len(text)] = text


unfinished = _Unfinished()


@contextmanager
def replaced(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file under a temporary name in the same folder and move it into place when the block ends well.

    Args:
        path: the final name; what was there before stays until the end.
        mode: text (UTF-8) or binary.

    The temporary name is another one each time: nobody can put a link there, and two writers do not meet. What a killed process
    left is removed by `remove_leftovers`.
    """
    temporary = temporary_beside(path)
    text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
    with unfinished.noted(temporary):
        try:
            with open(temporary, mode.replace("w", "x"), **text) as file:  # what is there already, such as a link, is not followed
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
                error.filename = str(path)  # a write that fails does not say of which file
            raise


def temporary_beside(path: Path) -> Path:
    """A name that nobody can know before, in the folder of a file that is to be written under it first."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder among the temporary files of this machine, removed at the end of the block."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix=".bandrt-", suffix=TEMPORARY_SUFFIX) as folder, unfinished.noted(Path(folder)):
        yield Path(folder)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed processes left of files of some names, or patterns, in a folder in which nobody else writes them."""
    for name in names:
        for path in folder.glob(f".{name}.*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)


def require_there(path: Path) -> Path:
    """The path of a file or folder that was named as input, if there is one.

    Raises:
        NotFoundError: ``file-not-found``; ``not-a-file`` for a FIFO and its like, which may never end.
    """
    if not os.path.exists(path):
        raise NotFoundError("file-not-found", f"{path}: {absent(path, 'file or folder')}")
    if is_special(path):
        raise NotFoundError("not-a-file", f"{path}: {SPECIAL}")
    return path


SPECIAL = "is a FIFO, a socket or a device, not a file; it was not opened"


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a FIFO, a socket or a device: opening one may wait for ever."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def path_of(given: str | os.PathLike[str], *, what: str = "path") -> Path:
    """The path that a caller gave as text or as an object.

    Raises:
        ArgumentError: ``bad-argument`` for anything else.
    """
    if not isinstance(given, str | os.PathLike) or not os.fsdecode(given) or "\0" in os.fsdecode(given):
        raise not_allowed(what, given, "a path (str or Path), not empty")
    return Path(from_home(os.fsdecode(given)))


def from_home(path: str) -> str:
    """A path that begins with ``~`` leads from the home of its user, as in a shell, unless something here is called so."""
    if path[:1] != "~" or os.path.lexists(path.partition(os.sep)[0]):
        return path
    return os.path.expanduser(path)


def absent(path: str | os.PathLike[str], what: str = "file") -> str:
    """What to say of a file that is not there."""
    if any(mark in os.fsdecode(path) for mark in "*?["):
        return f"no such {what}; a pattern is for the shell, without quotes, and in Python for pathlib.Path.glob"
    return f"no such {what}"


def paths_of(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, what: str = "paths") -> list[Path]:
    """The paths that a caller gave, one or many.

    Raises:
        ArgumentError: ``bad-argument`` for anything else.
    """
    if isinstance(given, str | os.PathLike):
        return [path_of(given, what=what)]
    is_file_or_table = hasattr(given, "read") or hasattr(given, "columns")  # which go through their lines, or their columns
    if is_file_or_table or not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise not_allowed(what, given, "paths (str or Path), one or many")
    try:
        paths = iter(given)
    except TypeError:  # an array that holds one value, which nothing goes through
        raise not_allowed(what, given, "paths (str or Path), one or many") from None
    return [path_of(path, what=f"each of {what}") for path in paths]


def file_sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, *, overwrite: bool = False) -> None:
    """Find out before the work, not after it, that a file cannot be written; missing folders above it count as writable.

    Args:
        path: the file that will be written.
        overwrite: whether it may replace one that is there.

    Raises:
        OutputError: ``output-not-a-file``, ``output-exists`` or ``output-unwritable``.
    """
    with _unwritable(path):
        if os.path.isdir(path):
            raise OutputInTheWayError("output-not-a-file", f"{path}: is a folder; a file is written here")
        if path.exists() and not path.is_file():
            raise OutputInTheWayError("output-not-a-file", f"{path}: is a device, which a file would take the place of")
        if os.path.lexists(path) and not overwrite:
            raise OutputInTheWayError(
                "output-exists", f"{path}: is there already; choose another name, or add --overwrite to replace it"
            )
        _try_in(path.parent, path.name)


def check_folder(path: Path) -> None:
    """Find out before the work that files cannot be written into a folder, which is made later if it is not there.

    Raises:
        OutputError: ``output-not-a-folder`` or ``output-unwritable``.
    """
    with _unwritable(path):
        if os.path.lexists(path) and not path.is_dir():
            raise OutputInTheWayError("output-not-a-folder", f"{path}: is a file; a folder is written here")
        _try_in(path, path.name)


def check_cleared(folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to clear a folder that holds what we did not write.

    Args:
        folder: the folder.
        is_ours: whether a file or folder in it, by its path inside it, is one that we write.

    Raises:
        OutputError: ``output-foreign``.
    """
    if (foreign := first_foreign(folder, is_ours)) is not None:
        raise OutputInTheWayError(
            "output-foreign", f"{folder}: holds {foreign}, which bandrt did not write; nothing was deleted; choose another folder"
        )


def first_foreign(folder: Path, is_ours: Callable[[Path], bool]) -> Path | None:
    """The first path inside a folder, relative to it, that is not ours; unfinished temporary files always are."""
    inside = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return next((path for path in inside if not _is_temporary(path.name) and not is_ours(path)), None)


def clear(folder: Path) -> None:
    """Delete everything in a folder; see `check_cleared`."""
    for path in sorted(folder.rglob("*"), reverse=True):  # contents before their folders
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


@contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError("output-unwritable", f"{path}: cannot be written ({error.strerror or error})") from error


def _try_in(folder: Path, name: str) -> None:
    """Write an empty file, and delete it, where the folder is or would be made: permissions alone do not tell."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    attempt = folder / f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    attempt.touch(exist_ok=False)
    attempt.unlink()
