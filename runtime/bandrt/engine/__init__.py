"""Inference sessions: one interface (`session`), a module for each backend (`onnx`), opened by `open_session`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bandrt.errors import EngineError

if TYPE_CHECKING:
    from bandrt.engine.session import Session
    from bandrt.manifest import Manifest


DEFAULT_ENGINE = Path(__file__).parents[1] / "models" / "default.onnx"
"""The model that ships with this package."""


def open_session(path: Path, *, device: str = "cpu", threads: int | None = None) -> Session:
    """Open a model file with the backend its name asks for.

    Args:
        path: ``*.onnx``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of one run; None takes every core this process may use.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format``, or what the backend finds.
    """
    from bandrt.engine.onnx import OnnxSession

    _check(path)
    return OnnxSession(path, device=device, threads=threads)


def read_manifest(path: Path) -> Manifest:
    """Read what a model file says of itself, without a backend.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format`` or ``engine-unreadable``.
        ManifestError: the file has no manifest, or not one this version reads.
    """
    from bandrt.engine.onnx_file import manifest_of

    _check(path)
    return manifest_of(path)


def _check(path: Path) -> None:
    if not path.is_file():
        raise EngineError("engine-not-found", f"{path}: there is no such model file")
    if path.suffix.lower() != ".onnx":
        raise EngineError(
            "engine-format", f"{path}: {path.suffix or 'a file without suffix'} is no model format known here; use .onnx"
        )
