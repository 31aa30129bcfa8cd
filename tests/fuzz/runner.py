"""Runs the child on damaged inputs, batch by batch, and goes on after the one that it hangs or dies at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BATCH = 2000
SLOW_SECONDS = 5.0
"""Of CPU time for one input."""
SILENT_SECONDS = 600.0
"""A child that says nothing for as long waits for something; one that computes ends itself long before."""


@dataclass
class Report:
    """What was found.

    Attributes:
        inputs: tried.
        faults: what is no typed error: an exception of another class, a hang, a death, an input that takes too long.
        unforeseen: typed errors that stand for an exception nobody foresaw.
        codes: of all failures; ``right`` for what was read and featurised.
    """

    inputs: int = 0
    faults: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """In a few lines."""
        codes = ", ".join(f"{count} {code}" for code, count in self.codes.most_common())
        return f"{self.inputs} inputs, {len(self.faults)} faults, {len(self.unforeseen)} unforeseen but typed\n{codes}"


def fuzz(start: int, inputs: int, *, seconds: float | None = None, tell: Callable[[str], None] = lambda line: None) -> Report:
    """Try inputs by their numbers.

    Args:
        start: the first number.
        inputs: how many.
        seconds: to stop after; None: when all are tried.
        tell: called with a line for each thing that is found.
    """
    report, number, began = Report(), start, time.monotonic()
    while number < start + inputs and (seconds is None or time.monotonic() - began < seconds):
        end = min(number + BATCH, start + inputs)
        left = None if seconds is None else seconds - (time.monotonic() - began)
        number = _batch(number, end, report, left, tell)
    return report


def _batch(start: int, end: int, report: Report, seconds: float | None, tell: Callable[[str], None]) -> int:
    """Let one child try a batch; the number to go on with."""
    command = [sys.executable, "-m", "tests.fuzz.child", str(start), str(end)]
    at, done = start, start - 1
    stopped = threading.Event()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        watchdog = _Watchdog(child)
        give_up = threading.Timer(seconds or 0.0, partial(_stop, child, stopped))
        if seconds is not None:
            give_up.start()
        for said in _lines(child):
            watchdog.alive()
            at = said.get("at", at)
            if "done" in said:
                done = said["done"]
                report.inputs += 1
                if said["seconds"] > SLOW_SECONDS:
                    _found(report.faults, f"{done} {said['name']}: took {said['seconds']:.1f} s", tell)
            elif "found" in said:
                _found(
                    report.unforeseen if said["typed"] else report.faults, f"{said['number']} {said['name']}: {said['found']}", tell
                )
            report.codes.update(said.get("codes", {}))
        watchdog.stop()
        give_up.cancel()
    if stopped.is_set() or child.returncode == 0:
        return end
    if at <= done:
        raise RuntimeError(f"the child ended with {child.returncode} beside any input")
    hung = watchdog.killed or child.returncode == -signal.SIGPROF
    _found(report.faults, f"{at}: {'hung' if hung else f'died with {child.returncode}'}", tell)
    report.inputs += 1
    return at + 1


def _stop(child: subprocess.Popen[str], stopped: threading.Event) -> None:
    stopped.set()
    child.kill()


def _lines(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        yield json.loads(line)


def _found(kind: list[str], line: str, tell: Callable[[str], None]) -> None:
    kind.append(line)
    tell(line)


class _Watchdog:
    """Kills a child that says nothing for long."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.killed = False
        self._timer = self._started()

    def alive(self) -> None:
        self._timer.cancel()
        self._timer = self._started()

    def stop(self) -> None:
        self._timer.cancel()

    def _started(self) -> threading.Timer:
        timer = threading.Timer(SILENT_SECONDS, self._kill)
        timer.daemon = True
        timer.start()
        return timer

    def _kill(self) -> None:
        self.killed = True
        self._child.kill()
