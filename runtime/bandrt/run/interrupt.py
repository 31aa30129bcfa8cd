"""Requests to stop: Ctrl-C, and what a system sends before it kills."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

EXIT_BY_SIGNAL = 128
"""A command that a signal ended has the exit code of this and the number of the signal, as shells have it."""
REQUESTS = tuple(int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask a process to stop."""
SAID = b"interrupted\n"
"""What a command says that is stopped, where it has nothing better to say."""


class Interrupted(KeyboardInterrupt):
    """A request to stop.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Interrupt:
    """Raises the first request to stop as `Interrupted`, at a place where no file is left half written; a context manager.

    Further requests are passed over: the run is ending already. Outside the main thread nothing is caught. While a module is loaded
    a request waits for the next `check`: native code aborts at an exception that it does not expect there.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came first."""
        self._shields = 0
        self._may_raise = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in requests():
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.settle()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Put a request off to the end of the block."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self.check()

    def check(self) -> None:
        """Raise a request that has come, also one whose exception was lost where nobody could take it, as in a destructor.

        Raises:
            Interrupted: once `settle` is called, never again.
        """
        if self.number is not None and self._may_raise and not self._shields:
            raise Interrupted(self.number)

    def settle(self) -> None:
        """From now on the run is ending: no request is raised any more."""
        self._may_raise = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            if not is_loading(frame):
                self.check()


def is_loading(frame: FrameType | None) -> bool:
    """Whether a module is being loaded where this frame runs."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def requests() -> list[int]:
    """The signals that ask this process to stop; a hangup that it was started to survive (``nohup``) is none."""
    hangup = getattr(signal, "SIGHUP", None)
    return [number for number in REQUESTS if number != hangup or signal.getsignal(number) is not signal.SIG_IGN]


def exit_at_once() -> None:
    """End this process on any request to stop, while there is nothing to lose.

    Libraries that are being loaded make other errors of an exception, or lose it.
    """
    for number in requests():
        signal.signal(number, _exit)


def exit_code(number: int | None) -> int:
    """Of a command that a signal ended; an interrupt of which no more is known was a Ctrl-C."""
    return EXIT_BY_SIGNAL + (signal.SIGINT if number is None else number)


def say_interrupted() -> None:
    """Say it where nothing else works any more."""
    with suppress(OSError):
        os.write(2, SAID)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    say_interrupted()
    os._exit(exit_code(number))
