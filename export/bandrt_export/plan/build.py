"""ONNX engine to TensorRT plan.

A plan is written beside its manifest, ``model.plan.json``, and stays a plain plan. What TensorRT measured to choose its kernels is
kept in ``model.plan.timings``, and used when the plan is built again; TensorRT-RTX measures nothing. Networks are strongly typed:
every precision is the one that stands in the ONNX graph, and it is counted again in the network that the builder was given.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandrt.arguments import check_choice
from bandrt.engine.cuda_driver import Driver, NoDriver, find_driver
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.plan.file import manifest_text, sidecar, timings
from bandrt.engine.plan.tensorrt import PlanBackend
from bandrt.files import check_file, replaced
from bandrt.manifest import Backend, Manifest, Precision
from bandrt_export.errors import ExportError
from bandrt_export.output import heartbeat
from bandrt_export.plan.builder import PlanBuilder
from bandrt_export.plan.profiles import (
    ATOMS_AT_ONCE,
    ATOMS_AT_ONCE_OF_HAMILTONIANS,
    CRYSTALS_OF_HAMILTONIANS,
    DEFAULT_MAX_ATOMS,
    DEFAULT_MAX_BATCH,
    profile_of,
    slots_of,
    with_scratch,
)

if TYPE_CHECKING:
    from onnx import GraphProto


def build_plan(
    model: Path,
    output: Path,
    *,
    backend: PlanBackend,
    targets: Sequence[str] = (),
    max_atoms: int = DEFAULT_MAX_ATOMS,
    max_batch: int = DEFAULT_MAX_BATCH,
    refittable: bool = False,
) -> Manifest:
    """Build a plan from an ONNX engine, and write its manifest beside it.

    Args:
        model: what `bandrt_export.onnx.export_onnx` wrote.
        output: the ``.plan`` file to write; replaced if there is one.
        backend: which package builds and will run it.
        targets: for TensorRT-RTX, which needs no GPU: compute capabilities such as ``sm89``; empty: all that it knows.
        max_atoms: of the largest crystal.
        max_batch: crystals in a batch of small ones.
        refittable: whether its weights may be changed later, for which a GPU must be there, and which costs speed.

    Returns:
        The manifest.

    Raises:
        MissingPackageError: the backend is not installed.
        UsageError: ``target-unusable``.
        OutputError: ``output-not-a-file`` or ``output-unwritable``, before the work.
        ExportError: ``plan-solver``, ``plan-not-parsed``, ``plan-precision``, ``plan-not-built``, or ``device-unavailable`` where
            the backend needs a GPU to build.
    """
    check_choice("backend", backend, PlanBackend)
    check_file(output, overwrite=True)
    log = logging.getLogger(__name__)
    manifest = manifest_of(model)
    if manifest.solver == "lapack":
        raise ExportError(
            "plan-solver",
            f"{model}: ends at a Hamiltonian, which LAPACK solves in the runtime; a plan holds its solver itself: export the"
            " checkpoint with --solver graph",
        )
    driver = find_driver()
    require_refit(driver, refittable=refittable)
    builder = PlanBuilder(backend, driver)
    compute_capabilities = builder.targets(targets)
    network = builder.parse(model)
    check_precision(builder.products(network), model, manifest.precision)
    is_hamiltonian = manifest.variant == "hamiltonian"
    at_once = ATOMS_AT_ONCE_OF_HAMILTONIANS if is_hamiltonian else ATOMS_AT_ONCE
    max_batch = min(max_batch, CRYSTALS_OF_HAMILTONIANS) if is_hamiltonian else max_batch
    profile = profile_of(max_atoms, max_batch, alone=not is_hamiltonian, atoms_at_once=at_once)
    graph, mesh = manifest.recipe.graph, manifest.recipe.mesh
    n_slots, most_slots = slots_of(graph)
    if builder.takes_any_slots(network):
        profile = dataclasses.replace(profile, max_slots=most_slots)
    n_mesh = 1 if mesh is None else mesh.most_points
    with heartbeat(f"building {output.name} with {backend} {builder.version}"):
        content, cache = builder.build(
            network,
            profile,
            compute_capabilities,
            n_slots,
            n_mesh=n_mesh,
            timings=_bytes_of(timings(output)),
            refittable=refittable,
        )
    manifest = dataclasses.replace(
        manifest,
        profile=dataclasses.replace(profile, buckets=with_scratch(profile.buckets, builder.scratch_bytes)),
        backend=Backend(
            name=backend,
            version=builder.version,
            opset=manifest.backend.opset,
            targets=tuple(compute_capabilities),
            cuda=driver.cuda if backend == "tensorrt" and isinstance(driver, Driver) else None,
            file_sha256=hashlib.sha256(content).hexdigest(),
            timing_cache_sha256=hashlib.sha256(cache).hexdigest() if cache is not None else None,
        ),
    )
    write_plan(output, content, manifest, cache)
    for bucket in manifest.profile.buckets:
        if bucket.scratch_bytes is not None:
            atoms, crystals = f"{bucket.min_atoms} to {bucket.max_atoms}", f"{bucket.min_batch} to {bucket.max_batch}"
            log.info("scratch for %s crystals of %s atoms: up to %.0f MB", crystals, atoms, bucket.scratch_bytes / 1e6)
    log.info("wrote %s, %.1f MB, and %s", output, output.stat().st_size / 1e6, sidecar(output).name)
    return manifest


def require_refit(driver: Driver | NoDriver, *, refittable: bool) -> None:
    """Refuse to build a plan to be refitted without a GPU, which TensorRT-RTX 1.7 tries, and fails.

    Raises:
        ExportError: ``device-unavailable``.
    """
    if refittable and isinstance(driver, NoDriver):
        raise ExportError(
            "device-unavailable",
            f"a plan to be refitted is built on a GPU, and {driver.reason}; build it there, or without --refittable",
        )


def write_plan(output: Path, content: bytes, manifest: Manifest, cache: bytes | None) -> None:
    """Write a plan, its manifest beside it, and what its build measured, if anything was kept."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced(output, "wb") as plan, replaced(sidecar(output)) as beside:
        plan.write(content)
        beside.write(manifest_text(manifest))
    if cache is not None:
        with replaced(timings(output), "wb") as file:
            file.write(cache)


