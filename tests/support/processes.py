"""Processes as ``/proc`` shows them: who started whom, and who still lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

LEAVE_SECONDS = 2.0
"""Time for workers to leave after their parent."""
DEADLINE_SECONDS = 60.0
"""What a busy machine may take to come to the point that a test waits for."""
POLL_SECONDS = 0.01

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


def state(pid: int) -> str:
    """One letter: R runs, S sleeps, Z is dead and waits to be collected; X of a process that is gone."""
    return _state_and_parent(pid)[0]


def descendants(pid: int) -> set[int]:
    """Children of a process, their children, and so on, those that are dead left out."""
    parents = {int(entry.name): _state_and_parent(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, (letter, parent) in parents.items() if parent in found and letter not in "ZX"}
    return found - {pid}


def living(pids: Iterable[int]) -> set[int]:
    """Those that are not dead."""
    return {pid for pid in pids if state(pid) not in "ZX"}


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0], int(fields[1])
