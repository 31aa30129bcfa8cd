"""The engine which predicted a run, found again by what ``run.json`` says of it, and its calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bandrt.calibration import GapCalibration
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.errors import BandrtError, EngineError, UsageError
from bandrt.manifest import Manifest
from bandrt.quoting import quoted
from bandrt.results.store import read_run


def calibration_of(folder: Path, engine: Path | None = None, *, read: Callable[[Path], Manifest] = read_manifest) -> GapCalibration:
    """Find the calibration that predictions of a folder have.

    It is that of an engine with the same weights: of `engine`, of the file that the run names, or of one that ships. It has to be
    of the same hand-over, too.

    Args:
        folder: the output folder.
        engine: where the engine of the run is now; None looks where it was.
        read: what reads the manifest of an engine; many folders of one engine may share one that remembers.

    Raises:
        UsageError: ``no-calibration``, ``engine-differs`` for an engine of other weights.
        OutputError: ``run-damaged``.
        BandrtError: `engine`, or the engine that the run names, is there and cannot be read.
    """
    record = _engine_of(folder)
    if not isinstance(record.get("checkpoint_sha256"), str):
        raise _none(folder, "its run.json does not say which engine predicted it")
    for manifest in manifests_of(folder, engine, read=read):
        if manifest.calibration is not None:
            return _of_same_hand_over(folder, manifest.calibration, record)
    raise _none(folder, f"no calibration of its engine, {quoted(record.get('path'))}, is known")


def manifests_of(
    folder: Path, engine: Path | None = None, *, read: Callable[[Path], Manifest] = read_manifest
) -> Iterator[Manifest]:
    """Find the manifests of engines with the weights that predicted a folder: of `engine`, or else as `calibration_of` looks.

    Args:
        folder: the output folder.
        engine: where the engine of the run is now; None looks where it was.
        read: what reads the manifest of an engine.

    Raises:
        UsageError: ``engine-differs`` for an engine of other weights.
        OutputError: ``run-damaged``.
        BandrtError: `engine`, or the engine that the run names, is there and cannot be read.
    """
    record = _engine_of(folder)
    checkpoint, path = record.get("checkpoint_sha256"), record.get("path")
    if engine is not None:
        manifest = read(engine)
        if manifest.checkpoint_sha256 != checkpoint:
            raise UsageError("engine-differs", f"{folder}: was predicted with other weights than those of {engine}")
        yield manifest
        return
    known = _known(Path(path) if isinstance(path, str) else None, read)
    yield from (manifest for manifest in known if manifest.checkpoint_sha256 == checkpoint)


def _engine_of(folder: Path) -> Mapping[str, Any]:
    """What the record of a run says of its engine."""
    record = read_run(folder).get("engine")
    return record if isinstance(record, Mapping) else {}


def _known(own: Path | None, read: Callable[[Path], Manifest]) -> Iterator[Manifest]:
    """The manifest of the engine of a run, if it is still there, and those that ship, as far as they can be read.

    What is wrong with that of the run, or with its calibration, is for the user to know: another one in its place might give other
    probabilities.
    """
    if own is not None:
        try:
            yield read(own)
        except EngineError as error:
            if error.code != "engine-not-found":
                raise
    for path in SHIPPED_ENGINES.values():
        if path != own:
            with suppress(BandrtError):
                yield read(path)


def _of_same_hand_over(folder: Path, calibration: GapCalibration, record: Mapping[str, Any]) -> GapCalibration:
    other = record.get("hand_over")
    found = other.get("checkpoint_sha256") if isinstance(other, Mapping) else ""
    if found != calibration.hand_over_sha256:
        raise _none(folder, "the calibration of its engine is of another hand-over of crystals to another engine")
    return calibration


def _none(folder: Path, why: str) -> UsageError:
    return UsageError(
        "no-calibration",
        f"{folder}: {why}, so there are no probabilities; fit one with bandrt train calibrate, name where the engine is with"
        " --engine, or choose by what was predicted alone with --as-predicted",
    )
