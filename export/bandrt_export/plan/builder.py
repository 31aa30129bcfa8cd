"""The builder of TensorRT and TensorRT-RTX, which share their interface."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandrt.contract import TENSORS
from bandrt.engine.cuda_driver import Driver, NoDriver
from bandrt.engine.cuda_wheels import cuda_of, too_old
from bandrt.engine.plan.device import DeviceError
from bandrt.engine.plan.file import RTX_TARGETS, WITHOUT_RTX
from bandrt.engine.plan.tensorrt import PlanBackend, import_backend, made, make_logger
from bandrt.errors import UsageError
from bandrt.manifest import Bucket, Profile
from bandrt_export.errors import ExportError
from bandrt_export.plan.profiles import Range, ranges_of

OLDEST_FP32_TARGET = 80
"""TensorRT-RTX 1.7 has no fp32 products for compute capability 7.5, and every model has some."""
SCRATCH = re.compile(r"Total Activation Memory: (\d+) bytes")
"""What the builder says of each optimisation profile; the memory itself could be asked for on a GPU alone."""


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
