"""Opening a TensorRT plan: everything that can be wrong is found before TensorRT is touched, which would end Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandrt.engine.cuda_driver import Gpu, require_gpu
from bandrt.engine.cuda_wheels import require_driver
from bandrt.engine.plan.compiled import Kernels, Origin, beside
from bandrt.engine.plan.cuda_device import CudaDevice
from bandrt.engine.plan.device import Device, DeviceError
from bandrt.engine.plan.file import manifest_of, rebuild, rebuild_for
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.plan.tensorrt import PIP_NAMES, Plan, import_backend
from bandrt.engine.session import parse_device
from bandrt.errors import EngineError
from bandrt.manifest import Backend

INSTEAD = "run the ONNX engine instead: bandrt infer --engine model.onnx"


def open_plan(path: Path, *, device: str) -> PlanSession:
    """Open a plan on a GPU.

    Args:
        path: the ``.plan`` file, with its manifest beside it.
        device: ``cuda`` or ``cuda:N``.

    Raises:
        EngineError: ``plan-changed``, ``device-unavailable``, ``plan-target`` for another kind of GPU, ``plan-version`` for another
            release of TensorRT, ``plan-not-loaded`` or ``engine-mismatch``.
        ManifestError: the manifest is missing, or not one of this plan.
        MissingPackageError: TensorRT or cuda-core is not installed.
    """
    manifest = manifest_of(path)
    kind, index = parse_device(device)
    if kind == "cpu":
        raise EngineError("device-unavailable", f"{path}: a plan runs on an NVIDIA GPU, not on {device}; {INSTEAD}")
    if kind != "cuda":
        said = f"{path}: device {device} is for ONNX engines, and this is a plan already; run it with --device cuda:{index}"
        raise EngineError("device-unavailable", said)
    backend = manifest.backend
    assert backend.name != "onnx"  # `manifest_of` has made sure
    assert backend.name != "null"
    purpose = f"{path}: a {backend.name} plan"
    gpu = require_gpu(index, purpose=purpose, instead=INSTEAD, named=":" in device)
    require_target(path, backend, gpu, index)
    require_driver((PIP_NAMES[backend.name], "cuda-bindings"), purpose=purpose, instead=INSTEAD)
    trt = import_backend(backend.name, f"running {path.name}")
    require_version(path, backend, str(trt.__version__))
    try:
        on: Device = CudaDevice(index, extra=backend.name)
        kernels = (
            Kernels(beside(path, gpu), Origin.of(backend, str(trt.__version__), gpu)) if backend.name == "tensorrt-rtx" else None
        )
        compiled = None if kernels is None else kernels.take()
        plan = Plan(trt, backend.name, path.read_bytes(), compiled)
    except DeviceError as error:
        raise EngineError(
            "plan-not-loaded", f"{path}: does not load on cuda:{index}, {gpu.name} ({error}); {rebuild(path, backend.name)}"
        ) from error
    if kernels is not None and compiled is not None and not plan.took_compiled:
        kernels.refuse()
    return PlanSession(path, manifest, plan, on, name=f"cuda:{index}", kernels=kernels)


def require_target(path: Path, backend: Backend, gpu: Gpu, index: int) -> None:
    """Refuse a GPU that a plan was not built for.

    Raises:
        EngineError: ``plan-target``.
    """
    if backend.targets and gpu.target not in backend.targets:
        raise EngineError(
            "plan-target",
            f"{path}: was built for {', '.join(backend.targets)}, and cuda:{index} is {gpu.name}, {gpu.target};"
            f" {rebuild_for(path, gpu.target)}",
        )


def require_version(path: Path, backend: Backend, installed: str) -> None:
    """Refuse another release of TensorRT than a plan was built with; a build number more or less is the same release.

    Raises:
        EngineError: ``plan-version``.
    """
    if _release(installed) != _release(backend.version):
        raise EngineError(
            "plan-version",
            f"{path}: was built with {backend.name} {backend.version}, {installed} is installed, and plans do not carry over;"
            f" pip install '{PIP_NAMES[backend.name]}=={backend.version}', or {rebuild(path, backend.name)}",
        )


def _release(version: Any) -> list[str]:
    return str(version).split(".")[:3]
