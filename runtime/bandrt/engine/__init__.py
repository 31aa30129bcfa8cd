"""Inference sessions: one interface (`session`), a module for each backend (`onnx`, `tensorrt`), opened by `open_session`.

Manifests are read without a backend (`onnx_file`, `plan_file`), and GPUs are found without a CUDA package (`cuda_driver`).
"""

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
        path: ``*.onnx``, or ``*.plan``, which this version reads but does not run.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of one run; None takes every core this process may use.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format``, or what the backend finds.
    """
    from bandrt.engine.onnx import OnnxSession
    from bandrt.engine.tensorrt import refuse

    if _suffix(path) == ".plan":
        refuse(path)
    return OnnxSession(path, device=device, threads=threads)


def read_manifest(path: Path) -> Manifest:
    """Read what a model file says of itself, without a backend.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format``, ``engine-unreadable`` or ``plan-changed``.
        ManifestError: the file has no manifest, or not one this version reads.
    """
    from bandrt.engine import onnx_file, plan_file

    return plan_file.manifest_of(path) if _suffix(path) == ".plan" else onnx_file.manifest_of(path)


def _suffix(path: Path) -> str:
    """``.onnx`` or ``.plan``, of a file that is there."""
    if not path.is_file():
        raise EngineError("engine-not-found", f"{path}: there is no such model file")
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".plan"):
        raise EngineError(
            "engine-format", f"{path}: {path.suffix or 'a file without suffix'} is no model format known here; use .onnx or .plan"
        )
    return suffix
