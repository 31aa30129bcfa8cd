"""What a process owes to the one that started it."""

from __future__ import annotations

import signal
import sys

PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""


def die_with_parent() -> None:
    """Ask the kernel to kill this process with the thread that started it, even in native code that holds the interpreter lock.

    Only Linux has that.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
