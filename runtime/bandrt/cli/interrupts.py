"""Ctrl-C ends a command soon, even where the main thread is inside a library that does not come back to Python."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress

GRACE_SECONDS = 1.0
"""For a command to end by itself: files are whole or absent, so that nothing is lost when it is not waited for."""
EXIT_CODE = 130
said = threading.Event()
"""Set by whoever has told the user already."""


def leave_soon_when_interrupted() -> None:
    """From now on a Ctrl-C gives this process `GRACE_SECONDS` to end.

    The system tells of a signal through a pipe, to a thread of its own, whatever the main thread is busy with.
    """
    told, teller = os.pipe()
    os.set_blocking(teller, False)
    signal.set_wakeup_fd(teller, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(told,), name="interrupts", daemon=True).start()


def _wait(told: int) -> None:
    while os.read(told, 1) != bytes([signal.SIGINT]):
        pass
    time.sleep(GRACE_SECONDS)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if not said.is_set():
        os.write(2, b"interrupted\n")
    os._exit(EXIT_CODE)
