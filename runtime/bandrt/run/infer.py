"""A whole run: from paths to an output folder, with its record in ``run.json``."""

from __future__ import annotations

import logging
import math
import numbers
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bandrt.arguments import check_choices, check_kind, check_text, checked_whole, not_allowed
from bandrt.contract import UNCERTAINTY
from bandrt.engine import DEFAULT_ENGINE, shipped_path
from bandrt.engine.session import MAX_THREADS
from bandrt.errors import OutputError, OutputInTheWayError, UsageError
from bandrt.files import path_of
from bandrt.loading import EngineWarning, load, unverified
from bandrt.manifest import MAX_BANDS, BandRule
from bandrt.predict import Engine, default_batch_size
from bandrt.results.store import Mode, check_store
from bandrt.results.summary import RESERVED
from bandrt.results.writer import Store
from bandrt.run.choices import differences
from bandrt.run.defaults import TIMEOUT_SECONDS, default_max_atoms, default_workers
from bandrt.run.inputs import Inputs, inputs_of, said_of, sources_of
from bandrt.run.interrupt import Interrupt, Interrupted
from bandrt.run.main_guard import require_main_guard
from bandrt.run.pipeline import run
from bandrt.run.record import MERGE, earlier_record, recorded_batch_size, report_values, run_record
from bandrt.run.report import RunReport
from bandrt.run.shard import WHOLE, Shard
from bandrt.run.workers import MAX_WORKERS
from bandrt.sources import Source, count
from bandrt.sources.kept import checked_keep
from bandrt.sources.source import Listed
from bandrt.sources.standard_input import Piped
from bandrt.sources.tables import STRUCTURE_COLUMN


@dataclass(frozen=True)
class InferOptions:
    """Choices of a run.

    Attributes:
        engine: the model file; or, as text, the name of an engine that comes with this package.
        device: ``cpu``, ``cuda`` or ``cuda:N``, for ONNX files also ``tensorrt:N`` and ``nv-tensorrt-rtx:N``, or several GPUs by
            commas, ``cuda:0,cuda:1``; None takes the CPU for an ONNX file, for a plan a GPU: the first, which is said where there
            are several.
        threads: CPU threads of the engine; None takes every core.
        bands: how many are predicted, around the Fermi level; None takes as many as the engine says: six.
        workers: processes that read and featurise; None takes what keeps the device fed, 0 works in this process, where a crystal
            that never ends is not given up, and one that crashes a library ends the run.
        timeout: seconds after which a crystal is given up that a worker does not get on with.
        max_atoms: of the largest primitive cell that is predicted, since memory grows with its square; None takes 600 on the CPU,
            which 1.5 GB hold, and any number on a GPU.
        batch_size: crystals per run of the engine; None takes what suits the device.
        hand_over: whether crystals of some elements are predicted by another engine, where the manifest says so.
        mode: what to do with an output folder that is not empty.
        retry_failed: on resume, try again what failed before.
        structure_column: the column of tables that has the crystals.
        keep: columns of tables, key-value pairs of ASE databases, and keys of entries and frames, whose values come along into
            the results; empty for inputs that lack them.
        shard: the share of the inputs that is predicted; ids are those of a run of all.
    """

    engine: Path = DEFAULT_ENGINE
    device: str | None = None
    threads: int | None = None
    bands: int | None = None
    workers: int | None = None
    timeout: float = TIMEOUT_SECONDS
    max_atoms: int | None = None
    batch_size: int | None = None
    hand_over: bool = True
    mode: Mode = "new"
    retry_failed: bool = False
    structure_column: str = STRUCTURE_COLUMN
    keep: Sequence[str] = ()
    shard: Shard = WHOLE

    def __post_init__(self) -> None:
        check_choices(self)
        check_kind("retry_failed", self.retry_failed, bool)
        check_kind("hand_over", self.hand_over, bool)
        check_kind("shard", self.shard, Shard)
        check_text("structure_column", self.structure_column)
        object.__setattr__(self, "keep", checked_keep(self.keep))
        if reserved := [name for name in self.keep if name in RESERVED]:
            raise UsageError(
                "keep-column", f"--keep {reserved[0]}: results have a column of this name of their own; rename that of the input"
            )
        object.__setattr__(self, "engine", shipped_path(self.engine) or path_of(self.engine, what="engine"))
        for name, least, most in (
            ("threads", 1, MAX_THREADS), ("bands", 2, MAX_BANDS), ("workers", 0, MAX_WORKERS), ("batch_size", 1, None),
            ("max_atoms", 1, None),
        ):  # fmt: skip
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_whole(name, getattr(self, name), at_least=least, at_most=most))
        is_number = isinstance(self.timeout, numbers.Real) and not isinstance(self.timeout, bool)
        if not is_number or not 0 < self.timeout < math.inf:
            raise not_allowed("timeout", self.timeout, "a number of seconds above 0")
        object.__setattr__(self, "timeout", float(self.timeout))