def prepare(output: Path, *, backend: PlanBackend, targets: Sequence[str] = (), refittable: bool = False) -> None:
    """Find out before a long export, not after it, that no plan can be built or written.

    Raises:
        MissingPackageError, OutputError, UsageError, ExportError: as `build_plan`.
    """
    check_file(output, overwrite=True)
    driver = find_driver()
    require_refit(driver, refittable=refittable)
    PlanBuilder(backend, driver).targets(targets)


def check_precision(found: tuple[int, int], model: Path, precision: Precision) -> None:
    """Compare the network that will be built with the graph that was verified.

    Args:
        found: matrix products in the network, and how many of them take fp16.
        model: the ONNX engine.
        precision: what its manifest says.

    Raises:
        ExportError: ``plan-precision``.
    """
    import onnx

    from bandrt_export.half import half_products

    proto = onnx.load(model)
    expected = (_n_products(proto.graph), half_products(proto))
    if found != expected or (precision == "fp16") != (expected[1] > 0):
        raise ExportError(
            "plan-precision",
            f"{model.name}: {found[1]} of {found[0]} matrix products of the network are fp16, {expected[1]} of {expected[0]} in the"
            f" graph, whose manifest says {precision}; nothing was written",
        )
    logging.getLogger(__name__).info("%s, strongly typed: %d of %d matrix products in fp16", precision, found[1], found[0])


def _n_products(graph: GraphProto) -> int:
    """How many matrix products a graph has, with those in the bodies of its Loops and Scans."""
    from bandrt_export.half import PRODUCTS

    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return sum(node.op_type in PRODUCTS for node in graph.node) + sum(map(_n_products, bodies))


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
