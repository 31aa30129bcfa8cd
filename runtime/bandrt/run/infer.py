"""A whole run: from paths to an output folder, with its record in ``run.json``."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from bandrt import __version__
from bandrt.arguments import check_choices, check_kind, checked_whole
from bandrt.contract import UNCERTAINTY
from bandrt.engine import DEFAULT_ENGINE, default_device, read_manifest
from bandrt.files import path_of, paths_of
from bandrt.machine.versions import package_versions
from bandrt.predict import Engine, default_batch_size, load
from bandrt.results.store import Mode, Store, check_store
from bandrt.run.pipeline import RunReport, default_workers, run
from bandrt.sources import Source, count, find, find_piped
from bandrt.sources.standard_input import STANDARD_INPUT, Piped
from bandrt.sources.tables import STRUCTURE_COLUMN

_RECORDED_PACKAGES = ("numpy", "gemmi", "moyopy", "onnxruntime", "onnxruntime-gpu", "cuda-core", "tensorrt", "tensorrt-rtx-cu13")


@dataclass(frozen=True)
class InferOptions:
    """Choices of a run.

    Attributes:
        engine: the model file.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes the CPU for an ONNX file, the first GPU for a plan.
        threads: CPU threads of the engine; None takes every core.
        workers: processes that read and featurise; None takes what keeps the device fed.
        batch_size: crystals per run of the engine; None takes what suits the device.
        mode: what to do with an output folder that is not empty.
        retry_failed: on resume, try again what failed before.
        structure_column: the column of tables that has the crystals.
    """

    engine: Path = DEFAULT_ENGINE
    device: str | None = None
    threads: int | None = None
    workers: int | None = None
    batch_size: int | None = None
    mode: Mode = "new"
    retry_failed: bool = False
    structure_column: str = STRUCTURE_COLUMN

    def __post_init__(self) -> None:
        check_choices(self)
        check_kind("retry_failed", self.retry_failed, bool)
        check_kind("structure_column", self.structure_column, str)
        object.__setattr__(self, "engine", path_of(self.engine, what="engine"))
        for name in ("threads", "workers", "batch_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_whole(name, getattr(self, name), at_least=1))


def infer(
    paths: Path | str | Iterable[Path | str] | Piped,
    out: Path | str,
    options: InferOptions,
    *,
    on_progress: Callable[[RunReport], None] = lambda report: None,
) -> RunReport:
    """Predict every crystal that is found and write the results.

    Args:
        paths: files, folders, tables and archives, one or many; or the text of crystals that was piped in.
        out: the output folder.
        options: choices of this run.
        on_progress: called with the report as the run goes on.

    Raises:
        BandrtError: there is no input, the engine cannot be opened or fails, or the folder cannot be written. What was
            predicted before is in the folder.
    """
    inputs, out = _inputs(paths), path_of(out, what="out")
    check_store(out, options.mode)
    sources = _found(inputs, out, options.structure_column)
    with load(options.engine, options.device, threads=options.threads) as engine:
        workers = options.workers or default_workers(engine.session.device)
        batch_size = options.batch_size or default_batch_size(engine.session.device)
        estimates = UNCERTAINTY in engine.manifest.outputs
        with Store(
            out, engine_sha256=engine.sha256, mode=options.mode, retry_failed=options.retry_failed, uncertainty=estimates
        ) as store:
            expected = None if isinstance(inputs, Piped) else count(inputs, skip=[out], structure_column=options.structure_column)
            report = RunReport(expected=expected)
            started, clock = datetime.now(UTC), time.perf_counter()
            record = _record(inputs, engine, options, workers=workers, batch_size=batch_size, started=started)
            store.write_run(record | outcome(report))
            try:
                run(sources, engine, store, workers=workers, batch_size=batch_size, report=report, on_progress=on_progress)
            except BaseException:
                report.status = "stopped"
                raise
            finally:
                report.seconds["wall"] = time.perf_counter() - clock
                store.write_run(record | outcome(report))
    return report


def dry_run(paths: Path | str | Iterable[Path | str] | Piped, out: Path | str, options: InferOptions) -> dict[str, Any]:
    """What `infer` would do, writing nothing and running nothing.

    Raises:
        BandrtError: as `infer` would before its first prediction.
    """
    inputs, out = _inputs(paths), path_of(out, what="out")
    check_store(out, options.mode)
    manifest = read_manifest(options.engine)
    device = default_device(options.engine) if options.device is None else options.device
    return {
        "inputs": sum(1 for _ in _found(inputs, out, options.structure_column)),
        "out": str(out),
        "mode": options.mode,
        "engine": str(options.engine),
        "variant": manifest.variant,
        "kpath": manifest.recipe.kpath.scheme,
        "device": device,
        "workers": options.workers or default_workers(device),
        "batch_size": options.batch_size or default_batch_size(device),
    }


def _inputs(paths: Path | str | Iterable[Path | str] | Piped) -> list[Path] | Piped:
    return paths if isinstance(paths, Piped) else paths_of(paths)


def _found(inputs: Sequence[Path] | Piped, out: Path, structure_column: str) -> Iterator[Source]:
    """The sources of the inputs, results aside; that there is one at all is known at once."""
    if isinstance(inputs, Piped):
        sources = find_piped(inputs, structure_column=structure_column)
    else:
        sources = find(inputs, skip=[out], structure_column=structure_column)
    return chain((next(sources),), sources)


def _record(
    inputs: Sequence[Path] | Piped, engine: Engine, options: InferOptions, *, workers: int, batch_size: int, started: datetime
) -> dict[str, Any]:
    manifest = engine.manifest
    return {
        "bandrt_version": __version__,
        "started": started.isoformat(timespec="seconds"),
        "inputs": [str(path) for path in ((STANDARD_INPUT,) if isinstance(inputs, Piped) else inputs)],
        "engine": {
            "path": str(engine.path),
            "sha256": engine.sha256,
            "checkpoint_sha256": manifest.checkpoint_sha256,
            "variant": manifest.variant,
            "precision": manifest.precision,
            "backend": manifest.backend.name,
        },
        "options": {
            "device": engine.session.device,
            "threads": options.threads,
            "workers": workers,
            "batch_size": batch_size,
            "mode": options.mode,
            "retry_failed": options.retry_failed,
            "structure_column": options.structure_column,
        },
        "recipe": dataclasses.asdict(manifest.recipe),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def outcome(report: RunReport) -> dict[str, Any]:
    """A report as plain JSON values."""
    return {
        "status": report.status,
        "counts": {
            "found": report.found,
            "skipped": report.skipped,
            "predicted": report.predicted,
            "failed": report.failed,
            "total_predicted": report.total_predicted,
            "total_failed": report.total_failed,
        },
        "failure_codes": dict(sorted(report.failure_codes.items())),
        "warning_codes": dict(sorted(report.warning_codes.items())),
        "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
    }


def _versions() -> dict[str, str]:
    return {name: found for name, found in package_versions(_RECORDED_PACKAGES).items() if found}
