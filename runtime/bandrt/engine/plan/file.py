"""The manifest beside a TensorRT plan, ``model.plan.json``: read and compared with the plan, without TensorRT or a GPU."""

from __future__ import annotations

from pathlib import Path

from bandrt.engine.calibration_file import with_calibration
from bandrt.errors import EngineError, ManifestError
from bandrt.files import file_sha256
from bandrt.manifest import Manifest

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
    """Read the manifest of a plan, and make sure that it is about this very file.

    Raises:
        EngineError: ``plan-changed`` when the plan is not the file that the manifest was written for.
        ManifestError: ``manifest-missing``, or what `Manifest.from_json` finds.
    """
    beside = sidecar(path)
    try:
        text = beside.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ManifestError(
            "manifest-missing", f"{path}: its manifest {beside.name} is not beside it; copy it there too, or {rebuild(path)}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("manifest-invalid", f"{beside}: cannot be read ({error}); {rebuild(path)}") from error
    manifest = Manifest.from_json(text, name=str(beside))
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
