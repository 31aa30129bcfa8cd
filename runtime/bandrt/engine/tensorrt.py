"""TensorRT plans: this version builds and inspects them, and says why it does not run one."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from bandrt.engine.cuda_driver import NoDriver, find_driver
from bandrt.engine.plan_file import manifest_of
from bandrt.errors import EngineError


def refuse(path: Path) -> NoReturn:
    """Say what keeps a plan from running here, the plan itself first.

    Raises:
        EngineError: ``plan-changed``, ``device-unavailable`` without a driver or GPU, else ``backend-unavailable``.
        ManifestError: the manifest is missing, or not one of this plan.
    """
    backend = manifest_of(path).backend
    instead = "run the ONNX engine instead: bandrt infer --engine model.onnx"
    found = find_driver()
    if isinstance(found, NoDriver):
        raise EngineError("device-unavailable", f"{path}: a {backend.name} plan needs an NVIDIA GPU, and {found.reason}; {instead}")
    raise EngineError(
        "backend-unavailable", f"{path}: this version of bandrt builds {backend.name} plans but does not run them; {instead}"
    )
