"""What ``run.json`` says of a run: what was asked for, of which engine, and how it went."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bandrt import __version__
from bandrt.engine.cuda_driver import gpu_record
from bandrt.errors import OutputError
from bandrt.machine.versions import package_versions
from bandrt.predict import Engine
from bandrt.results.store import read_run
from bandrt.run.report import RunReport

MERGE = "merge"
"""What ``run.json`` says of the runs that a folder was merged from."""
_RECORDED_PACKAGES = (
    *("numpy", "gemmi", "moyopy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-nv-tensorrt-rtx-cu13"),
    *("cuda-core", "tensorrt", "tensorrt-rtx-cu13"),
)


def earlier_record(out: Path) -> dict[str, Any]:
    """What ``run.json`` says of the run that is gone on with; nothing if there is none, or it cannot be understood."""
    try:
        return read_run(out)
    except OutputError:
        return {}  # it is written anew, and each result says of which engine it is


def recorded_batch_size(before: Mapping[str, Any]) -> int | None:
    """Crystals per run of the engine that a record names; None if it names none."""
    options = before.get("options")
    size = options.get("batch_size") if isinstance(options, Mapping) else None
    return size if isinstance(size, int) and size > 0 else None


def run_record(engine: Engine, *, inputs: Sequence[str], options: Mapping[str, Any], started: datetime) -> dict[str, Any]:
    """What is known of a run when it begins.

    Args:
        engine: which predicts.
        inputs: where the crystals are from.
        options: as they are.
        started: when.
    """
    manifest = engine.manifest
    return {
        "bandrt_version": __version__,
        "started": started.isoformat(timespec="seconds"),
        "inputs": list(inputs),
        "engine": {
            "path": str(engine.path),
            "sha256": engine.sha256,
            "checkpoint_sha256": manifest.checkpoint_sha256,
            "variant": manifest.variant,
            "precision": manifest.precision,
            "backend": manifest.backend.name,
            "has_checksum": engine.has_checksum,
            "hand_over": _other_record(engine),
        },
        "gpu": gpu_record(engine.session.device),
        "options": dict(options),
        "recipe": dataclasses.asdict(manifest.recipe),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def _other_record(engine: Engine) -> dict[str, Any] | str:
    """The engine that crystals are handed over to; ``none`` where they are not."""
    rule, other = engine.manifest.hand_over, engine.hands_over_to
    if rule is None or other is None:
        return "none"
    return {"name": rule.engine, "path": str(other.path), "sha256": other.sha256, "device": other.session.device} | {
        "checkpoint_sha256": other.manifest.checkpoint_sha256,
        "elements": list(rule.elements),
    }


def report_values(report: RunReport) -> dict[str, Any]:
    """A report as plain JSON values."""
    return {
        "status": report.status,
        "counts": {
            "found": report.found,
            "elsewhere": report.elsewhere,
            "skipped": report.skipped,
            "predicted": report.predicted,
            "failed": report.failed,
            "total_predicted": report.total_predicted,
            "total_failed": report.total_failed,
            "set_aside": report.set_aside,
        },
        "failure_codes": dict(sorted(report.failure_codes.items())),
        "warning_codes": dict(sorted(report.warning_codes.items())),
        "padding": report.padding.ratio,
        "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
    }


def _versions() -> dict[str, str]:
    return {name: found for name, found in package_versions(_RECORDED_PACKAGES).items() if found}
