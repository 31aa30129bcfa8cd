"""The results of a run on disk.

``parts/part-00000.npz`` and so on are the only source of truth (`parts` says what is in them). ``summary.csv`` is made from them,
``errors.jsonl`` records every input without a prediction, ``run.json`` what was run. A part is whole or not there, so a run that
was killed loses at most `PART_SECONDS` of work, and a resumed one verifies every part before it believes it.
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from bandrt.arguments import check_choice, check_kind
from bandrt.bands.band_structure import BandStructure
from bandrt.errors import OutputError, OutputInTheWayError
from bandrt.files import CRASH_LOG, check_cleared, check_folder, clear, first_foreign, path_of, paths_of, replaced
from bandrt.quoting import quoted
from bandrt.results.parts import BadPartError, part_engine, part_ids, read_part, write_part
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.summary import COLUMNS, UNCERTAINTY_COLUMN, summary_row

PARTS, SUMMARY, ERRORS, RUN, PLOTS = "parts", "summary.csv", "errors.jsonl", "run.json", "plots"
CONVERTED = {"pymatgen": "bands.jsonl.gz", "hdf5": "bands.h5", "parquet": "bands.parquet"}
"""Results in other formats, by what they are converted to."""
PART_CRYSTALS = 512
"""Predictions in a part: 7 MB, and as much memory before it is written."""
PART_SECONDS = 30.0
"""A part is written this long after its first prediction at the latest."""
Mode = Literal["new", "resume", "overwrite"]


class Store:
    """An output folder open for writing, by one process at a time; a context manager."""

    def __init__(
        self, folder: Path, *, engine_sha256: str, mode: Mode = "new", retry_failed: bool = False, uncertainty: bool = False
    ) -> None:
        """Open or make an output folder.

        Args:
            folder: where results go.
            engine_sha256: the engine of this run.
            mode: ``new`` wants an absent or empty folder; ``resume`` keeps what is complete; ``overwrite`` deletes what a run left.
            retry_failed: on resume, forget the recorded failures.
            uncertainty: whether this engine estimates its errors.

        Raises:
            OutputInTheWayError: what `check_store` raises, or ``engine-differs``.
            OutputError: ``output-locked`` or ``output-unwritable``.
        """
        self.folder = folder
        self.done: set[str] = set()
        """Inputs that earlier runs predicted, or refused."""
        self.n_predicted = 0
        """Predictions in the folder, earlier runs included."""
        self.failure_codes: Counter[str] = Counter()
        """Recorded failures by code, earlier runs included."""
        self.warning_codes: Counter[str] = Counter()
        """Predictions with a warning by its code, earlier runs included."""
        self._engine_sha256 = engine_sha256
        self._columns = (*COLUMNS, UNCERTAINTY_COLUMN) if uncertainty else COLUMNS
        self._pending: list[tuple[int, Prediction]] = []
        self._pending_since = 0.0
        self._next_part = 0
        check_store(folder, mode)
        try:
            (folder / PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("output-unwritable", f"{folder}: cannot be written ({error.strerror})") from error
        self._lock = _lock(folder)
        try:
            if mode == "overwrite":
                clear(folder)
                (folder / PARTS).mkdir()
            self._load(retry_failed=retry_failed)
            self._errors: IO[str] = (folder / ERRORS).open("a", encoding="utf-8", errors="backslashreplace")
        except BaseException:
            self._unlock()
            raise

    def add(self, ticket: Ticket, prediction: Prediction) -> None:
        """Keep a prediction; it is on disk after the next `commit`, which follows by itself."""
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending.append((ticket.order, prediction))
        self.warning_codes.update(prediction.warning_codes)
        if len(self._pending) >= PART_CRYSTALS or time.monotonic() - self._pending_since > PART_SECONDS:
            self.commit()

    def fail(self, failure: Failure) -> None:
        """Record an input without a prediction, at once."""
        self._errors.write(_json_line(failure))
        self._errors.flush()
        self.failure_codes[failure.code] += 1

    def commit(self) -> None:
        """Write what is pending as a part, in input order, and its lines of the summary."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []  # taken first: whatever interrupts this, nothing is written twice
        predictions = [p for _, p in sorted(pending, key=lambda entry: entry[0])]
        write_part(self._part(self._next_part), predictions, engine_sha256=self._engine_sha256)
        with (self.folder / SUMMARY).open("a", encoding="utf-8", newline="", errors="backslashreplace") as file:
            csv.writer(file, lineterminator="\n").writerows(summary_row(p) for p in predictions)
        self.n_predicted += len(predictions)
        self._next_part += 1

    def write_run(self, values: dict[str, Any]) -> None:
        """Write ``run.json``."""
        with replaced(self.folder / RUN) as file:
            json.dump(values, file, ensure_ascii=False, indent=1)
            file.write("\n")

    def close(self) -> None:
        """Write what is pending and let go of the folder."""
        try:
            self.commit()
        finally:
            self._errors.close()
            self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _part(self, number: int) -> Path:
        return self.folder / PARTS / f"part-{number:05d}.npz"

    def _load(self, *, retry_failed: bool) -> None:
        """Verify every part, discard damaged ones, make the summary and the failures agree with what is left."""
        with replaced(self.folder / SUMMARY) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(self._columns)
            for path in part_files(self.folder):
                self._next_part = int(path.stem.removeprefix("part-")) + 1
                try:
                    if part_engine(path) != self._engine_sha256:
                        raise OutputInTheWayError(
                            "engine-differs",
                            f"{self.folder}: holds predictions of another engine ({part_engine(path)[:12]}, this one is"
                            f" {self._engine_sha256[:12]}); resume with that engine or write to another folder",
                        )
                    predictions = list(read_part(path))
                except BadPartError as error:
                    logging.getLogger(__name__).warning("discarded a damaged part, its crystals are predicted again: %s", error)
                    path.unlink()
                    continue
                rows.writerows(summary_row(p) for p in predictions)
                self.done.update(p.id for p in predictions)
                self.warning_codes.update(code for p in predictions for code in p.warning_codes)
        self.n_predicted = len(self.done)
        failures = [] if retry_failed else [f for f in read_errors(self.folder) if f.id not in self.done]
        self.done.update(f.id for f in failures)
        self.failure_codes = Counter(f.code for f in failures)
        with replaced(self.folder / ERRORS) as file:
            file.writelines(_json_line(f) for f in failures)


