"""The calibration beside an engine, ``model.onnx.calibration.json``: fitted after export, without a change of the engine."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from bandrt.calibration import GapCalibration
from bandrt.content_checksum import checked, text_of
from bandrt.errors import ManifestError
from bandrt.files import replaced
from bandrt.manifest import Manifest
from bandrt.quoting import with_article
from bandrt.typed_values import from_mapping, parsed


def calibration_path(engine: Path) -> Path:
    """Where the calibration of an engine lies: ``model.onnx.calibration.json`` for ``model.onnx``.

    That of a symbolic link lies beside what it leads to, unless there is one beside the link.
    """
    beside = engine.with_name(f"{engine.name}.calibration.json")
    if not engine.is_symlink() or os.path.lexists(beside):
        return beside
    file = Path(os.path.realpath(engine))
    return file.with_name(f"{file.name}.calibration.json")


def with_calibration(manifest: Manifest, engine: Path) -> Manifest:
    """The manifest of an engine with the calibration that lies beside it, unless that was fitted to other weights.

    Raises:
        ManifestError: ``manifest-invalid`` for a file there that is no calibration.
    """
    path = calibration_path(engine)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return manifest
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("manifest-invalid", f"{path}: cannot be read ({error}); remove it, or write it again") from error
    found = parse_calibration(text, name=str(path))
    return dataclasses.replace(manifest, calibration=found) if found.checkpoint_sha256 == manifest.checkpoint_sha256 else manifest


def parse_calibration(text: str, *, name: str) -> GapCalibration:
    """Parse and check, also against the checksum that it carries, if it does.

    Raises:
        ManifestError: ``manifest-invalid``.
    """
    values = parsed(text, name=name, what="calibration")
    if not isinstance(values, dict):
        raise ManifestError("manifest-invalid", f"{name}: the calibration is {with_article(type(values).__name__)}, not an object")
    return from_mapping(GapCalibration, checked(values, name=name, what="calibration"), name=f"{name}: the calibration")


def write_calibration(calibration: GapCalibration, path: Path) -> None:
    """Write one with its checksum; equal calibrations give equal text."""
    with replaced(path) as file:
        file.write(text_of(dataclasses.asdict(calibration)) + "\n")
