"""A plan gets other weights on a GPU, here a simulated one, and is kept only if it then agrees with their ONNX engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import bandrt_export.onnx
import bandrt_export.plan.build
import bandrt_export.plan.refit
from bandrt.engine import open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu, NoDriver
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.errors import EngineError
from bandrt.files import file_sha256
from bandrt.manifest import METADATA_KEY, Manifest
from bandrt_export.cli.export import command
from bandrt_export.error_codes import CODES
from bandrt_export.errors import ExportError
from bandrt_export.plan.build import build_plan
from bandrt_export.plan.builder import PlanBuilder
from bandrt_export.plan.profiles import profile_of
from bandrt_export.plan.refit import refit
from tests.runtime.conftest import machine, make_engine, tiny_engine  # noqa: F401  # fixtures
from tests.support.random_batches import random_batch
from tests.support.simulated_tensorrt import SimulatedEngine

NO_DRIVER = NoDriver("this machine has no NVIDIA driver (libcuda.so.1 is not there)")
DRIVER = Driver("13.0", (Gpu("NVIDIA GeForce RTX 4090", "sm89", 24.0),))


def weights_of(content: bytes) -> dict[str, np.ndarray]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(content).graph.initializer}


class Refitter:
    """What has `Refitter` of TensorRT: here a plan is an ONNX file, and its weights are initializers."""

    missing: tuple[str, ...] = ()
    works = True

    def __init__(self, engine: Any, logger: Any) -> None:
        self.engine = engine
        self.given: bytes = b""

    def get_missing_weights(self) -> list[str]:
        return list(self.missing)

    def refit_cuda_engine(self) -> bool:
        if self.works:
            self.engine.content = self.given
        return self.works


class OnnxParserRefitter:
    """What takes weights of the same names and shapes."""

    def __init__(self, refitter: Refitter, logger: Any) -> None:
        self._refitter = refitter
        self.num_errors = 0

    def refit_from_bytes(self, model: bytes) -> bool:
        old, new = weights_of(self._refitter.engine.content), weights_of(model)
        self.num_errors = sum(old[name].shape != new[name].shape for name in old)
        self._refitter.given = model
        return not self.num_errors

    def get_error(self, index: int) -> Any:
        return type("Error", (), {"desc": lambda self: "the shape of a weight differs"})()


@pytest.fixture
def gpu(machine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """The simulated machine, whose TensorRT changes weights, and whose plan was built for it."""
    monkeypatch.setattr(bandrt_export.plan.refit, "find_driver", lambda: DRIVER)
    machine.trt.Refitter = type("OwnRefitter", (Refitter,), {})
    machine.trt.OnnxParserRefitter = OnnxParserRefitter
    monkeypatch.setattr(SimulatedEngine, "refittable", True, raising=False)
    monkeypatch.setattr(SimulatedEngine, "serialize", lambda self: self.content, raising=False)
    made = SimulatedEngine.__init__

    def keep(self: Any, trt: Any, content: bytes, complain: Any) -> None:
        made(self, trt, content, complain)
        self.content = content

    monkeypatch.setattr(SimulatedEngine, "__init__", keep)
    return machine


def engine_like(engine: Path, target: Path, *, scale: float = 1.5, **changes: Any) -> Path:
    """Another checkpoint's engine of the same shape: other weights, and a manifest that says so."""
    proto = onnx.load(engine)
    for one in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(one)
        if array.dtype == np.float32:
            one.CopyFrom(onnx.numpy_helper.from_array((array * scale).astype(np.float32), one.name))
    manifest = dataclasses.replace(read_manifest(engine), checkpoint_sha256="f" * 64, **changes)
    [entry] = [one for one in proto.metadata_props if one.key == METADATA_KEY]
    entry.value = manifest.to_json()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(with_checksum(proto.SerializeToString()))
    return target


@pytest.fixture
def other(gpu: Any, tmp_path: Path) -> Path:
    return engine_like(gpu.engine, tmp_path / "other" / "other.onnx")


