"""Several runs into one folder, such as the shards of a job array: a folder like that of any other run.

`sifted` decides what counts, by hashes alone; results are then read in the order of the inputs, `AT_ONCE` at a time, so that memory
does not grow with their number.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt import __version__
from bandrt.arguments import check_fields, check_kind
from bandrt.errors import ArgumentError, OutputError, OutputInTheWayError, UsageError
from bandrt.files import path_of, paths_of
from bandrt.results.arrays import frame_in, predictions_of, taken
from bandrt.results.counted import require_all_failures
from bandrt.results.damage import undamaged
from bandrt.results.parts import FORMAT_VERSION, part_arrays
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import ERRORS, PARTS, RUN, SUMMARY, check_store, read_errors
from bandrt.results.summary import UNCERTAINTY_COLUMN
from bandrt.results.writer import Store
from bandrt.run.record import MERGE, report_values
from bandrt.run.report import RunReport
from bandrt.run.runs import Run, lacking, opened, require_same
from bandrt.run.shard import WHOLE
from bandrt.run.sift import ROW, Rows, Sifted, rows_of, sifted
from bandrt.sources.source import reason_sha256

AT_ONCE = 4096
"""Predictions in memory: 60 MB."""


@dataclass(frozen=True)
class MergeReport:
    """What became of several runs.

    Attributes:
        n_runs: how many there were.
        n_predicted: predictions in the merged folder.
        n_failed: failures in it.
        n_repeated: results left out that are of inputs that another result is of.
        is_whole: whether every run had finished, and no shard is missing.
    """

    n_runs: int
    n_predicted: int
    n_failed: int
    n_repeated: int
    is_whole: bool

    def __post_init__(self) -> None:
        check_fields(self)


def merge(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    incomplete: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MergeReport:
    """Write the results of several runs to one folder, which is then like that of a run of all their inputs.

    Results of the shards of one array come in the order of the inputs, those of other runs after each other as they are given. Of
    several results of one input the first counts, and a prediction before a failure. The runs stay as they are.

    Args:
        folders: output folders of ``bandrt infer``, or merged ones; of the same engine and the same options.
        out: the merged folder, new or empty.
        incomplete: whether runs are taken that have not finished, and some shards without the others.
        overwrite: whether an earlier run in `out` is deleted first.
        on_progress: called with how many predictions are written, and of how many.

    Returns:
        What is in the merged folder.

    Raises:
        OutputError: ``output-not-found``, ``run-damaged``, ``part-damaged``, ``part-unreadable``, ``part-version``,
            ``errors-damaged`` or ``errors-unreadable`` for one of the folders; ``repeated-id`` where different inputs have one id;
            ``output-unwritable`` or ``output-locked``. A folder that was begun is deleted again.
        OutputInTheWayError: ``engine-differs``, ``options-differ``, ``output-version``, ``output-not-empty``, ``output-foreign`` or
            ``output-not-a-folder``.
        UsageError: ``incomplete-runs``.
        ArgumentError: ``bad-argument`` for what is no path, or no folder at all.
    """
    check_kind("incomplete", incomplete, bool)
    check_kind("overwrite", overwrite, bool)
    given, out = paths_of(folders, what="folders"), path_of(out, what="out")
    if not given:
        raise ArgumentError("bad-argument", "folders is empty, allowed: output folders of bandrt infer, one or many")
    _check_out(out, given, overwrite=overwrite)
    runs = [opened(folder) for folder in given]
    require_same(runs)
    missing = lacking(runs)
    if missing and not incomplete:
        raise UsageError("incomplete-runs", f"{missing}; with --incomplete, what there is is merged")
    rows, engine_sha256 = _rows(runs)
    kept = sifted(rows)
    if kept.conflict is not None:
        raise _conflict(runs, kept.conflict)
    report = MergeReport(len(runs), len(kept.predictions), len(kept.failures), kept.n_repeated, not missing)
    _write(out, runs, kept, report, engine_sha256, overwrite=overwrite, on_progress=on_progress)
    return report


def _check_out(out: Path, folders: Sequence[Path], *, overwrite: bool) -> None:
    for folder in folders:
        if os.path.exists(out) and os.path.exists(folder) and os.path.samefile(out, folder):
            raise OutputInTheWayError("output-not-empty", f"{out}: is one of the folders that are merged; choose another one")
    check_store(out, "overwrite" if overwrite else "new", goes_on=False)


def _rows(runs: Sequence[Run]) -> tuple[Rows, str]:
    """A row for each result, all parts verified; and the engine of all.

    Raises:
        OutputError: as `merge`.
    """
    found: list[Rows] = []
    engines: dict[str, Path] = {}
    first_of_series: dict[tuple[Any, ...], int] = {}
    for number, run in enumerate(runs):
        first_of_series.setdefault(run.series, number)
    start = end = 0
    before: int | None = None
    for number in sorted(range(len(runs)), key=lambda number: first_of_series[runs[number].series]):
        run = runs[number]
        if first_of_series[run.series] != before:
            before, start = first_of_series[run.series], end
        for of_file in _rows_of_run(run, number, start, engines):
            found.append(of_file)
            end = max(end, 1 + int(of_file["order"].max(initial=-1)))
    if len(engines) > 1:
        said = ", ".join(f"{engine[:12]} in {path}" for engine, path in engines.items())
        raise OutputInTheWayError("engine-differs", f"the runs hold results of several engines ({said}); merge those of one alone")
    return np.concatenate(found) if found else np.zeros(0, ROW), next(iter(engines), "")


def _rows_of_run(run: Run, number: int, start: int, engines: dict[str, Path]) -> Iterator[Rows]:
    """The rows of each file of a run, whose places among the inputs begin at `start`; engines that are met are noted."""
    failures = read_errors(run.folder)
    failed = {failure.id for failure in failures}  # less what was predicted since
    for part, path in enumerate(run.parts):
        with undamaged():
            arrays = part_arrays(path)
            frame_in(arrays, path)
        if (version := int(arrays["format_version"])) != FORMAT_VERSION:
            raise OutputInTheWayError(
                "output-version", f"{path}: is of format {version}, which does not say of which input each result is; predict again"
            )
        engines.setdefault(str(arrays["engine_sha256"]), path)
        failed.difference_update(arrays["id"])
        texts: Iterable[tuple[str, str, str]] = zip(arrays["id"], arrays["input_sha256"], arrays["path"], strict=True)
        yield rows_of(texts, run=number, part=part, orders=start + arrays["input_order"].astype(np.int64))
    require_all_failures(run.folder, run.record, len(failed))
    for failure in failures:
        if failure.engine_sha256:
            engines.setdefault(failure.engine_sha256, run.folder / ERRORS)
    orders = np.array([f.input_order if f.input_order >= 0 else place for place, f in enumerate(failures)], np.int64)
    texts = ((f.id, f.input_sha256, f.path) for f in failures)
    by_path = [_is_known_by_path(failure) for failure in failures]
    rows = rows_of(texts, run=number, part=-1, orders=start + orders, by_path=by_path)
    yield rows[np.array([failure.id in failed for failure in failures], bool)]


def _is_known_by_path(failure: Failure) -> bool:
    """Whether the path of a failure tells of which input it is: it has no text that would, or the path is the same everywhere."""
    return failure.input_sha256 in ("", reason_sha256(failure.code, failure.message)) or os.path.isabs(failure.path)


def _write(
    out: Path,
    runs: Sequence[Run],
    kept: Sifted,
    report: MergeReport,
    engine_sha256: str,
    *,
    overwrite: bool,
    on_progress: Callable[[int, int], None],
) -> None:
    first_part = next((path for run in runs for path in run.parts), None)
    with undamaged():
        arrays = {} if first_part is None else part_arrays(first_part)
        frame = None if first_part is None else frame_in(arrays, first_part)
    record, was_there = _record(runs, report), out.exists()
    store = Store(
        out,
        engine_sha256=engine_sha256,
        bands=frame,
        mode="overwrite" if overwrite else "new",
        uncertainty=UNCERTAINTY_COLUMN in arrays if first_part is not None else _has_uncertainty(runs[0].folder),
        keep=runs[0].options.get("keep", ()),
        record=record | report_values(_totals(runs, report, Counter(), Counter(), "running")),
    )
    try:
        with store:
            for ticket, failure in _failures(runs, kept.failures):
                store.fail(ticket, failure)
            for done, (ticket, prediction) in enumerate(_predictions(runs, kept.predictions), start=1):
                store.add(ticket, prediction)
                if done % 100 == 0 or done == report.n_predicted:
                    on_progress(done, report.n_predicted)
            store.finish([])
            status = "finished" if report.is_whole else "interrupted"
            totals = _totals(runs, report, store.failure_codes, store.warning_codes, status)
            store.write_run(record | report_values(totals))
    except BaseException as error:
        with suppress(OSError):  # what went wrong is what has to be told
            shutil.rmtree(out / PARTS)
            for name in (SUMMARY, ERRORS, RUN):
                (out / name).unlink(missing_ok=True)
            if not was_there:
                out.rmdir()
        if isinstance(error, OutputError) and error.code == "output-unwritable":
            raise OutputError(error.code, f"{out}: cannot be written ({_why(error)}); what was merged is deleted again") from error
        raise


def _why(error: OutputError) -> str:
    """What the system said, of which a run tells that one can go on with it."""
    cause = error.__cause__
    return str(cause.strerror or cause) if isinstance(cause, OSError) else error.message


def _predictions(runs: Sequence[Run], rows: Rows) -> Iterator[tuple[Ticket, Prediction]]:
    """Predictions in the order of their rows."""
    for start in range(0, len(rows), AT_ONCE):
        wanted = rows[start : start + AT_ONCE]
        found: list[tuple[int, Ticket, Prediction]] = []
        files = np.unique(wanted[["run", "part"]])
        for number, part in zip(files["run"], files["part"], strict=True):
            run = runs[number]
            path = run.parts[part]
            places = np.flatnonzero((wanted["run"] == number) & (wanted["part"] == part))
            with undamaged():
                predictions = predictions_of(taken(_unchanged(path, wanted[places], run), wanted["place"][places]), path)
                for place, prediction in zip(map(int, places), predictions, strict=True):
                    found.append((place, Ticket(int(wanted["order"][place]), prediction.id, prediction.path), prediction))
        for _, ticket, prediction in sorted(found, key=lambda entry: entry[0]):
            yield ticket, prediction


def _unchanged(path: Path, rows: Rows, run: Run) -> dict[str, NDArray[Any]]:
    """The arrays of a part, of which some crystals are those of these rows."""
    arrays = part_arrays(path) if os.path.exists(path) else {}
    n_crystals = len(arrays.get("id", ()))
    if n_crystals > rows["place"].max():
        texts = [(arrays["id"][place], arrays["input_sha256"][place], "") for place in rows["place"]]
        now = rows_of(texts, run=0, part=0, orders=rows["order"])
        if (now["id"] == rows["id"]).all() and (now["input"] == rows["input"]).all():
            return arrays
    raise _written_to(run)


def _failures(runs: Sequence[Run], rows: Rows) -> Iterator[tuple[Ticket, Failure]]:
    for number in np.unique(rows["run"]):
        failures = read_errors(runs[number].folder)
        for row in rows[rows["run"] == number]:
            if row["place"] >= len(failures):
                raise _written_to(runs[number])
            failure = failures[row["place"]]
            yield Ticket(int(row["order"]), failure.id, failure.path), failure


def _written_to(run: Run) -> UsageError:
    return UsageError("incomplete-runs", f"{run.folder}: was written to while it was merged; wait until its run has ended")


def _conflict(runs: Sequence[Run], pair: Rows) -> OutputError:
    """Why two rows cannot both be kept."""
    said = []
    for row in pair:
        run = runs[row["run"]]
        if row["part"] < 0:
            failure = read_errors(run.folder)[row["place"]]
            id, path = failure.id, failure.path
        else:
            with undamaged():
                arrays = part_arrays(run.parts[row["part"]])
            id, path = arrays["id"][row["place"]], arrays["path"][row["place"]]
        said.append(f"{path} in {run.folder}")
    return OutputError(
        "repeated-id",
        f"{id}: is the id of different inputs: {' and '.join(said)}; if the input has changed, run both again with --resume, else"
        " predict all inputs in one run, or in shards of one, where ids are unique",
    )


def _has_uncertainty(folder: Path) -> bool:
    """Whether a summary without lines has a column of uncertainties."""
    try:
        with (folder / SUMMARY).open(encoding="utf-8") as file:
            return UNCERTAINTY_COLUMN in file.readline().strip().split(",")
    except OSError:
        return False


def _record(runs: Sequence[Run], report: MergeReport) -> dict[str, Any]:
    """What ``run.json`` says of all runs: what they have in common, and where each differs."""
    first = runs[0].record
    inputs = dict.fromkeys(str(path) for run in runs for path in run.record.get("inputs", ()))
    common = {name: _common([run.record.get(name) for run in runs]) for name in ("gpu", "options", "recipe", "versions")}
    return {
        "bandrt_version": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": list(inputs),
        "engine": first.get("engine"),
        **common,
        "options": {**(common["options"] or {}), "shard": str(WHOLE)},
        MERGE: {
            "python": platform.python_version(),
            "repeated": report.n_repeated,
            "runs": [
                {"folder": str(run.folder), "shard": str(run.shard)}
                | {name: run.record[name] for name in _OF_EACH_RUN if name in run.record}
                for run in runs
            ],
        },
    }


_OF_EACH_RUN = ("bandrt_version", "started", "inputs", "gpu", "options", "versions", "status", "counts", "seconds", MERGE)


def _common(values: Sequence[Any]) -> Any:
    """What all values say; of objects, the keys in which they agree."""
    first = values[0]
    if all(value == first for value in values):
        return first
    if all(isinstance(value, Mapping) for value in values):
        return {key: first[key] for key in first if all(key in value and value[key] == first[key] for value in values)}
    return None


def _totals(
    runs: Sequence[Run], report: MergeReport, failure_codes: Counter[str], warning_codes: Counter[str], status: Any
) -> RunReport:
    """The report of all runs; seconds add up."""
    seconds: Counter[str] = Counter(RunReport().seconds)
    for run in runs:
        found = run.record.get("seconds")
        seconds.update({name: float(found[name]) for name in found if name in seconds} if isinstance(found, Mapping) else {})
    return RunReport(
        status=status,
        found=report.n_predicted + report.n_failed,
        predicted=report.n_predicted,
        failed=report.n_failed,
        total_predicted=report.n_predicted,
        failure_codes=failure_codes,
        warning_codes=warning_codes,
        seconds=dict(seconds),
    )
