"""The failures in a folder that is written to: the lines of ``errors.jsonl``, and what is known of each.

A failure is on disk at once. One of an earlier run stays as long as its input is the same, and goes when that has another result.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bandrt.results.lines import Lines
from bandrt.results.prediction import Failure, Ticket
from bandrt.results.store import ERRORS, failure_of
from bandrt.results.texts import as_bytes, as_written


class StoredFailures:
    """Inputs without a prediction, those of earlier runs included."""

    def __init__(self, folder: Path, *, engine_sha256: str, say_order: bool) -> None:
        """Know of none yet.

        Args:
            folder: of the results.
            engine_sha256: the engine of this run.
            say_order: whether each failure says its place among the inputs.
        """
        self.codes: Counter[str] = Counter()
        """How many there are by code."""
        self._engine_sha256 = engine_sha256
        self._say_order = say_order
        self._lines = Lines(folder / ERRORS)
        self._moved: dict[int, Failure] = {}  # kept failures that say another place now, by their row

    @property
    def n_lines(self) -> int:
        """Lines in the file, those included that are taken out at the end."""
        return len(self._lines.rows)

    @property
    def last_order(self) -> int:
        """The last place among the inputs that one has; -1 without any."""
        return int(self._lines.rows["order"].max(initial=-1))

    def load(self, failures: Sequence[Failure]) -> None:
        """Take over those of earlier runs, and stay open for more."""
        self._lines.open(self._earlier(failures))
        self.codes = Counter(failure.code for failure in failures)

    def _earlier(self, failures: Sequence[Failure]) -> Iterator[bytes]:
        for place, failure in enumerate(failures):
            line, order = _line_of(failure), failure.input_order if failure.input_order >= 0 else place
            of_this_engine = failure.engine_sha256 == self._engine_sha256
            self._lines.remember(failure.id, failure.input_sha256 if of_this_engine else "", line, order=order)
            yield line

    def keeps(self, ticket: Ticket) -> bool:
        """Whether an earlier run has a failure of just this input that stays: not one of the prediction itself."""
        row = self._lines.earlier(ticket.id)
        if row is None or not self._lines.is_of(row, ticket.input_sha256):
            return False
        failure = failure_of(self._lines.line(row))
        asked = (as_written(ticket.path), dict(ticket.kept))
        if failure is None or (failure.path, failure.kept) != asked or failure.stage == "predict":
            return False
        self._lines.rows["met"][row] = True
        self._lines.rows["order"][row] = ticket.order
        if failure.input_order != (order := self._order_said(ticket)):
            self._moved[row] = dataclasses.replace(failure, input_order=order)
        return True

    def add(self, ticket: Ticket, failure: Failure) -> None:
        """Write a failure, in the place of one that an earlier run has of this input."""
        failure = dataclasses.replace(failure, engine_sha256=self._engine_sha256, input_order=self._order_said(ticket))
        line = _line_of(failure)
        self.forget(ticket.id)
        self._lines.remember(failure.id, failure.input_sha256, line, order=ticket.order, met=True)
        self._lines.write(line)
        self.codes[failure.code] += 1

    def forget(self, id: str) -> None:
        """Take out what an earlier run has of an input of this name, if anything."""
        if (row := self._lines.earlier(id)) is not None:
            self.remove([row])

    def remove(self, rows: Iterable[int]) -> None:
        """Take failures out."""
        for row in rows:
            self._lines.rows["gone"][row] = True
            if (failure := failure_of(self._lines.line(row))) is not None:
                self.codes -= Counter([failure.code])

    def unmet(self) -> Iterator[tuple[int, str]]:
        """Rows and paths of those whose inputs this run has not met."""
        for row in self._lines.unmet().tolist():
            failure = failure_of(self._lines.line(row))
            yield row, "" if failure is None else failure.path

    def unreadable_places(self) -> list[str]:
        """Files and folders of which this run could read nothing, or nothing after some row or member."""
        if not self.codes["unreadable"]:
            return []
        met = np.flatnonzero(self._lines.rows["met"] & ~self._lines.rows["gone"])
        failures = [failure_of(self._lines.line(int(row))) for row in met]
        paths = [failure.path for failure in failures if failure is not None and failure.code == "unreadable"]
        return [place for path in paths for place in {path, path.rpartition(":")[0] or path}]

    def sort(self) -> None:
        """Put the lines in the order of the inputs."""
        self._lines.sort({row: _line_of(failure) for row, failure in self._moved.items()})

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def _order_said(self, ticket: Ticket) -> int:
        """The place that a failure says."""
        return ticket.order if self._say_order else -1


def _line_of(failure: Failure) -> bytes:
    """What `failure_of` reads."""
    values = dataclasses.asdict(failure)
    if not failure.kept:
        del values["kept"]
    if failure.input_order < 0:
        del values["input_order"]
    return as_bytes(json.dumps(values, ensure_ascii=False) + "\n")
