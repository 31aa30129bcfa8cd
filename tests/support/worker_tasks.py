"""What workers are given to do in tests, and scripts that keep workers busy; worker processes import this module."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

from bandrt.errors import InputError
from bandrt.run.workers import WorkerPool
from bandrt.watch import watched

FOREVER_SECONDS = 600
LARGE_BYTES = 1 << 26
"""More than a pipe holds."""


class TwoArguments(Exception):
    """An exception that is pickled, but cannot be made again from what is pickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def slow_for_even(number: int) -> int:
    """The number itself; worker processes end in another order than they began."""
    time.sleep(0.02 if number % 2 == 0 else 0.0)
    return number


def process_id(item: object) -> int:
    """Of the process that does the work."""
    return os.getpid()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise InputError("no-atoms", "seven.cif: there are no atoms", stage="graph")
    return number


def raise_what_cannot_travel(number: int) -> int:
    raise TwoArguments("cannot be ", "made again")


def return_what_cannot_travel(number: int) -> Callable[[], int]:
    return lambda: number


def die_of_seven(number: int) -> int:
    if number == 7:
        os._exit(9)
    return number


def sum_but_die_of_seven(numbers: list[int]) -> int:
    if 7 in numbers:
        os._exit(9)
    return sum(numbers)


def sleep_at(numbers: list[int]) -> list[int]:
    """The numbers; at 7 it takes forever."""
    for number in watched(numbers):
        if number == 7:
            time.sleep(FOREVER_SECONDS)
    return numbers


def hold_the_interpreter_at(numbers: list[int]) -> list[int]:
    """The numbers; at 7 it takes forever, and no other thread of this process runs."""
    for number in watched(numbers):
        if number == 7:
            ctypes.PyDLL(None).sleep(FOREVER_SECONDS)
    return numbers


def slow_at_each(numbers: list[int]) -> list[int]:
    for _ in watched(numbers):
        time.sleep(0.3)
    return numbers


def spin(folder: Path) -> None:
    """Stay in Python code."""
    _begin(folder)
    while True:
        pass


def hold_the_interpreter(folder: Path) -> None:
    """Stay in native code that does not release the interpreter lock, so that no other thread of this process runs."""
    library = ctypes.PyDLL(None)
    _begin(folder)
    library.sleep(FOREVER_SECONDS)


def send_much(folder: Path) -> bytes:
    """Give back more than the parent, which is stopped, receives."""
    much = bytes(LARGE_BYTES)
    _begin(folder)
    while not (folder / "go").exists():
        time.sleep(0.01)
    return much


def _begin(folder: Path) -> None:
    (folder / f"busy-{os.getpid()}").touch()


def keep_busy(task: str, folder: str) -> None:
    """Let two workers do a task on a folder, until this process is stopped."""
    with WorkerPool(2, ahead=2, advice="nothing is kept") as pool:
        for _ in pool.map(globals()[task], repeat(Path(folder))):
            pass


def leave_without_closing() -> None:
    """End this process while a pool is open and its workers are busy."""
    global abandoned
    abandoned = WorkerPool(2, ahead=2, advice="nothing is kept").__enter__().map(slow_or_stuck, range(8))
    print(next(abandoned))


abandoned: Iterator[int]


def slow_or_stuck(number: int) -> int:
    """The first number; any other takes forever."""
    if number > 0:
        time.sleep(FOREVER_SECONDS)
    return number