def refused(gpu: Any, model: Path, output: Path) -> ExportError:
    before = {path: path.read_bytes() for path in gpu.plan.parent.iterdir()}
    with pytest.raises(ExportError) as caught:
        refit(gpu.plan, model, output)
    assert caught.value.code in {*CODES, "device-unavailable"}
    assert not output.exists()
    assert not sidecar(output).exists()
    assert {path: path.read_bytes() for path in gpu.plan.parent.iterdir()} == before
    return caught.value


def test_a_refitted_plan_gives_the_bands_of_the_new_checkpoint_and_says_so(gpu: Any, other: Path, tmp_path: Path) -> None:
    output, old = tmp_path / "new" / "new.plan", read_manifest(gpu.plan)
    manifest = refit(gpu.plan, other, output)
    assert read_manifest(output) == manifest
    assert manifest.checkpoint_sha256 == "f" * 64 != old.checkpoint_sha256
    assert manifest.backend.file_sha256 == file_sha256(output) != old.backend.file_sha256
    assert (manifest.profile, manifest.backend.targets, manifest.backend.name) == (old.profile, old.backend.targets, "tensorrt-rtx")
    batch = random_batch(2, 3)
    with open_session(output) as session, open_session(other) as standard, open_session(gpu.engine) as before:
        found, expected, was = (one.run(batch)["band_energies"] for one in (session, standard, before))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - was).max() > 0.01
    assert read_manifest(gpu.plan) == old


def test_what_does_not_agree_afterwards_is_not_kept(gpu: Any, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.trt.Refitter, "refit_cuda_engine", lambda self: True)  # says so, and changes nothing
    error = refused(gpu, other, tmp_path / "new.plan")
    assert error.code == "parity-failed"
    assert "energies differ from the reference" in error.message


def with_width(manifest: Manifest) -> dict[str, Any]:
    return {"model": manifest.model | {"width": 999}}


def test_an_engine_of_another_shape_is_refused_by_its_manifest(gpu: Any, tmp_path: Path) -> None:
    wider = engine_like(gpu.engine, tmp_path / "wide" / "wide.onnx", **with_width(read_manifest(gpu.engine)))
    error = refused(gpu, wider, tmp_path / "new.plan")
    assert error.code == "refit-differs"
    assert "model.width is " in error.message


def test_weights_of_other_shapes_are_refused_by_tensorrt(gpu: Any, tmp_path: Path) -> None:
    model = engine_like(gpu.engine, tmp_path / "other" / "other.onnx")
    proto = onnx.load(model)
    first = proto.graph.initializer[0]
    first.CopyFrom(onnx.numpy_helper.from_array(np.zeros((3, 1, 4), np.float32), first.name))
    model.write_bytes(with_checksum(proto.SerializeToString()))
    error = refused(gpu, model, tmp_path / "new.plan")
    assert error.code == "plan-not-refitted"
    assert "does not take other.onnx: the shape of a weight differs" in error.message


def test_weights_that_are_missing_and_a_refit_that_fails_are_said(gpu: Any, other: Path, tmp_path: Path) -> None:
    gpu.trt.Refitter.missing = ("a", "b", "c", "d")
    error = refused(gpu, other, tmp_path / "new.plan")
    assert (error.code, "no weights for 4 of its tensors: a, b, c" in error.message) == ("plan-not-refitted", True)
    gpu.trt.Refitter.missing, gpu.trt.Refitter.works = (), False
    error = refused(gpu, other, tmp_path / "new.plan")
    assert (error.code, "cannot refit it" in error.message) == ("plan-not-refitted", True)


def test_a_plan_that_was_not_built_for_it_is_refused(
    gpu: Any, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedEngine, "refittable", False, raising=False)
    error = refused(gpu, other, tmp_path / "new.plan")
    assert error.code == "plan-not-refittable"
    assert "build it again with --refittable" in error.message


def test_without_a_gpu_nothing_is_refitted_and_tensorrt_is_not_touched(
    gpu: Any, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandrt_export.plan.refit, "find_driver", lambda: NO_DRIVER)
    monkeypatch.setattr(bandrt_export.plan.refit, "import_backend", None)
    error = refused(gpu, other, tmp_path / "new.plan")
    assert error.code == "device-unavailable"
    assert "no NVIDIA driver" in error.message