def read(folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Iterator[Prediction]:
    """Read every prediction in an output folder, one part at a time.

    Args:
        folder: the output folder; or several, which are read one after the other.

    Raises:
        OutputError: ``output-not-found`` at once; ``part-damaged`` when a part is met that is.
        ArgumentError: ``bad-argument`` for what is no path.
    """
    return _predictions([part for one in paths_of(folder, what="folder") for part in existing_parts(one)])


def _predictions(parts: Sequence[Path]) -> Iterator[Prediction]:
    for path in parts:
        with undamaged():
            yield from read_part(path)


def read_one(folder: str | os.PathLike[str], id: str) -> BandStructure:
    """Read the band structure of one crystal.

    Args:
        folder: the output folder.
        id: the name of the crystal, as ``summary.csv`` has it.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, or ``unknown-id`` with the nearest ids there are.
        ArgumentError: ``bad-argument`` for a folder that is no path, or an id that is no text.
    """
    folder = path_of(folder, what="folder")
    check_kind("id", id, str)
    for path in existing_parts(folder):
        with undamaged():
            if id in part_ids(path):
                return next(p.band_structure for p in read_part(path) if p.id == id)
    raise unknown_id(folder, id)


def unknown_id(folder: Path, id: str) -> OutputError:
    """Why there is no prediction of this name: the failure it became, or the nearest names there are."""
    for failure in read_errors(folder):
        if failure.id == id:
            return OutputError("unknown-id", f"{folder}: {id} has no prediction [{failure.code}]: {failure.message}")
    from difflib import get_close_matches

    known = [known for path in existing_parts(folder) for known in part_ids(path)]
    near = get_close_matches(id, known, n=3) or known[:3]
    there = f"there are {len(known)}, such as {', '.join(near)}" if known else "there are none"
    return OutputError("unknown-id", f"{folder}: no prediction for {quoted(id)}; {there}")


def existing_parts(folder: Path) -> list[Path]:
    """The parts in an output folder that must be one, in order.

    Raises:
        OutputError: ``output-not-found``.
    """
    if not os.path.isdir(folder / PARTS):
        raise OutputError("output-not-found", f"{folder}: is no output folder of bandrt (it has no {PARTS}/)")
    return part_files(folder)


@contextmanager
def undamaged() -> Iterator[None]:
    """Where parts must be whole.

    Raises:
        OutputError: ``part-damaged``.
    """
    try:
        yield
    except BadPartError as error:
        raise OutputError("part-damaged", f"{error}; run again with --resume") from error


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; nothing where parts were copied without it.

    Raises:
        OutputError: ``run-damaged``.
    """
    path = folder / RUN
    if not os.path.exists(path):
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError("run-damaged", f"{path}: cannot be read ({error}); run again with --resume") from error
    if not isinstance(values, dict):
        raise OutputError("run-damaged", f"{path}: is no record of a run; run again with --resume")
    return values


def read_errors(folder: Path) -> list[Failure]:
    """Read the recorded failures; a last line that a killed run left unfinished is passed over."""
    path = folder / ERRORS
    if not os.path.exists(path):
        return []
    failures: list[Failure] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            failures.append(Failure(**json.loads(line)))
        except (ValueError, TypeError):
            logging.getLogger(__name__).warning("%s: passed over an unfinished line", path)
    return failures


def part_files(folder: Path) -> list[Path]:
    """The parts in an output folder, in order."""
    return sorted((folder / PARTS).glob("part-[0-9]*.npz"))


def check_store(folder: Path, mode: Mode) -> None:
    """Refuse a folder that a run in this mode may not write to; changes nothing.

    Raises:
        OutputInTheWayError: ``output-not-a-folder``, ``output-not-empty`` or ``output-foreign``.
        OutputError: ``output-unwritable``.
        ArgumentError: ``bad-argument`` for a mode that is none.
    """
    check_choice("mode", mode, Mode)
    check_folder(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not is_store(folder):
        raise OutputInTheWayError(
            "output-foreign", f"{folder}: is not empty and no output of bandrt (it has no {RUN} of ours); choose another folder"
        )
    if mode == "new":
        clearable = first_foreign(folder, _is_ours) is None
        again = "--overwrite to start again" if clearable else "choose another folder"
        raise OutputInTheWayError("output-not-empty", f"{folder}: is not empty; add --resume to go on, or {again}")
    if mode == "overwrite":
        check_cleared(folder, _is_ours)


def is_store(folder: Path) -> bool:
    """Whether a run wrote a folder: it has a ``run.json``, and that, or the folder of the parts beside it, is ours."""
    path = folder / RUN
    if not os.path.isfile(path):
        return False
    if os.path.isdir(folder / PARTS):
        return True
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "bandrt_version" in values


def _is_ours(path: Path) -> bool:
    names = path.parts
    if len(names) == 1:
        return names[0] in (PARTS, SUMMARY, ERRORS, RUN, PLOTS, CRASH_LOG, *CONVERTED.values())
    if names[0] == PARTS:
        return len(names) == 2 and path.match("part-*.npz")
    return names[0] == PLOTS and path.suffix in (".png", ".svg", ".pdf")


def _lock(folder: Path) -> int | None:
    """Hold the folder for this process; the system lets go when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:
        return None  # no such locks on this system
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise OutputError("output-locked", f"{folder}: another run is writing here") from error
    return descriptor


def _json_line(failure: Failure) -> str:
    return json.dumps(dataclasses.asdict(failure), ensure_ascii=False) + "\n"
