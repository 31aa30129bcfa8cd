"""Writing the results of a run, and going on with those of an earlier one.

A part is whole or not there, so a run that was killed loses at most `PART_SECONDS` of work, and a resumed one verifies every part
before it believes it. Every result says of which text, by which engine it is: a resumed run keeps those that it would make itself,
of inputs that are still there. No file of results that may be whole is deleted: what cannot be read stops the run; what is damaged,
or no longer true, is set aside.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from bandrt.bands.frame import frame_of
from bandrt.domain import is_handed_over, of_reading, with_reading
from bandrt.errors import OutputError, OutputInTheWayError
from bandrt.files import clear, remove_leftovers, replaced
from bandrt.manifest import BandRule
from bandrt.results.arrays import frame_in, kept_of, stacked
from bandrt.results.damage import BadPartError, undamaged, unlost
from bandrt.results.lines import Lines
from bandrt.results.lock import FolderLock
from bandrt.results.part_rows import rows_of
from bandrt.results.parts import (
    FORMAT_VERSION,
    Restated,
    part_arrays,
    revise_part,
    write_part,
)
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import (
    ERRORS,
    PARTS,
    RUN,
    SET_ASIDE,
    SUMMARY,
    Mode,
    check_store,
    failure_of,
    part_files,
    part_number,
    read_errors,
    read_run,
)
from bandrt.results.summary import COLUMNS, cell_of, kept_cells, summary_header, text_of, written
from bandrt.sources.tables import csv_rows

PART_CRYSTALS = 512
"""Predictions in a part: 7 MB, and as much memory before it is written."""
PART_SECONDS = 30.0
"""A part is written this long after its first prediction at the latest."""
_PATH, _WARNINGS = COLUMNS.index("path"), COLUMNS.index("warnings")
SORTED_AT_ONCE = 100_000
"""Lines that a run puts in order although it has not finished; it takes a second."""


class Kept(NamedTuple):
    """A result of an earlier run that is that of an input of this one."""

    n_atoms: int
    """In the primitive cell; 0 of a failure."""
    handed_over: bool = False
    """Whether another engine made it than that of the run."""


class Store:
    """An output folder open for writing, by one process at a time; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        engine_sha256: str,
        bands: BandRule | None = None,
        mode: Mode = "new",
        retry_failed: bool = False,
        uncertainty: bool = False,
        keep: Sequence[str] = (),
        failures_say_order: bool = False,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        """Open or make an output folder.

        Args:
            folder: where results go.
            engine_sha256: the engine of this run, see `bandrt.predict.Engine.checksums`.
            bands: those that are asked of it; None: those that the crystals of each part have.
            mode: ``new`` wants an absent or empty folder; ``resume`` keeps what is complete; ``overwrite`` deletes what a run left.
            retry_failed: on resume, forget the recorded failures.
            uncertainty: whether this engine estimates its errors.
            keep: columns of the inputs that stand in the summary after ours.
            failures_say_order: whether each failure says its place among the inputs, as its predictions do, for it to be merged.
            record: what ``run.json`` says, if there is none yet; it is written before anything else, so that a folder is known for
                ours however early the run is killed.

        Raises:
            OutputInTheWayError: what `check_store` raises, ``engine-differs`` or ``output-version``.
            OutputError: ``output-locked``, ``output-unwritable``, ``part-unreadable`` or ``part-version``.
        """
        self.folder = folder
        self.failure_codes: Counter[str] = Counter()
        """Recorded failures by code, earlier runs included."""
        self.warning_codes: Counter[str] = Counter()
        """Predictions with a warning by its code, earlier runs included."""
        self.n_predicted = 0
        """Predictions in the folder, earlier runs included."""
        self.n_set_aside = 0
        """Predictions of earlier runs that are no longer counted, since their inputs have changed or are gone."""
        self._engine_sha256 = engine_sha256
        self._bands = bands
        self._keep = tuple(keep)
        self._failures_say_order = failures_say_order
        self._summary = Lines(folder / SUMMARY, header=_csv_line(summary_header(keep, uncertainty=uncertainty)))
        self._failures = Lines(folder / ERRORS)
        self._pending: list[tuple[Ticket, Prediction]] = []
        self._pending_since = 0.0
        self._next_part = 0
        self._finished = False
        self._restated: dict[int, Restated] = {}  # what kept predictions say otherwise of their inputs, by the row of the summary
        self._moved: dict[int, Failure] = {}  # kept failures that say another place now, by the row of the failures
        self._unsorted_parts: set[int] = set()  # whose inputs have other places or paths now
        self._saved_parts: set[int] = set()  # that were set aside
        check_store(folder, mode)
        with _writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        try:
            check_store(folder, mode)  # again: another run may have ended in between
            with _writing(folder):
                folder.mkdir(exist_ok=True)
                self._lock.hold()
                if mode == "overwrite":
                    clear(folder)
                if record is not None and not os.path.lexists(folder / RUN):
                    self.write_run(record)
                try:
                    (folder / PARTS).mkdir(exist_ok=True)
                    remove_leftovers(folder, (RUN, SUMMARY, ERRORS))
                    remove_leftovers(folder / PARTS, ("part-*.npz",))
                    self._load(retry_failed=retry_failed)
                except KeyboardInterrupt:
                    self._note_interrupt()
                    raise
        except BaseException:
            self._let_go()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether earlier runs left no result."""
        return not (len(self._summary.rows) or len(self._failures.rows))

    def kept(self, ticket: Ticket, notes_now: Callable[[Sequence[str]], Sequence[str]] = tuple) -> Kept | None:
        """The result that an earlier run has of just this input, by its name, place and content; None: it is to be done.

        A file that has moved to another folder under its own name is the same input, and so is a row of which only other columns
        have changed, whose new values are taken over; and so is one of which only the warnings of how it was read are others, as
        when a damaged archive is whole again. A failure of the prediction itself is tried again, since it depends on the memory
        there was.

        Args:
            ticket: the input.
            notes_now: from the notes that a prediction of it has of how it was read, those that it has now.
        """
        row = self._summary.earlier(ticket.id)
        if row is not None and self._summary.is_of(row, ticket.input_sha256):
            cells = _csv_values(self._summary.line(row))
            path, kept = text_of(cells[_PATH]), cells[len(cells) - len(self._keep) :]
            if _file_name(path) == _file_name(_as_written(ticket.path)):
                warnings = _warnings(cells)
                notes = of_reading(warnings)
                now = warnings if (new := tuple(notes_now(notes))) == notes else with_reading(warnings, new)
                if (path, kept, warnings) != (_as_written(ticket.path), kept_cells(dict(ticket.kept), self._keep), now):
                    self._restate(row, Restated(ticket.path, dict(ticket.kept), now))
                self._meet(row, ticket)
                self._forget_failure(ticket.id)
                return Kept(int(self._summary.rows["n_atoms"][row]), is_handed_over(warnings))
        row = self._failures.earlier(ticket.id)
        if row is not None and self._failures.is_of(row, ticket.input_sha256):
            failure = failure_of(self._failures.line(row))
            asked = (_as_written(ticket.path), dict(ticket.kept))
            if failure is not None and (failure.path, failure.kept) == asked and failure.stage != "predict":
                self._failures.rows["met"][row] = True
                self._failures.rows["order"][row] = ticket.order
                if failure.input_order != (order := self._order_said(ticket)):
                    self._moved[row] = dataclasses.replace(failure, input_order=order)
                return Kept(0)
        return None

    def add(self, ticket: Ticket, prediction: Prediction) -> None:
        """Keep a prediction; it is on disk after the next `commit`, which follows by itself."""
        self.add_batch([(ticket, prediction)])

    def add_batch(self, predictions: Sequence[tuple[Ticket, Prediction]]) -> None:
        """Keep the predictions of a batch, all of which come into one part: a killed run leaves whole batches."""
        self._lock.require_there()  # nothing is computed for a folder that is gone
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending += predictions
        self.warning_codes.update(code for _, prediction in predictions for code in prediction.warning_codes)
        if len(self._pending) >= PART_CRYSTALS or time.monotonic() - self._pending_since > PART_SECONDS:
            self.commit()

    def fail(self, ticket: Ticket, failure: Failure) -> None:
        """Record an input without a prediction, at once."""
        failure = dataclasses.replace(failure, engine_sha256=self._engine_sha256, input_order=self._order_said(ticket))
        line = _json_line(failure)
        self._lock.require_there()
        with _writing(self.folder):
            self._forget_failure(ticket.id)
            self._failures.remember(failure.id, failure.input_sha256, line, order=ticket.order, met=True)
            self._failures.write(line)
            self.failure_codes[failure.code] += 1
            self._replace([ticket.id], [failure.input_sha256])

    def commit(self) -> None:
        """Write what is pending as a part, in input order, and its lines of the summary."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []  # taken first: whatever interrupts this, nothing is written twice
        pending.sort(key=lambda entry: entry[0].order)
        tickets, predictions = [ticket for ticket, _ in pending], [prediction for _, prediction in pending]
        frame = self._bands or frame_of([p.band_structure for p in predictions])
        arrays = stacked(predictions, frame, [ticket.order for ticket in tickets])
        number = self._next_part
        path = self._part(number)
        lines = [_csv_line(cells) for cells in rows_of(arrays, frame, self._keep, path)]
        self._lock.require_there()
        with _writing(self.folder):
            write_part(path, arrays, frame, engine_sha256=self._engine_sha256)
            self._next_part += 1
            self.n_predicted += len(predictions)
            for place, (ticket, prediction, line) in enumerate(zip(tickets, predictions, lines, strict=True)):
                self._forget_failure(prediction.id)
                self._summary.remember(
                    prediction.id, prediction.input_sha256, line, order=ticket.order, part=number, place=place,
                    n_atoms=prediction.crystal.n_atoms, met=True,
                )  # fmt: skip
            self._summary.write(b"".join(lines))
            self._replace([p.id for p in predictions], [p.input_sha256 for p in predictions])

    def finish(self, searched: Sequence[Path]) -> None:
        """Make the folder what a run from nothing would have made of these inputs, all of which were met.

        Predictions of inputs that are no longer where they were found are set aside, those of inputs that were found elsewhere
        stay, after the others.

        Args:
            searched: the files and folders in which this run looked for inputs.
        """
        self.commit()
        self._lock.require_there()
        with _writing(self.folder):
            self._remove(self._vanished(self._summary, searched))
            for row in self._vanished(self._failures, searched):
                self._remove_failure(row)
            self._number_others()
            for number in sorted(self._unsorted_parts):
                self._revise(number)
        self._finished = True

    def write_run(self, values: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        self._lock.require_there()
        with _writing(self.folder), replaced(self.folder / RUN) as file:
            json.dump(values, file, ensure_ascii=False, indent=1)
            file.write("\n")

    def _note_interrupt(self) -> None:
        """Let ``run.json`` say that a run ended before it had read what is there; its counts stay, since nothing was added."""
        with suppress(OutputError):
            if said := read_run(self.folder):
                self.write_run(said | {"status": "interrupted"})

    def close(self) -> None:
        """Write what is pending, put the tables in order and let go of the folder."""
        try:
            self.commit()
            self._lock.require_there()
            with _writing(self.folder):
                if not self._finished and len(self._summary.rows) + len(self._failures.rows) > SORTED_AT_ONCE:
                    return  # a run that is asked to stop has two seconds; the one that goes on with it puts them in order
                self._summary.sort({row: self._restated_line(row) for row in self._restated if not self._summary.rows["gone"][row]})
                self._failures.sort({row: _json_line(failure) for row, failure in self._moved.items()})
        finally:
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self.close()
        except OutputError:
            if error is None:  # else that is what has to be told
                raise

    def _let_go(self) -> None:
        self._summary.close()
        self._failures.close()
        self._lock.release()

    def _order_said(self, ticket: Ticket) -> int:
        """The place that a failure says."""
        return ticket.order if self._failures_say_order else -1

    def _part(self, number: int) -> Path:
        return self.folder / PARTS / f"part-{number:05d}.npz"

    def _load(self, *, retry_failed: bool) -> None:
        """Verify every part, set damaged ones aside, make the summary and the failures agree with what is left."""
        self._summary.open(self._earlier_predictions())
        rows = self._summary.rows
        self.n_predicted = len(rows)
        order = np.argsort(rows["id"], kind="stable")
        again = np.flatnonzero(np.diff(rows["id"][order]) == 0)  # replaced by a run that was killed before it took the old one out
        self._remove([int(row) for row in order[again]], set_aside=False)
        failures = [] if retry_failed else read_errors(self.folder)
        self._failures.open(self._earlier_failures(failures))
        self.failure_codes = Counter(failure.code for failure in failures)

    def _earlier_predictions(self) -> Iterator[bytes]:
        for path in part_files(self.folder):
            number = part_number(path)
            self._next_part = number + 1
            try:
                with unlost():
                    arrays = part_arrays(path)
                    rows = rows_of(arrays, frame_in(arrays, path), self._keep, path)
            except BadPartError as error:
                aside = self._set_aside(path)
                path.unlink()
                logging.getLogger(__name__).warning("its crystals are predicted again, and it is kept as %s: %s", aside, error)
                continue
            if (version := int(arrays["format_version"])) != FORMAT_VERSION:
                raise OutputInTheWayError(
                    "output-version",
                    f"{self.folder}: holds results of format {version}, which do not say of which input they are; this bandrt goes"
                    f" on with format {FORMAT_VERSION}: write to another folder, or start again with --overwrite",
                )
            if (engine := str(arrays["engine_sha256"])) != self._engine_sha256:
                raise OutputInTheWayError(
                    "engine-differs",
                    f"{self.folder}: holds predictions of another engine ({_short(engine)}, this one is"
                    f" {_short(self._engine_sha256)}); resume with that engine or write to another folder",
                )
            self._require_bands(frame_in(arrays, path))
            keeps = {tuple(kept) for kept in kept_of(arrays) or ()}
            for kept in keeps - {self._keep}:
                raise self._begun_otherwise("keep", list(kept), list(self._keep))
            inputs = (arrays[name].tolist() for name in ("id", "input_sha256", "input_order"))
            told = zip(rows, *inputs, np.diff(arrays["atom_offsets"]).tolist(), strict=True)
            for place, (cells, id, input_sha256, order, n_atoms) in enumerate(told):
                line = _csv_line(cells)
                self._summary.remember(id, input_sha256, line, order=order, part=number, place=place, n_atoms=n_atoms)
                self.warning_codes.update(_codes(_warnings(cells)))
                yield line

    def _require_bands(self, frame: BandRule) -> None:
        if self._bands is not None and self._bands.n_bands != frame.n_bands:
            raise self._begun_otherwise("bands", frame.n_bands, self._bands.n_bands)

    def _begun_otherwise(self, choice: str, before: object, now: object) -> OutputInTheWayError:
        return OutputInTheWayError(
            "options-differ",
            f"{self.folder}: was begun with other choices: {choice} was {before} and is {now};"
            " go on with what it has, or write to another folder",
        )

    def _earlier_failures(self, failures: Sequence[Failure]) -> Iterator[bytes]:
        for place, failure in enumerate(failures):
            line, order = _json_line(failure), failure.input_order if failure.input_order >= 0 else place
            of_this_engine = failure.engine_sha256 == self._engine_sha256
            self._failures.remember(failure.id, failure.input_sha256 if of_this_engine else "", line, order=order)
            yield line

    def _restate(self, row: int, restated: Restated) -> None:
        self.warning_codes -= Counter(_codes(self._warnings_of(row)))
        self.warning_codes.update(_codes(restated.warnings))
        self._restated[row] = restated
        self._unsorted_parts.add(int(self._summary.rows["part"][row]))

    def _warnings_of(self, row: int) -> tuple[str, ...]:
        restated = self._restated.get(row)
        return _warnings(_csv_values(self._summary.line(row))) if restated is None else restated.warnings

    def _meet(self, row: int, ticket: Ticket) -> None:
        rows = self._summary.rows
        if rows["order"][row] != ticket.order:
            self._unsorted_parts.add(int(rows["part"][row]))
        rows["order"][row] = ticket.order
        rows["met"][row] = True

    def _forget_failure(self, id: str) -> None:
        if (row := self._failures.earlier(id)) is not None:
            self._remove_failure(row)

    def _remove_failure(self, row: int) -> None:
        self._failures.rows["gone"][row] = True
        if (failure := failure_of(self._failures.line(row))) is not None:
            self.failure_codes -= Counter([failure.code])

    def _replace(self, ids: Sequence[str], checksums: Sequence[str]) -> None:
        """Take out what earlier runs predicted for inputs that have new results; what had another content is set aside."""
        found = [
            (row, checksum) for id, checksum in zip(ids, checksums, strict=True) if (row := self._summary.earlier(id)) is not None
        ]
        same = {row for row, checksum in found if self._summary.is_of(row, checksum)}
        self._remove(sorted(same), set_aside=False)
        self._remove([row for row, _ in found if row not in same])

    def _remove(self, rows: Sequence[int], *, set_aside: bool = True) -> None:
        """Take predictions out of the summary and their parts."""
        if not rows:
            return
        table = self._summary.rows
        for row in rows:
            table["gone"][row] = True
            self.warning_codes -= Counter(_codes(self._warnings_of(row)))
        self.n_predicted -= len(rows)
        self.n_set_aside += len(rows) if set_aside else 0
        for number in sorted({int(table["part"][row]) for row in rows}):
            if set_aside and number not in self._saved_parts:
                self._set_aside(self._part(number))
                self._saved_parts.add(number)
            self._revise(number)

    def _revise(self, number: int) -> None:
        """Write a part as the rows of the summary have it."""
        table = self._summary.rows
        in_part = np.flatnonzero((table["part"] == number) & ~table["gone"])
        in_part = in_part[np.argsort(table["order"][in_part], kind="stable")]
        restated = {int(table["place"][row]): self._restated[row] for row in map(int, in_part) if row in self._restated}
        with undamaged():
            revise_part(self._part(number), table["place"][in_part].astype(np.intp), table["order"][in_part], restated)
        table["place"][in_part] = np.arange(len(in_part))
        table["part"][(table["part"] == number) & table["gone"]] = -1
        self._unsorted_parts.discard(number)

    def _set_aside(self, part: Path) -> Path:
        """Keep a part under another name, beside the parts that count."""
        place = self.folder / SET_ASIDE
        place.mkdir(exist_ok=True)
        names = (f"{part.stem}{f'-{n}' if n else ''}.npz" for n in itertools.count())
        copy = next(place / name for name in names if not os.path.lexists(place / name))
        try:
            os.link(part, copy)
        except OSError:  # a file system without links
            shutil.copyfile(part, copy)
        return copy

    def _vanished(self, lines: Lines, searched: Sequence[Path]) -> list[int]:
        """Results of earlier runs whose inputs this run looked for in vain; what it could not look at is not gone."""
        places = [_as_written(str(path)) for path in searched]
        unmet = np.flatnonzero(~lines.rows["met"] & ~lines.rows["gone"])
        candidates = [(row, path) for row in map(int, unmet) if _is_under(path := self._path_of(lines, row), places)]
        unreadable = self._unreadable_places() if candidates and self.failure_codes["unreadable"] else []
        return [row for row, path in candidates if not _is_under(path, unreadable)]

    def _unreadable_places(self) -> list[str]:
        """Files and folders of which this run could read nothing, or nothing after some row or member."""
        met = np.flatnonzero(self._failures.rows["met"] & ~self._failures.rows["gone"])
        failures = [failure_of(self._failures.line(int(row))) for row in met]
        paths = [failure.path for failure in failures if failure is not None and failure.code == "unreadable"]
        return [place for path in paths for place in {path, path.rpartition(":")[0] or path}]

    def _path_of(self, lines: Lines, row: int) -> str:
        if lines is self._summary:
            return text_of(_csv_values(lines.line(row))[_PATH])
        failure = failure_of(lines.line(row))
        return "" if failure is None else failure.path

    def _number_others(self) -> None:
        """Give results of inputs that were not looked for their places after all others."""
        rows = self._summary.rows
        others = np.flatnonzero(~rows["met"] & ~rows["gone"])
        if not len(others):
            return
        first = 1 + max(int(rows["order"][rows["met"]].max(initial=-1)), int(self._failures.rows["order"].max(initial=-1)))
        others = others[np.argsort(rows["order"][others], kind="stable")]
        rows["order"][others] = first + np.arange(len(others))
        self._unsorted_parts.update(int(number) for number in np.unique(rows["part"][others]))

    def _restated_line(self, row: int) -> bytes:
        cells, (path, kept, warnings) = _csv_values(self._summary.line(row)), self._restated[row]
        cells[_PATH], cells[_WARNINGS] = cell_of(path), written(warnings)
        cells[len(cells) - len(self._keep) :] = kept_cells(kept, self._keep)
        return _csv_line(cells)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Where files are written in an output folder.

    Raises:
        OutputError: ``output-unwritable`` for whatever the system answers.
    """
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else folder
        raise OutputError(
            "output-unwritable",
            f"{where}: cannot be written ({error.strerror or error}); what was written before is kept, and --resume goes on",
        ) from error


def _json_line(failure: Failure) -> bytes:
    values = dataclasses.asdict(failure)
    if not failure.kept:
        del values["kept"]
    if failure.input_order < 0:
        del values["input_order"]
    return (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _csv_line(values: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _csv_values(line: bytes) -> list[str]:
    return next(csv_rows(io.StringIO(line.decode("utf-8"), newline="")))


def _warnings(cells: Sequence[str]) -> tuple[str, ...]:
    """The warnings in a row of the summary."""
    return tuple(cells[_WARNINGS].split(";")) if cells[_WARNINGS] else ()


def _codes(warnings: Sequence[str]) -> frozenset[str]:
    return frozenset(warning.partition(":")[0] for warning in warnings)


def _short(engine_sha256: str) -> str:
    """The beginning of a checksum, or of each of two engines."""
    return "+".join(one[:12] for one in engine_sha256.split("+"))


def _as_written(text: str) -> str:
    """A text as it is read back from a file, where names may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_under(path: str, places: Sequence[str]) -> bool:
    """Whether an input was found in one of some files and folders: there, below it, or a row, frame or member of it."""
    for place in (place.rstrip("/") for place in places):
        if path == place or path.startswith((f"{place}/", f"{place}:")) or (place == "." and not os.path.isabs(path)):
            return True
    return False