def test_a_plan_for_another_gpu_and_one_that_was_changed_are_refused(
    gpu: Any, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandrt_export.plan.refit, "find_driver", lambda: Driver("13.0", (Gpu("NVIDIA H200", "sm90", 141.0),)))
    with pytest.raises(EngineError) as caught:
        refit(gpu.plan, other, tmp_path / "new.plan")
    assert caught.value.code == "plan-target"
    gpu.plan.write_bytes(gpu.plan.read_bytes() + b"\n")
    with pytest.raises(EngineError) as caught:
        refit(gpu.plan, other, tmp_path / "new.plan")
    assert caught.value.code == "plan-changed"


def test_the_command_line_refits(gpu: Any, other: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.plan"
    result = CliRunner().invoke(command, [str(other), "--refit", str(gpu.plan), "-o", str(output)], catch_exceptions=False)
    assert result.exit_code == 0
    assert read_manifest(output).checkpoint_sha256 == "f" * 64
    again = CliRunner().invoke(command, [str(other), "--refit", str(gpu.plan), "-o", str(tmp_path / "m.onnx")])
    assert (again.exit_code, "name it *.plan" in again.stderr) == (2, True)
    more = CliRunner().invoke(command, [str(other), "--refit", str(gpu.plan), "-o", str(tmp_path / "m.plan"), "--max-atoms", "8"])
    assert (more.exit_code, "takes over all that the plan has" in more.stderr) == (2, True)


def test_the_command_line_refits_with_a_checkpoint(
    gpu: Any, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(exported.engine)
    monkeypatch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: proto)
    old = engine_like(exported.engine, tmp_path / "old" / "old.onnx", scale=0.5)
    gpu.plan.write_bytes(old.read_bytes())
    planned = read_manifest_of(gpu)
    manifest = dataclasses.replace(
        read_manifest(old), profile=planned.profile, backend=dataclasses.replace(planned.backend, file_sha256=file_sha256(gpu.plan))
    )
    sidecar(gpu.plan).write_text(manifest_text(manifest), encoding="utf-8")
    output = tmp_path / "new.plan"
    arguments = [str(exported.checkpoint), "--refit", str(gpu.plan), "-o", str(output)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    made = read_manifest(output)
    assert made.checkpoint_sha256 == file_sha256(exported.checkpoint) != manifest.checkpoint_sha256
    assert (made.precision, made.profile) == (manifest.precision, manifest.profile)


def read_manifest_of(gpu: Any) -> Manifest:
    """That beside the plan, which may be another file by now."""
    return Manifest.from_json(sidecar(gpu.plan).read_text(encoding="utf-8"), name="plan")


def test_a_plan_to_be_refitted_is_not_built_without_a_gpu(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandrt_export.plan.build, "find_driver", lambda: NO_DRIVER)
    with pytest.raises(ExportError, match="without --refittable") as caught:
        build_plan(gpu.engine, tmp_path / "m.plan", backend="tensorrt-rtx", refittable=True)
    assert caught.value.code == "device-unavailable"


def test_the_builder_is_told_to_make_a_plan_that_can_be_refitted(exported: Any) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    builder = PlanBuilder("tensorrt-rtx", NO_DRIVER)
    network = builder.parse(exported.engine)
    flags: list[bool] = []

    class Watched:
        """The builder, which does not build: that takes a GPU."""

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def build_serialized_network(self, network: Any, config: Any) -> bytes:
            flags.append(config.get_flag(rtx.BuilderFlag.REFIT))
            return b"plan"

    inner, builder.builder = builder.builder, Watched()
    for refittable in (True, False):
        builder.build(network, profile_of(4, 1), builder.targets(["sm89"]), 12, refittable=refittable)
    assert flags == [True, False]


def test_the_real_bindings_have_what_a_refit_calls() -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    assert {"refit_cuda_engine", "get_missing_weights"} <= set(dir(rtx.Refitter))
    assert {"refit_from_bytes", "get_error", "num_errors"} <= set(dir(rtx.OnnxParserRefitter))
    assert {"refittable", "serialize"} <= set(dir(rtx.ICudaEngine))
    assert "desc" in dir(rtx.ParserError)
