"""A command ends soon after a request to stop, even where its native code holds the interpreter lock.

No handler written in Python runs while a library holds that lock, as torch does when it traces a model. So a command works in a
child of the process that was started, which waits, hands on the request, and kills the child that does not end in time. Files are
whole or absent, so that nothing is lost. `infer` is not watched over: it ends by itself, and says how to go on.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

from bandrt.files import unfinished
from bandrt.run.interrupt import Interrupt, exit_code, is_loading, requests, say_interrupted
from bandrt.run.parent import die_with_parent

GRACE_SECONDS = 1.0
"""For a command to end by itself, and to say what is kept."""


class CommandInterrupt(Interrupt):
    """Raises the first request, but while a module is loaded: there native code aborts at an exception that it does not expect."""

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is None and is_loading(frame):
            unfinished.remove()
            say_interrupted()
            os._exit(exit_code(number))
        super()._handle(number, frame)


def watch_over_command() -> None:
    """Return in a child that works; this process waits for it, and ends as it does."""
    if not hasattr(os, "fork"):
        return
    unfinished.share()
    parent = os.getpid()
    asked = requests()  # before the fork: a request that comes in between must find a handler on either side
    child = os.fork()
    if child == 0:
        die_with_parent()
        if os.getppid() != parent:  # which was gone before the kernel was asked
            os._exit(exit_code(None))
        return
    _Watch(child).wait(asked)


class _Watch:
    """The process that waits for the one that works."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._request: int | None = None
        self._killed = False

    def wait(self, asked: list[int]) -> None:
        """Wait for the child, and end as it does."""
        for number in asked:
            signal.signal(number, self._hand_on)
        signal.signal(signal.SIGALRM, self._kill)
        _, status = os.waitpid(self._child, 0)
        code = os.waitstatus_to_exitcode(status)
        if self._killed:
            unfinished.remove()
            say_interrupted()
            code = exit_code(self._request)
        elif self._request is not None and code < 0:  # at its very end, where handlers are gone, or of what a library made of it
            code = exit_code(self._request)
        if code < 0:  # nobody asked for it: it crashed, or the system took its memory
            with suppress(OSError):  # SIGKILL has no handler
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        if self._request is None:
            self._request = number
            with suppress(ProcessLookupError):
                os.kill(self._child, number)
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        self._killed = True
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
