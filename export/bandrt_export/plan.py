"""ONNX engine to TensorRT plan: one builder for TensorRT and TensorRT-RTX, which share their interface.

A plan is written beside its manifest, ``model.plan.json``, and stays a plain plan. What TensorRT measured to choose its kernels is
kept in ``model.plan.timings``, and used when the plan is built again; TensorRT-RTX measures nothing. Networks are strongly typed:
every precision is the one that stands in the ONNX graph, and it is counted again in the network that the builder was given.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandrt.arguments import check_choice
from bandrt.batch import most_together
from bandrt.contract import TENSORS
from bandrt.engine.cuda_driver import Driver, NoDriver, find_driver
from bandrt.engine.cuda_wheels import cuda_of, too_old
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.plan.device import DeviceError
from bandrt.engine.plan.file import RTX_TARGETS, WITHOUT_RTX, sidecar, timings
from bandrt.engine.plan.tensorrt import PlanBackend, import_backend, made, make_logger
from bandrt.errors import UsageError
from bandrt.files import check_file, replaced
from bandrt.manifest import Backend, Bucket, Manifest, Precision, Profile
from bandrt.recipe import GraphRecipe
from bandrt_export.errors import ExportError
from bandrt_export.output import heartbeat

if TYPE_CHECKING:
    from onnx import GraphProto

DEFAULT_MAX_ATOMS = 128
DEFAULT_MAX_BATCH = 256
ATOM_BUCKETS = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Largest crystals of the optimisation profiles, as far as a plan reaches. TensorRT reserves what the largest batch of the largest
crystals would need, and bounds what depends on both ends of a range by both: with twofold ranges that is near what batches take."""
ALONE_BUCKETS = (16, 64, 256, 1024)
"""The same of crystals alone, which take little memory."""
ATOMS_AT_ONCE = 2432
"""Atoms, padding included, of the largest batch of the largest crystals of a profile, so that it computes in less than 1.5 GB:
`fast` takes 0.6 MB an atom, by TensorRT-RTX 1.7."""
ATOMS_AT_ONCE_OF_HAMILTONIANS = 1024
"""The same of learned Hamiltonians, of which each pair of atoms holds 81 numbers for each member."""
CRYSTALS_OF_HAMILTONIANS = 16
"""In a batch, at most. Their k-points are thousands of matrices, of which some are solved at once; TensorRT-RTX 1.7 asks for memory
of the machine that builds by the square of their number, and reserves more scratch for 64 crystals than for 16."""
Range = tuple[int, int, int]
"""Least, usual and largest size."""
OLDEST_FP32_TARGET = 80
"""TensorRT-RTX 1.7 has no fp32 products for compute capability 7.5, and every model has some."""
SLOTS_FACTOR = 4
"""How many times the recipe's neighbours an atom may have in a plan, where edges run from the centre and their ends pile up."""
SCRATCH = re.compile(r"Total Activation Memory: (\d+) bytes")
"""What the builder says of each optimisation profile; the memory itself could be asked for on a GPU alone."""
USUAL_BONDS, MOST_BONDS = 48, 128
"""Neighbours of an atom where the recipe takes all within reach of a bond: what a plan is fastest at, and what it holds."""


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
        beside.write(manifest.to_json())
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


