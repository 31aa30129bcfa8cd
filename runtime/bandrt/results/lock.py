"""The lock of an output folder: one process at a time writes to a path, whatever becomes of the folder there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bandrt.errors import OutputError

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class FolderLock:
    """Holds a path for this process; the system lets go when the process ends, however it ends.

    Two locks are held. One is on a hidden file beside the folder, which stays where it is when the folder is deleted and made
    again; it is deleted at the end, and one that a killed run left behind locks nobody out. The other is on the folder itself, for
    places where no file can be made beside it.
    """

    def __init__(self, folder: Path) -> None:
        """Take the path; the folder need not be there, but the one above it.

        Raises:
            OutputError: ``output-locked``.
        """
        self._folder = folder
        self._beside = _beside(folder)
        self._file = self._take_file()
        self._held: int | None = None

    def hold(self) -> None:
        """Lock the folder itself, which is there now.

        Raises:
            OutputError: ``output-locked``.
        """
        if os.name == "nt":
            return  # no folder can be opened there
        self._held = os.open(self._folder, os.O_RDONLY)
        self._lock(self._held)

    def require_there(self) -> None:
        """Make sure that the path still leads to the folder that is held.

        Raises:
            OutputError: ``output-removed``.
        """
        if self._held is None:
            return
        try:
            there = os.path.samestat(os.stat(self._folder), os.fstat(self._held))
        except FileNotFoundError:
            there = False
        if not there:
            raise OutputError(
                "output-removed",
                f"{self._folder}: was removed or replaced while this run wrote to it; the run has stopped and writes nothing more",
            )

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._beside.unlink(missing_ok=True)  # while it is held: nobody else can hold it
            os.close(self._file)
        if self._held is not None:
            os.close(self._held)
        self._file = self._held = None

    def _take_file(self) -> int | None:
        while True:
            try:
                descriptor = os.open(self._beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except OSError:
                return None  # nothing can be made beside it: the lock on the folder has to do
            try:
                self._lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            try:
                if os.path.samestat(os.stat(self._beside), os.fstat(descriptor)):
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)  # its holder deleted it between our two calls

    def _lock(self, descriptor: int) -> None:
        try:
            import fcntl
        except ImportError:
            return  # no such locks on this system
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise OutputError("output-locked", f"{self._folder}: another run is writing here") from error


def _beside(folder: Path) -> Path:
    """The hidden file beside a folder, the same however one gets there."""
    real = Path(os.path.realpath(folder))
    return real.with_name(f".{real.name}.bandrt-lock") if real.name else real / ".bandrt-lock"
