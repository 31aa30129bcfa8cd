"""Crystals that need no file, and a run of the pipeline on them: worker processes and scripts of tests import this module."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.predict import Engine
from bandrt.results.store import Mode
from bandrt.results.writer import Store
from bandrt.run.pipeline import run
from bandrt.run.report import RunReport
from bandrt.sources.source import text_sha256


@dataclass(frozen=True)
class Cube:
    """A source that needs no file: a cubic cell with 1 to 4 atoms on its diagonal; every seventh is refused."""

    number: int
    content: ClassVar[str] = ""
    kept: ClassVar[dict[str, str]] = {}

    @property
    def id(self) -> str:
        return f"cube-{self.number:04d}"

    @property
    def path(self) -> str:
        return f"cubes:{self.number}"

    def checked(self) -> tuple[str, Callable[[], Crystal]]:
        return text_sha256(self.id), self.read

    def notes_now(self, before: Sequence[str]) -> Sequence[str]:
        return before

    def read(self) -> Crystal:
        if self.number % 7 == 6:
            raise InputError("no-atoms", f"{self.path}: every seventh cube is empty")
        n = 1 + self.number % 4
        lattice = (4.0 + 0.01 * (self.number % 50)) * np.eye(3)
        return Crystal.checked(lattice, [11 + self.number % 3] * n, np.arange(n)[:, None] * np.ones(3) / n)


@dataclass(frozen=True)
class Deadly(Cube):
    """A source that kills the process that reads it."""

    def read(self) -> Crystal:
        os._exit(9)


@dataclass(frozen=True)
class Endless(Cube):
    """A source that is never read, in native code that does not release the interpreter lock."""

    def read(self) -> Crystal:
        ctypes.PyDLL(None).sleep(600)
        raise AssertionError("it ended")


@dataclass(frozen=True)
class Noisy(Cube):
    """A source whose native code prints what only its authors understand."""

    def read(self) -> Crystal:
        os.write(2, b"thread '<unnamed>' panicked at src/lib.rs\n")
        print("a message of ours", file=sys.stderr)
        return super().read()


@dataclass(frozen=True)
class KilledOnce(Cube):
    """A source that kills the process that reads it, the first time."""

    folder: str = ""

    def read(self) -> Crystal:
        mark = Path(self.folder) / f"killed-{self.number}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read()


def run_all(
    sources: Iterable[Any],
    engine: Engine,
    out: Path,
    *,
    mode: Mode = "new",
    workers: int = 0,
    batch_size: int = 4,
    timeout: float = 20.0,
) -> RunReport:
    """A run of the pipeline into a folder, in this process unless told otherwise."""
    report = RunReport()
    with Store(out, engine_sha256=engine.sha256, mode=mode) as store:
        store.write_run({})
        run(sources, engine, store, workers=workers, batch_size=batch_size, report=report, timeout=timeout)
    return report
