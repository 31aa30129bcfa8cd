"""Denormal numbers are zero while a model runs, and in nobody else's arithmetic.

Numbers below 1.2e-38, such as tails of Gaussians, change no energy, but some processors take a hundred times as long for each.
ONNX Runtime flushes them in threads of its own (`SESSION_OPTION`) and, for good, in the thread that opens the first session of a
process; it leaves alone the thread that calls it, which computes, too. So a session is opened in a thread that ends then, and the
flags of a thread that runs one are set for as long as that takes.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, TypeVar

SESSION_OPTION: Final = ("session.set_denormal_as_zero", "1")
"""What tells ONNX Runtime to flush denormals in its threads."""
_ENVIRONMENT = ctypes.c_uint32 * 8
"""``fenv_t`` of the C library on x86-64: the state of the x87 unit, 28 bytes, and MXCSR."""
_MXCSR: Final = 7
_FLUSH: Final = 0x8040
"""Results (bit 15) and operands (bit 6) that are denormal are zero. Source: Intel 64 manual, volume 1, section 10.2.3."""
_MASKED: Final = 0x1F80
"""No exception of arithmetic interrupts: true of any thread of Python, so that a register without these bits is not MXCSR."""

T = TypeVar("T")


def flushed(work: Callable[[], T]) -> T:
    """What a function returns that computes in this thread, denormals being zero; afterwards the thread is as it was.

    Elsewhere than on Linux on x86-64 nothing is flushed, and the result is the same.
    """
    library = _c_library()
    if library is None:
        return work()
    before, meanwhile = _ENVIRONMENT(), _ENVIRONMENT()
    library.fegetenv(before)
    if before[_MXCSR] & _MASKED != _MASKED:
        return work()
    ctypes.memmove(meanwhile, before, ctypes.sizeof(before))
    meanwhile[_MXCSR] |= _FLUSH
    try:
        library.fesetenv(meanwhile)
        return work()
    finally:
        library.fesetenv(before)


def aside(work: Callable[[], T]) -> T:
    """What a function returns, or raises, that runs in a thread of its own, whose flags nobody inherits."""
    with ThreadPoolExecutor(1, thread_name_prefix="bandrt-open") as pool:
        return pool.submit(work).result()


@cache
def _c_library() -> Any:
    """The C library, where the place of the flags is known; else None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        return ctypes.CDLL("libm.so.6")
    except OSError:  # another C library than glibc
        return None
