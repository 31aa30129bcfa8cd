"""ONNX files on a GPU: ONNX Runtime in the place of a plan, under the session that runs plans.

All that calls the CUDA provider was tried with onnxruntime-gpu over a stub of CUDA that computes nothing, the rest on a simulated
device; nothing has run on a GPU.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from threading import RLock

from bandrt.engine.cuda_driver import Gpu, require_gpu
from bandrt.engine.cuda_wheels import require_driver
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.onnx.library import load_cuda_libraries, load_onnxruntime, plugin_devices
from bandrt.engine.onnx.model import read_model
from bandrt.engine.onnx.opener import Opener
from bandrt.engine.onnx.plan import OnnxPlan
from bandrt.engine.onnx.profile import profile_of
from bandrt.engine.onnx.providers import PROVIDERS, Provider
from bandrt.engine.plan.cuda_device import CudaDevice
from bandrt.engine.plan.device import Device, DeviceError
from bandrt.engine.plan.file import RTX_TARGETS
from bandrt.engine.plan.lane import Streams
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import parse_device
from bandrt.errors import EngineError, MissingPackageError
from bandrt.manifest import Manifest

ON_CPU = "run it on the CPU: --device cpu"
ALONE = RLock()
"""Held by every session of ONNX Runtime on a GPU whenever it asks CUDA for anything, waiting included: where it captures, it does
so in a mode in which no other thread of the process may."""


def open_on_gpu(path: Path, *, device: str) -> PlanSession:
    """Open an ONNX file on a GPU.

    Args:
        path: the ``.onnx`` file.
        device: one of `bandrt.engine.session.DeviceKind` but ``cpu``, with or without a number.

    Raises:
        EngineError: ``engine-unreadable``, ``engine-mismatch`` or ``device-unavailable``.
        UsageError: ``unknown-device``.
        ManifestError: the model carries no manifest, or not one that describes it.
        MissingPackageError: ONNX Runtime or cuda-core is not installed.
    """
    kind, index = parse_device(device)
    provider = PROVIDERS[kind]
    purpose = f"{path}: device {device}"
    gpu = require_gpu(index, purpose=purpose, instead=ON_CPU, named=":" in device)
    require_driver(provider.packages, purpose=purpose, instead=ON_CPU)
    manifest = manifest_of(path)
    if manifest.solver == "lapack":
        raise EngineError(
            "device-unavailable",
            f"{path}: its bands are computed with LAPACK, on the CPU alone; run it with --device cpu, take another engine"
            " (--engine fast), or export it again with --solver graph",
        )
    _require_use(provider, manifest, gpu, f"device {device}")
    try:
        load_onnxruntime()
    except ImportError as error:
        raise MissingPackageError("onnxruntime", provider.extra, f"running {path.name}") from error
    missing = _started(provider, index, f"device {device}")
    dims = read_model(path, manifest)
    manifest = dataclasses.replace(manifest, profile=profile_of(manifest, provider))
    with ALONE:
        try:
            on: Device = CudaDevice(index, extra=provider.extra)
            streams = Streams.of(on)
        except DeviceError as error:
            raise EngineError("device-unavailable", f"device {device}: {gpu.name} does not start ({error})") from error
        opener = Opener(path, manifest, provider, index, gpu, missing, device)
        plan = OnnxPlan(opener, manifest, dims, streams.compute)
        session = PlanSession(path, manifest, plan, on, name=f"{kind}:{index}", streams=streams, shared=ALONE)
        try:
            session.prepare(plan.smallest)  # what is missing, such as cuDNN, may be noticed only by a run
        except EngineError as error:
            session.close()
            raise opener.refusal(error) from error
        return session


def _require_use(provider: Provider, manifest: Manifest, gpu: Gpu, said: str) -> None:
    """Refuse what a provider is not made for.

    Raises:
        EngineError: ``device-unavailable``.
    """
    if provider.plugin and gpu.target not in RTX_TARGETS:
        raise EngineError("device-unavailable", f"{said}: TensorRT-RTX has no target for {gpu.name}, {gpu.target}; use cuda")
    if provider.compiles and manifest.solver == "graph":
        raise EngineError(
            "device-unavailable",
            f"{said}: this engine has its solver in the graph, whose batches differ in meshes, too; use cuda, or build a plan",
        )


def _started(provider: Provider, index: int, said: str) -> str:
    """Let ONNX Runtime know a provider, and give what it says of libraries that it does not find.

    Raises:
        EngineError: ``device-unavailable``.
    """
    if provider.plugin:
        if len(plugin_devices(provider.name)) <= index:
            raise EngineError("device-unavailable", f"{said}: {provider.absent}, or use cpu")
        return ""
    if provider.name not in load_onnxruntime().get_available_providers():
        raise EngineError("device-unavailable", f"{said}: {provider.absent}, or use cpu")
    return load_cuda_libraries(provider.loads)
