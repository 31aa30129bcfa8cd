"""A plan with the weights of another checkpoint of the same shape, without building it again.

TensorRT changes weights on a GPU that the plan is for, and only in a plan that was built for it (`build_plan` with `refittable`).
Neither can be done without a GPU: TensorRT-RTX 1.7 then fails to build such a plan, and loads none. What it has changed is compared
with the ONNX engine on the CPU, and kept only if it agrees.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandrt.engine import open_session
from bandrt.engine.cuda_driver import Gpu, NoDriver, find_driver
from bandrt.engine.onnx.file import manifest_of as onnx_manifest_of
from bandrt.engine.plan.file import manifest_of, sidecar
from bandrt.engine.plan.open import require_target, require_version
from bandrt.engine.plan.tensorrt import PlanBackend, import_backend, made, make_logger, reason_of
from bandrt.engine.shapes import most_crystals
from bandrt.features import Features
from bandrt.files import check_file, scratch_folder
from bandrt.manifest import Manifest
from bandrt.nested import differences
from bandrt_export.dense.ensemble import parity_limit_ev
from bandrt_export.errors import ExportError
from bandrt_export.output import heartbeat, summary
from bandrt_export.parity import BATCH_SIZES, EXTRA_ATOMS, compare, featurize_all, limits_of, open_exact, packaged_crystals, require
from bandrt_export.plan.build import write_plan

ALIKE = ("variant", "model", "recipe", "bands", "inputs", "outputs", "precision", "solver")
"""What two manifests have in common whose graphs have weights of the same shapes."""


def prepare(plan: Path, output: Path) -> Manifest:
    """Find out before a long export that nothing can be refitted here, and what the plan is.

    Raises:
        EngineError: ``plan-changed``, ``plan-target`` or ``plan-version``.
        ExportError: ``device-unavailable``.
        ManifestError, MissingPackageError, OutputError: as `refit`.
    """
    check_file(output, overwrite=True)
    manifest = manifest_of(plan)
    backend, gpu = manifest.backend, _gpu(plan)
    require_target(plan, backend, gpu, 0)
    require_version(plan, backend, str(import_backend(_name(manifest), f"refitting {plan.name}").__version__))
    return manifest


def refit(plan: Path, model: Path, output: Path) -> Manifest:
    """Write a plan again with the weights of an ONNX engine.

    Args:
        plan: with its manifest beside it; it stays as it is.
        model: what `bandrt_export.onnx.export_onnx` wrote of another checkpoint.
        output: the ``.plan`` file to write; replaced if there is one.

    Returns:
        The manifest of the new plan: of the new checkpoint, with the profiles and targets of the old one.

    Raises:
        ExportError: ``device-unavailable`` without a GPU; ``refit-differs`` for an engine of another shape; ``plan-not-refittable``
            for a plan that was not built for it; ``plan-not-refitted`` where TensorRT refuses; ``parity-failed``.
        EngineError: ``plan-changed``, ``plan-target`` or ``plan-version`` of the old plan.
        ManifestError: the manifest of either is missing, or cannot be read.
        MissingPackageError: the backend is not installed.
        OutputError: ``output-not-a-file`` or ``output-unwritable``, before the work.
    """
    before = prepare(plan, output)
    after = onnx_manifest_of(model)
    require_alike(plan, before, model, after)
    with heartbeat(f"refitting {plan.name}"):
        content = _refitted(_name(before), plan, model)
    backend = dataclasses.replace(
        before.backend,
        opset=after.backend.opset,
        file_sha256=hashlib.sha256(content).hexdigest(),
        timing_cache_sha256=None,
    )
    manifest = dataclasses.replace(after, profile=before.profile, backend=backend)
    with scratch_folder() as folder:
        trial = folder / output.name
        write_plan(trial, content, manifest, None)
        _require_parity(trial, model, manifest, name=output.name)
    write_plan(output, content, manifest, None)
    logging.getLogger(__name__).info("wrote %s, %.1f MB, and %s", output, len(content) / 1e6, sidecar(output).name)
    return manifest


def require_alike(plan: Path, before: Manifest, model: Path, after: Manifest) -> None:
    """Refuse an engine whose weights have no place in a plan.

    Raises:
        ExportError: ``refit-differs``.
    """
    one, other = ({name: values[name] for name in ALIKE} for values in map(dataclasses.asdict, (before, after)))
    members = [0 if manifest.ensemble is None else len(manifest.ensemble.members) for manifest in (before, after)]
    found = differences(one | {"members": members[0]}, other | {"members": members[1]})
    if found:
        name, was, now = found[0]
        raise ExportError(
            "refit-differs", f"{plan.name} and {model.name} are of other shapes: {name} is {was} and {now}; build a new plan"
        )


def _gpu(plan: Path) -> Gpu:
    driver = find_driver()
    if isinstance(driver, NoDriver):
        raise ExportError(
            "device-unavailable",
            f"{plan}: TensorRT changes the weights of a plan on a GPU that it is for, and {driver.reason}; refit it there, or build"
            " a new plan here with --backend tensorrt-rtx",
        )
    return driver.gpus[0]


def _name(manifest: Manifest) -> PlanBackend:
    name = manifest.backend.name
    assert name == "tensorrt" or name == "tensorrt-rtx"  # `manifest_of` has made sure
    return name


def _refitted(backend: PlanBackend, plan: Path, model: Path) -> bytes:
    """A plan with other weights; a driver must be there, or TensorRT ends Python."""
    trt: Any = import_backend(backend, f"refitting {plan.name}")
    problems: list[str] = []
    logger = make_logger(trt, problems)
    runtime = made(lambda: trt.Runtime(logger), "Runtime", problems)
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise ExportError("plan-not-refitted", f"{plan}: {backend} {trt.__version__} does not load it: {reason_of(problems)}")
    if not engine.refittable:
        raise ExportError("plan-not-refittable", f"{plan}: was not built to be refitted; build it again with --refittable")
    refitter = made(lambda: trt.Refitter(engine, logger), "Refitter", problems)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_bytes(model.read_bytes()):
        said = [parser.get_error(index).desc() for index in range(parser.num_errors)] or [reason_of(problems)]
        raise ExportError("plan-not-refitted", f"{plan}: {backend} {trt.__version__} does not take {model.name}: {'; '.join(said)}")
    if missing := refitter.get_missing_weights():
        some = ", ".join(missing[:3])
        raise ExportError("plan-not-refitted", f"{plan}: {model.name} has no weights for {len(missing)} of its tensors: {some}")
    if not refitter.refit_cuda_engine():
        raise ExportError("plan-not-refitted", f"{plan}: {backend} {trt.__version__} cannot refit it: {reason_of(problems)}")
    serialized = engine.serialize()
    if serialized is None:
        raise ExportError("plan-not-refitted", f"{plan}: cannot be written again: {reason_of(problems)}")
    return bytes(serialized)


def fitting(features: Sequence[Features], manifest: Manifest) -> Sequence[Features]:
    """Crystals, smallest first, as many as a plan takes in every batch of a comparison."""
    for end in range(len(features), 0, -1):
        largest = len(features[end - 1].atomic_numbers) + max(EXTRA_ATOMS)
        if (most_crystals(manifest, largest) or 0) >= max(size for size in BATCH_SIZES if size <= end):
            return features[:end]
    return ()


def _require_parity(plan: Path, model: Path, manifest: Manifest, *, name: str) -> None:
    """Compare a plan on the GPU with its ONNX engine on the CPU.

    Raises:
        ExportError: ``parity-failed``.
    """
    features = fitting(featurize_all(packaged_crystals(), manifest.recipe), manifest)
    if not features:
        raise ExportError("parity-failed", f"{name}: holds none of the crystals to compare with; nothing was written")
    limits = limits_of(manifest.precision, rounding_ev=parity_limit_ev(manifest.variant), limit_ev=None)
    with open_session(plan, device="cuda:0") as session, open_exact(model) as standard:
        report = compare(
            standard, session, features, rule=manifest.bands, limits=limits, reference=f"{model.name}, ONNX Runtime, CPU"
        )
    require(report, name=name)
    logging.getLogger(__name__).info(summary(report))
