"""The manifest beside a TensorRT plan, ``model.plan.json``: read and compared with the plan, without TensorRT or a GPU.

It carries a checksum of itself and, as one of its values, that of the plan: a change of either is found before anything is
computed, and what the manifest says stands for both.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bandrt.content_checksum import KEY, content_sha256, text_of
from bandrt.engine.calibration_file import with_calibration
from bandrt.errors import EngineError, ManifestError
from bandrt.files import file_sha256
from bandrt.manifest import Manifest
from bandrt.typed_values import parsed

BUILD_COMMAND = "bandrt export CKPT -o {} --backend {}"
RTX_TARGETS = ("sm80", "sm86", "sm89", "sm120", "sm121")
"""GPUs that TensorRT-RTX 1.7 builds for; for others there is TensorRT, which builds on the GPU itself."""
WITHOUT_RTX = "build plans with --backend tensorrt on that GPU, or run ONNX engines with --device cuda:N"
"""What to do about a GPU that is no target, such as H100 and H200 (sm90)."""


def sidecar(path: Path) -> Path:
    """Where the manifest of a plan is: ``model.plan.json`` for ``model.plan``."""
    return path.with_name(f"{path.name}.json")


def timings(path: Path) -> Path:
    """Where the timing cache of a plan is: ``model.plan.timings`` for ``model.plan``."""
    return path.with_name(f"{path.name}.timings")


def rebuild(path: Path, backend: str = "tensorrt-rtx") -> str:
    """The command that makes a plan again."""
    return f"build it again with: {BUILD_COMMAND.format(path, backend)}"


def rebuild_for(path: Path, target: str) -> str:
    """The command that makes a plan for a GPU, on a machine that has it."""
    if target in RTX_TARGETS:
        return f"{rebuild(path)} --target {target}"
    return rebuild(path, "tensorrt")


def manifest_of(path: Path) -> Manifest:
    """Read the manifest of a plan, and make sure that it is as it was written, if it says so, and about this very file.

    Raises:
        EngineError: ``plan-changed`` when the plan is not the file that the manifest was written for.
        ManifestError: ``manifest-missing``, or what `Manifest.from_json` finds, such as ``manifest-invalid`` for a manifest that is
            not as it was written.
    """
    beside = sidecar(path)
    manifest = Manifest.from_json(_text_beside(path), name=str(beside))
    backend = manifest.backend
    if backend.name not in ("tensorrt", "tensorrt-rtx") or backend.file_sha256 is None:
        raise ManifestError("manifest-invalid", f"{beside}: is not the manifest of a plan; {rebuild(path)}")
    found = file_sha256(path)
    if found != backend.file_sha256:
        raise EngineError(
            "plan-changed",
            f"{path}: is not the plan that {beside.name} describes (sha256 {found[:12]}, expected {backend.file_sha256[:12]});"
            f" copy both files again, or {rebuild(path, backend.name)}",
        )
    return with_calibration(manifest, path)


def manifest_text(manifest: Manifest) -> str:
    """What stands beside a plan: its manifest, with a checksum of it."""
    return text_of(dataclasses.asdict(manifest))


def has_checksum(path: Path) -> bool:
    """Whether the manifest of a plan, which `manifest_of` has read, carries a checksum."""
    return _values_beside(path).get(KEY) is not None


def plan_sha256(path: Path) -> str:
    """Which engine a plan is, which `manifest_of` has read: the checksum of what its manifest says, that of the plan included."""
    return content_sha256(_values_beside(path))


def _values_beside(path: Path) -> dict[str, Any]:
    """The values of the manifest of a plan, its checksum included."""
    values: dict[str, Any] = parsed(_text_beside(path), name=str(sidecar(path)))
    return values


def _text_beside(path: Path) -> str:
    """What stands beside a plan.

    Raises:
        ManifestError: ``manifest-missing``, or ``manifest-invalid`` for what is no text.
    """
    beside = sidecar(path)
    try:
        return beside.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ManifestError(
            "manifest-missing", f"{path}: its manifest {beside.name} is not beside it; copy it there too, or {rebuild(path)}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("manifest-invalid", f"{beside}: cannot be read ({error}); {rebuild(path)}") from error