def infer(
    paths: Path | str | Iterable[Path | str] | Piped | Listed,
    out: Path | str,
    options: InferOptions,
    *,
    on_progress: Callable[[RunReport], None] = lambda report: None,
) -> RunReport:
    """Predict every crystal that is found and write the results.

    Args:
        paths: files, folders, tables and archives, one or many; or the text of crystals that was piped in, or sources.
        out: the output folder.
        options: choices of this run.
        on_progress: called with the report as the run goes on.

    Returns:
        What was done; ``interrupted`` if Ctrl-C, or a signal that asks to end, came while it ran.

    Raises:
        BandrtError: there is no input, the engine cannot be opened or fails, the folder cannot be written, or was begun with
            other choices. What was predicted before is in the folder.
        KeyboardInterrupt: there was a request to stop before anything was written.
    """
    require_main_guard()
    inputs, out = inputs_of(paths), path_of(out, what="out")
    report = RunReport(lacking=list(options.keep))
    check_store(out, options.mode)
    sources = sources_of(inputs, out, structure_column=options.structure_column, keep=options.keep, report=report)
    engine = _opened(options)
    try:
        with Interrupt() as interrupt:
            _infer(inputs, sources, out, engine, options, report, interrupt, on_progress)
    finally:
        if not report.engine_busy:
            engine.close()
    return report


def _opened(options: InferOptions) -> Engine:
    """The engine; that it has no checksum is said to people, and in the record."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EngineWarning)
        engine = load(options.engine, options.device, threads=options.threads, bands=options.bands, hand_over=options.hand_over)
    if not engine.has_checksum:
        logging.getLogger(__name__).warning(unverified(engine.path))
    if engine.manifest.is_null:
        logging.getLogger(__name__).warning("%s: this engine computes nothing, and all bands are zero", engine.path.name)
    return engine


def _infer(
    inputs: Inputs,
    sources: Iterator[Source],
    out: Path,
    engine: Engine,
    options: InferOptions,
    report: RunReport,
    interrupt: Interrupt,
    on_progress: Callable[[RunReport], None],
) -> None:
    device = engine.session.device
    workers = workers_of(options, device)
    before = earlier_record(out) if options.mode == "resume" else {}
    batch_size = options.batch_size or recorded_batch_size(before) or default_batch_size(device)
    started, clock = datetime.now(UTC), time.perf_counter()
    chosen = options_record(options, device, engine.manifest.bands, workers=workers, batch_size=batch_size)
    record = run_record(engine, inputs=said_of(inputs), options=chosen, started=started)
    if MERGE in before:
        record[MERGE] = before[MERGE]
    require_same(out, before, record)
    store = Store(
        out,
        engine_sha256=engine.checksums,
        bands=engine.manifest.bands,
        mode=options.mode,
        retry_failed=options.retry_failed,
        uncertainty=UNCERTAINTY in engine.manifest.outputs,
        keep=options.keep,
        failures_say_order=options.shard != WHOLE,
        record=record | report_values(report),
    )
    with store:
        try:
            report.take_totals(store)
            store.write_run(record | report_values(report))
            searched = [] if isinstance(inputs, Piped | Listed) else inputs
            if searched and before.get("status") != "finished":  # else it would take as long as all the rest
                report.expected = count(searched, skip=[out], structure_column=options.structure_column)
            run(
                sources,
                engine,
                store,
                workers=workers,
                batch_size=batch_size,
                report=report,
                timeout=options.timeout,
                max_atoms=options.max_atoms or default_max_atoms(device),
                searched=searched,
                shard=options.shard,
                interrupt=interrupt,
                on_progress=on_progress,
            )
        except Interrupted as request:  # before the first input
            report.status, report.signal = "interrupted", request.number
        except BaseException:
            interrupt.settle()
            report.status = "stopped"
            with suppress(OutputError):  # what stopped the run is what has to be told
                store.commit()
                _write_end(store, record, report, clock)
            raise
        interrupt.settle()
        _write_end(store, record, report, clock)


def _write_end(store: Store, record: dict[str, Any], report: RunReport, clock: float) -> None:
    report.seconds["wall"] = time.perf_counter() - clock
    report.take_totals(store)
    store.write_run(record | report_values(report))


def require_same(out: Path, before: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Refuse to go on with what was begun with other choices that decide the numbers, the columns or the inputs.

    Raises:
        OutputInTheWayError: ``engine-differs`` or ``options-differ``.
    """
    if not (different := differences(before, record)):
        return
    said = ", ".join(map(str, different))
    message = f"{out}: was begun with other choices: {said}; go on with what it has, or write to another folder"
    raise OutputInTheWayError("engine-differs" if different[0].is_of_engine else "options-differ", message)


def workers_of(options: InferOptions, device: str) -> int:
    """Processes that read and featurise."""
    return default_workers(device) if options.workers is None else options.workers


def options_record(options: InferOptions, device: str, rule: BandRule, *, workers: int, batch_size: int) -> dict[str, Any]:
    """Options as they are: what was left open is said."""
    return {
        "device": device,
        "threads": options.threads,
        "bands": rule.n_bands,
        "workers": workers,
        "timeout": options.timeout,
        "max_atoms": options.max_atoms or default_max_atoms(device),
        "batch_size": batch_size,
        "mode": options.mode,
        "retry_failed": options.retry_failed,
        "structure_column": options.structure_column,
        "keep": list(options.keep),
        "shard": str(options.shard),
    }
