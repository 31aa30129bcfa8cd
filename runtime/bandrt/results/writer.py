"""Writing the results of a run, and going on with those of an earlier one.

A part is whole or not there, so a run that was killed loses at most `PART_SECONDS` of work, and a resumed one verifies every part
before it believes it. Every result says of which text, by which engine it is: a resumed run keeps those that it would make itself,
of inputs that are still there. No file of results that may be whole is deleted: what cannot be read stops the run; what is damaged,
or no longer true, is set aside.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bandrt.errors import OutputError
from bandrt.files import clear, remove_leftovers, replaced
from bandrt.manifest import BandRule
from bandrt.results.lock import FolderLock
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import ERRORS, PARTS, RUN, SUMMARY, Mode, check_store, read_errors, read_run
from bandrt.results.stored_failures import StoredFailures
from bandrt.results.stored_predictions import Kept, StoredPredictions
from bandrt.results.texts import as_written

PART_CRYSTALS = 512
"""Predictions in a part: 7 MB, and as much memory before it is written."""
PART_SECONDS = 30.0
"""A part is written this long after its first prediction at the latest."""
SORTED_AT_ONCE = 100_000
"""Lines that a run puts in order although it has not finished; it takes a second."""


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
        self._predictions = StoredPredictions(folder, engine_sha256=engine_sha256, bands=bands, keep=keep, uncertainty=uncertainty)
        self._failures = StoredFailures(folder, engine_sha256=engine_sha256, say_order=failures_say_order)
        self._pending: list[tuple[Ticket, Prediction]] = []
        self._pending_since = 0.0
        self._finished = False
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
        return not (self._predictions.n_lines or self._failures.n_lines)

    @property
    def n_predicted(self) -> int:
        """Predictions in the folder, earlier runs included."""
        return self._predictions.n

    @property
    def n_set_aside(self) -> int:
        """Predictions of earlier runs that are no longer counted, since their inputs have changed or are gone."""
        return self._predictions.n_set_aside

    @property
    def warning_codes(self) -> Counter[str]:
        """Predictions with a warning by its code, earlier runs included."""
        return self._predictions.warning_codes

    @property
    def failure_codes(self) -> Counter[str]:
        """Recorded failures by code, earlier runs included."""
        return self._failures.codes

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
        kept = self._predictions.kept(ticket, notes_now)
        if kept is not None:
            self._failures.forget(ticket.id)
            return kept
        return Kept(0) if self._failures.keeps(ticket) else None

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
        self._lock.require_there()
        with _writing(self.folder):
            self._predictions.take_out([ticket.id], [failure.input_sha256])  # first: what has both has been predicted since
            self._failures.add(ticket, failure)

    def commit(self) -> None:
        """Write what is pending as a part, in input order, and its lines of the summary."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []  # taken first: whatever interrupts this, nothing is written twice
        pending.sort(key=lambda entry: entry[0].order)
        part = self._predictions.new_part([ticket for ticket, _ in pending], [prediction for _, prediction in pending])
        self._lock.require_there()
        with _writing(self.folder):
            self._predictions.replace(part)  # first: whenever a run is killed, a reader meets no crystal twice
            self._predictions.write(part)
            for prediction in part.predictions:
                self._failures.forget(prediction.id)
            self._predictions.enter(part)

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
            self._predictions.remove(self._vanished(self._predictions.unmet(), searched))
            self._failures.remove(self._vanished(self._failures.unmet(), searched))
            self._predictions.number_unmet(after=self._failures.last_order)
            self._predictions.sort_parts()
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
                if not self._finished and self._predictions.n_lines + self._failures.n_lines > SORTED_AT_ONCE:
                    return  # a run that is asked to stop has two seconds; the one that goes on with it puts them in order
                self._predictions.sort_lines()
                self._failures.sort()
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
        self._predictions.close()
        self._failures.close()
        self._lock.release()

    def _load(self, *, retry_failed: bool) -> None:
        """Take over what is left of earlier runs, which makes the summary and the failures agree with the parts."""
        self._predictions.load()
        self._failures.load([] if retry_failed else read_errors(self.folder))

    def _vanished(self, unmet: Iterable[tuple[int, str]], searched: Sequence[Path]) -> list[int]:
        """Results of earlier runs whose inputs this run looked for in vain; what it could not look at is not gone.

        Args:
            unmet: rows and paths of those whose inputs it did not meet.
            searched: where it looked.
        """
        places = [as_written(str(path)) for path in searched]
        candidates = [(row, path) for row, path in unmet if _is_under(path, places)]
        unreadable = self._failures.unreadable_places() if candidates else []
        return [row for row, path in candidates if not _is_under(path, unreadable)]


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


def _is_under(path: str, places: Sequence[str]) -> bool:
    """Whether an input was found in one of some files and folders: there, below it, or a row, frame or member of it."""
    for place in (place.rstrip("/") for place in places):
        if path == place or path.startswith((f"{place}/", f"{place}:")) or (place == "." and not os.path.isabs(path)):
            return True
    return False