def profile_of(max_atoms: int, max_batch: int, *, alone: bool = True, atoms_at_once: int = ATOMS_AT_ONCE) -> Profile:
    """Divide all sizes into buckets by atoms. A batch holds no more crystals than the pipeline puts together of such a size.

    Args:
        max_atoms: of the largest crystal.
        max_batch: crystals in a batch.
        alone: whether single crystals have buckets of their own. The k-points of a learned Hamiltonian are a batch already, and
            plans are as large, and take as long to build, as they have buckets.
        atoms_at_once: in a batch of the largest crystals of a bucket, unless that is one.
    """
    buckets: list[Bucket] = []
    if alone:
        buckets += [Bucket(smallest, largest, 1, 1) for smallest, largest in _ranges(ALONE_BUCKETS, max_atoms)]
    for smallest, largest in _ranges(ATOM_BUCKETS, max_atoms):
        most = max(1, min(max_batch, most_together(smallest), atoms_at_once // largest))
        if not alone:
            buckets.append(Bucket(smallest, largest, 1, most))
        elif most > 1:
            buckets.append(Bucket(smallest, largest, 2, most))
    return Profile(max_atoms=max_atoms, max_batch=max_batch, buckets=tuple(sorted(buckets, key=lambda one: one.min_atoms)))


def _ranges(edges: Sequence[int], max_atoms: int) -> list[tuple[int, int]]:
    """Ranges of atoms, ends included, up to the largest crystal."""
    ends = [0, *(edge for edge in edges if edge < max_atoms), max_atoms]
    return [(below + 1, largest) for below, largest in pairwise(ends)]


def slots_of(graph: GraphRecipe) -> tuple[int, int]:
    """How many neighbour slots a plan shall be fastest at, and how many it takes where their number is free."""
    if graph.rule == "nearest":
        return graph.n_neighbors, SLOTS_FACTOR * graph.n_neighbors
    return USUAL_BONDS, MOST_BONDS


def ranges_of(bucket: Bucket, slots: Range, n_mesh: int) -> dict[str, Range]:
    """Least, usual and largest size of each free dimension of the contract, by its symbol, in the profile of a bucket."""
    return {
        "B": (bucket.min_batch, bucket.max_batch, bucket.max_batch),
        "C": (0, bucket.max_batch, bucket.max_batch),
        "N": (bucket.min_atoms, bucket.max_atoms, bucket.max_atoms),
        "D": slots,
        "M": (1, n_mesh, n_mesh),
    }


def with_scratch(buckets: Sequence[Bucket], found: Sequence[int]) -> tuple[Bucket, ...]:
    """Buckets with the bytes that each computes in, where the builder has said it of every one, in their order."""
    if len(found) != len(buckets):
        return tuple(buckets)
    return tuple(dataclasses.replace(bucket, scratch_bytes=n) for bucket, n in zip(buckets, found, strict=True))


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


class PlanBuilder:
    """The part of TensorRT's interface that building takes."""

    def __init__(self, backend: PlanBackend, driver: Driver | NoDriver) -> None:
        self.backend = backend
        self.driver = driver
        self.trt: Any = import_backend(backend, f"building a {backend} plan")
        if backend == "tensorrt" and isinstance(driver, NoDriver):  # its builder would end Python
            raise ExportError(
                "device-unavailable",
                f"tensorrt builds a plan on the GPU that will run it, and {driver.reason};"
                " build it there, or here with --backend tensorrt-rtx",
            )
        if backend == "tensorrt" and isinstance(driver, Driver) and (reason := too_old(driver, {backend: cuda_of(backend)})):
            raise ExportError("device-unavailable", f"tensorrt cannot build here: {reason}")
        self.version = str(self.trt.__version__)
        self.problems: list[str] = []
        self.scratch_bytes: list[int] = []
        """Of each optimisation profile that was built, in their order."""
        self.logger = make_logger(self.trt, self.problems, on_message=self._hear)
        try:
            self.builder = made(lambda: self.trt.Builder(self.logger), "Builder", self.problems)
        except DeviceError as error:
            raise ExportError("plan-not-built", f"{backend} {self.version} does not start: {error}") from error

    def _hear(self, message: str) -> None:
        if said := SCRATCH.match(message):
            self.scratch_bytes.append(int(said[1]))

    def targets(self, wanted: Sequence[str]) -> dict[str, Any]:
        """The GPUs that a plan is for: names as in the manifest, with TensorRT-RTX's values for them."""
        if self.backend == "tensorrt":
            assert isinstance(self.driver, Driver)
            if wanted:
                raise UsageError("target-unusable", "tensorrt builds for the GPU of this machine; --target is for tensorrt-rtx")
            first, *others = self.driver.gpus
            if others:
                logging.getLogger(__name__).warning(
                    "building for cuda:0, %s (%s), one of %d GPUs; choose another with CUDA_VISIBLE_DEVICES=N",
                    first.name, first.target, len(self.driver.gpus),
                )  # fmt: skip
            return {first.target: None}
        known = {name.lower(): value for name, value in self.trt.ComputeCapability.__members__.items() if name.startswith("SM")}
        if isinstance(self.driver, Driver) and not any(gpu.target in RTX_TARGETS for gpu in self.driver.gpus):
            gpu = self.driver.gpus[0]
            logging.getLogger(__name__).warning(
                "the plan will not run on %s: %s is no target of tensorrt-rtx; %s", gpu.name, gpu.target, WITHOUT_RTX
            )
        usable = {name: value for name, value in known.items() if int(name.removeprefix("sm")) >= OLDEST_FP32_TARGET}
        if unusable := [name for name in wanted if name not in usable]:
            why = "has no fp32 products in" if unusable[0] in known else "is not a target of"
            raise UsageError(
                "target-unusable",
                f"target {unusable[0]} {why} tensorrt-rtx {self.version}; choose among {', '.join(usable)}, or {WITHOUT_RTX}",
            )
        return {name: usable[name] for name in wanted or usable}

    def parse(self, model: Path) -> Any:
        """Read an ONNX file as a strongly typed network."""
        kinds = self.trt.NetworkDefinitionCreationFlag.__members__  # not in releases that know nothing but strong types
        strong = kinds.get("STRONGLY_TYPED")
        network = self.builder.create_network(0 if strong is None else 1 << int(strong))
        parser = self.trt.OnnxParser(network, self.logger)
        if not parser.parse(model.read_bytes()):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            reasons = "; ".join(f"{error.node_operator()}: {error.desc()}" for error in errors)
            raise ExportError("plan-not-parsed", f"{model.name}: {self.backend} {self.version} cannot read it ({reasons})")
        return network

    def products(self, network: Any) -> tuple[int, int]:
        """How many matrix products a network has, and how many of them take fp16."""
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        products = [layer for layer in layers if layer.type == self.trt.LayerType.MATRIX_MULTIPLY]
        half = [one for one in products if {one.get_input(0).dtype, one.get_input(1).dtype} == {self.trt.DataType.HALF}]
        return len(products), len(half)

    def takes_any_slots(self, network: Any) -> bool:
        """Whether the number of neighbour slots is free."""
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        return any("D" in _free(tensor) for tensor in inputs)

    def build(
        self,
        network: Any,
        profile: Profile,
        targets: dict[str, Any],
        n_slots: int,
        *,
        n_mesh: int = 1,
        timings: bytes = b"",
        refittable: bool = False,
    ) -> tuple[bytes, bytes | None]:
        """Build a serialised engine with one optimisation profile per bucket.

        Args:
            network: what `parse` gave.
            profile: the sizes to build for.
            targets: what `targets` gave.
            n_slots: the number of neighbours it shall be fastest at.
            n_mesh: points of the largest mesh.
            timings: the timing cache of an earlier build, for TensorRT.
            refittable: whether its weights may be changed later.

        Returns:
            The plan, and the timing cache, which TensorRT-RTX has none of.
        """
        config = self.builder.create_builder_config()
        config.clear_flag(self.trt.BuilderFlag.TF32)
        config.max_aux_streams = 0  # what runs side by side holds memory side by side, more than twice of it
        for bucket in profile.buckets:
            slots = (1, n_slots, profile.max_slots or n_slots)
            config.add_optimization_profile(self._profile(network, bucket, slots, n_mesh))
        if self.backend == "tensorrt-rtx":
            config.num_compute_capabilities = len(targets)
            for index, value in enumerate(targets.values()):
                config.set_compute_capability(value, index)
            config.set_flag(self.trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # else no run can become a CUDA graph
        if refittable:
            config.set_flag(self.trt.BuilderFlag.REFIT)
        cache = self._timing_cache(config, timings) if self.backend == "tensorrt" else None
        serialized = self.builder.build_serialized_network(network, config)
        if serialized is None:
            reason = self.problems[-1] if self.problems else "it does not say why"
            raise ExportError("plan-not-built", f"{self.backend} {self.version} cannot build this plan: {reason}")
        return bytes(serialized), None if cache is None else bytes(cache.serialize())

    def _timing_cache(self, config: Any, timings: bytes) -> Any:
        """The timing cache of a build: an earlier one if it is of this GPU and release, else a new one."""
        cache = config.create_timing_cache(timings)
        if cache is None or not config.set_timing_cache(cache, False):
            logging.getLogger(__name__).info("the timing cache is of another GPU or release, and is made again")
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        return cache

    def _profile(self, network: Any, bucket: Bucket, slots: Range, n_mesh: int) -> Any:
        ranges = ranges_of(bucket, slots, n_mesh)
        profile = self.builder.create_optimization_profile()
        for tensor in (network.get_input(index) for index in range(network.num_inputs)):
            axes = [(size,) * 3 if dim is None else ranges[dim] for size, dim in zip(tensor.shape, _free(tensor), strict=True)]
            profile.set_shape(tensor.name, *zip(*axes, strict=True))
        return profile


def _free(tensor: Any) -> list[str | None]:
    """What each axis of an input counts whose size is free; None for the others."""
    return [str(dim) if size == -1 else None for size, dim in zip(tensor.shape, TENSORS[tensor.name].dims, strict=True)]


def _n_products(graph: GraphProto) -> int:
    """How many matrix products a graph has, with those in the bodies of its Loops and Scans."""
    from bandrt_export.half import PRODUCTS

    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return sum(node.op_type in PRODUCTS for node in graph.node) + sum(map(_n_products, bodies))


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
