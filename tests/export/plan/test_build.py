"""Plans are really built, ahead of time and without a GPU, and say what they are."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import bandrt_export.onnx
import bandrt_export.output
import bandrt_export.plan.build
import bandrt_export.plan.builder
from bandrt.batch import MAX_PADDED_ATOMS, Batcher, bucket_size
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu, NoDriver
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.plan.file import sidecar
from bandrt.engine.plan.tensorrt import PlanBackend
from bandrt.engine.shapes import holds
from bandrt.errors import MissingPackageError, UsageError
from bandrt.files import file_sha256
from bandrt.manifest import METADATA_KEY, Backend, Bucket, Profile
from bandrt_export.cli.export import command
from bandrt_export.errors import ExportError
from bandrt_export.output import heartbeat
from bandrt_export.plan.build import build_plan
from bandrt_export.plan.builder import PlanBuilder
from bandrt_export.plan.profiles import ATOMS_AT_ONCE, ATOMS_AT_ONCE_OF_HAMILTONIANS, profile_of, with_scratch
from bandrt_train.weights import SHIPPED_CHECKPOINTS

NO_DRIVER = NoDriver("this machine has no NVIDIA driver (libcuda.so.1 is not there)")
MOST_SCRATCH_BYTES = 1.5e9
"""Of the GPU, in any profile of a plan of default sizes."""
H200 = Driver(cuda="13.0", gpus=(Gpu("NVIDIA H200", "sm90", 141.0),))


class WithAtoms(NamedTuple):
    """Something of so many atoms."""

    atomic_numbers: range


@pytest.fixture(scope="module")
def rtx() -> Any:
    """TensorRT-RTX, which builds without a GPU."""
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")


def refused(code: str, model: Path, output: Path, backend: PlanBackend = "tensorrt-rtx", **options: Any) -> str:
    with pytest.raises((ExportError, UsageError)) as caught:
        build_plan(model, output, backend=backend, **options)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    assert not list(output.parent.glob("*"))
    return caught.value.message


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_plan_is_built_in_both_precisions_and_its_manifest_reads_back(
    rtx: Any, exported: Any, half_engine: Path, precision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, output = {"fp32": exported.engine, "fp16": half_engine}[precision], tmp_path / "new" / "model.plan"
    with caplog.at_level(logging.INFO, logger="bandrt_export"):
        manifest = build_plan(model, output, backend="tensorrt-rtx", targets=["sm89", "sm120"], max_atoms=24, max_batch=4)
    assert sorted(os.listdir(output.parent)) == ["model.plan", "model.plan.json"]
    assert read_manifest(output) == manifest
    source = read_manifest(model)
    assert manifest.precision == source.precision == precision
    assert manifest.backend == Backend("tensorrt-rtx", rtx.__version__, 20, ("sm89", "sm120"), file_sha256=file_sha256(output))
    buckets = manifest.profile.buckets
    assert all(bucket.scratch_bytes is not None and bucket.scratch_bytes > 1e5 for bucket in buckets)
    assert replace(manifest.profile, buckets=tuple(replace(bucket, scratch_bytes=None) for bucket in buckets)) == Profile(
        24, 4, buckets=(Bucket(1, 16, 1, 1), Bucket(1, 8, 2, 4), Bucket(9, 16, 2, 4), Bucket(17, 24, 1, 1), Bucket(17, 24, 2, 4))
    )
    assert caplog.text.count("scratch for ") == 5
    assert replace(manifest, backend=source.backend, profile=source.profile) == source
    products = {"fp32": "0 of 25 matrix products in fp16", "fp16": "20 of 25 matrix products in fp16"}[precision]
    assert f"{precision}, strongly typed: {products}" in caplog.text
    assert "done in" in caplog.text


def test_the_checkpoint_becomes_a_plan_in_one_command(
    rtx: Any, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(exported.engine)
    monkeypatch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: proto)
    output = tmp_path / "model.plan"
    sizes = ["--max-atoms", "8", "--max-batch", "1", "--target", "sm89"]
    arguments = [str(exported.checkpoint), "-o", str(output), "--backend", "tensorrt-rtx", *sizes]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "plan for sm89: up to 8 atoms and 1 crystals in 1 optimisation profiles" in result.stdout
    assert "its ONNX graph: parity with PyTorch Geometric" in result.stdout
    assert sorted(os.listdir(tmp_path)) == ["model.plan", "model.plan.json"]
    manifest = read_manifest(output)
    assert manifest.checkpoint_sha256 == file_sha256(exported.checkpoint)
    assert manifest.parity is not None


@pytest.mark.slow
def test_the_shipped_engine_becomes_a_plan(rtx: Any, tmp_path: Path) -> None:
    if not SHIPPED_ENGINES["fast"].is_file():
        pytest.skip("no engine ships with this checkout")
    manifest = build_plan(SHIPPED_ENGINES["fast"], tmp_path / "model.plan", backend="tensorrt-rtx", max_atoms=16)
    assert manifest.checkpoint_sha256 == read_manifest(SHIPPED_ENGINES["fast"]).checkpoint_sha256
    assert {"sm89", "sm120"} <= set(manifest.backend.targets)


@pytest.mark.slow
def test_the_shipped_checkpoint_becomes_a_half_precision_plan_in_one_command(rtx: Any, tmp_path: Path) -> None:
    output = tmp_path / "model.plan"
    options = ["--precision", "fp16", "--backend", "tensorrt-rtx", "--target", "sm89", "--max-atoms", "4", "--max-batch", "1"]
    result = CliRunner().invoke(command, ["fast", "-o", str(output), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    manifest, shipped = read_manifest(output), read_manifest(SHIPPED_ENGINES["fast"])
    assert (manifest.precision, shipped.precision) == ("fp16", "fp32")
    assert manifest.checkpoint_sha256 == shipped.checkpoint_sha256 == file_sha256(SHIPPED_CHECKPOINTS["fast"])
    assert manifest.parity is not None
    assert manifest.parity.mean_energy_error_ev < 5e-3
    assert manifest.parity.max_gap_change_ev < 20e-3


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops")
def test_full_tensorrt_goes_the_same_way_on_the_gpu_of_the_machine(
    rtx: Any, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TensorRT has the same interface, and its library cannot be had without a GPU: RTX stands in for it
    monkeypatch.setitem(sys.modules, "tensorrt", rtx)
    monkeypatch.setattr(bandrt_export.plan.build, "find_driver", lambda: H200)
    manifest = build_plan(exported.engine, tmp_path / "model.plan", backend="tensorrt", max_atoms=8, max_batch=1)
    assert (manifest.backend.name, manifest.backend.targets, manifest.backend.cuda) == ("tensorrt", ("sm90",), "13.0")
    kept = tmp_path / "model.plan.timings"
    assert manifest.backend.timing_cache_sha256 == file_sha256(kept)
    assert read_manifest(tmp_path / "model.plan") == manifest
    with pytest.raises(UsageError, match="--target is for tensorrt-rtx"):
        build_plan(exported.engine, tmp_path / "other.plan", backend="tensorrt", targets=["sm89"])


def test_the_timings_of_an_earlier_build_are_used_and_foreign_ones_are_not(
    rtx: Any, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offered: list[bytes] = []

    class Cache:
        def serialize(self) -> bytes:
            return b"timings"

    class Config:
        """A builder configuration that takes timings of its own kind alone."""

        def create_timing_cache(self, content: bytes) -> Cache:
            offered.append(content)
            return Cache()

        def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            return offered[-1] in (b"", b"timings")

    monkeypatch.setitem(sys.modules, "tensorrt", rtx)
    builder = PlanBuilder("tensorrt", H200)
    assert builder._timing_cache(Config(), b"timings").serialize() == b"timings"
    assert offered == [b"timings"]
    with caplog.at_level(logging.INFO, logger="bandrt_export"):
        builder._timing_cache(Config(), b"foreign")
    assert offered == [b"timings", b"foreign", b""]
    assert "of another GPU or release" in caplog.text


def test_full_tensorrt_without_a_driver_is_refused_before_it_is_touched(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", object())  # anything asked of it would fail
    monkeypatch.setattr(bandrt_export.plan.build, "find_driver", lambda: NO_DRIVER)
    message = refused("device-unavailable", exported.engine, tmp_path / "model.plan", "tensorrt")
    assert "no NVIDIA driver" in message
    assert "--backend tensorrt-rtx" in message


@pytest.mark.parametrize(("backend", "module"), [("tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx")])
def test_a_missing_package_is_named_with_its_extra(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: PlanBackend, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"{module}; install it with: pip install 'bandrt\[{backend}\]'"):
        build_plan(exported.engine, tmp_path / "model.plan", backend=backend)


@pytest.mark.parametrize(
    ("target", "why"), [("sm90", "is not a target of"), ("SM89", "is not"), ("sm75", "has no fp32 products in")]
)
def test_a_target_that_can_not_be_built_for_is_refused(rtx: Any, exported: Any, tmp_path: Path, target: str, why: str) -> None:
    message = refused("target-unusable", exported.engine, tmp_path / "model.plan", targets=["sm89", target])
    assert f"target {target} {why}" in message
    assert "choose among sm80, sm86, sm89" in message
    assert "build plans with --backend tensorrt on that GPU, or run ONNX engines with --device cuda:N" in message


def test_the_gpu_of_the_machine_is_named_where_a_plan_is_not_for_it_or_for_one_of_several(
    rtx: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", rtx)
    PlanBuilder("tensorrt-rtx", H200).targets([])
    assert "will not run on NVIDIA H200: sm90 is no target of tensorrt-rtx; build plans with --backend tensorrt" in caplog.text
    caplog.clear()
    assert not caplog.records
    smaller = Gpu("NVIDIA L4", "sm89", 24.0)
    PlanBuilder("tensorrt-rtx", Driver("13.0", (smaller,))).targets([])
    PlanBuilder("tensorrt", H200).targets([])
    assert not caplog.records
    assert list(PlanBuilder("tensorrt", Driver("13.0", (*H200.gpus, smaller))).targets([])) == ["sm90"]
    assert "building for cuda:0, NVIDIA H200 (sm90), one of 2 GPUs; choose another with CUDA_VISIBLE_DEVICES=N" in caplog.text


def test_full_tensorrt_is_not_asked_to_build_by_a_driver_that_is_too_old(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", rtx)
    monkeypatch.setattr(bandrt_export.plan.builder, "cuda_of", lambda package: 13)
    with pytest.raises(ExportError, match=r"CUDA 12\.4 and does not run tensorrt of CUDA 13") as caught:
        PlanBuilder("tensorrt", replace(H200, cuda="12.4"))
    assert caught.value.code == "device-unavailable"


def test_a_precision_that_is_not_in_the_graph_is_never_promised(rtx: Any, exported: Any, tmp_path: Path) -> None:
    model = onnx.load(exported.engine)
    [entry] = [one for one in model.metadata_props if one.key == METADATA_KEY]
    entry.value = replace(exported.manifest, precision="fp16").to_json()
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(with_checksum(model.SerializeToString()))
    message = refused("plan-precision", path, tmp_path / "out" / "model.plan")
    assert "0 of 25 matrix products of the network are fp16" in message


def test_a_graph_that_the_parser_refuses_is_named(rtx: Any, exported: Any, tmp_path: Path) -> None:
    model = onnx.load(exported.engine)
    next(node for node in model.graph.node if node.op_type == "Softmax").op_type = "NoSuchOperation"
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(with_checksum(model.SerializeToString()))
    assert "NoSuchOperation" in refused("plan-not-parsed", path, tmp_path / "out" / "model.plan")


def test_a_build_that_fails_says_why_and_leaves_the_old_plan(
    rtx: Any, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model.plan"
    output.write_bytes(b"the old one")
    monkeypatch.setattr(bandrt_export.plan.build, "profile_of", lambda max_atoms, max_batch, *, alone, atoms_at_once: Profile(8, 1))
    with pytest.raises(ExportError, match="no optimization profile has been defined") as caught:
        build_plan(exported.engine, output, backend="tensorrt-rtx", targets=["sm89"])
    assert caught.value.code == "plan-not-built"
    assert output.read_bytes() == b"the old one"
    assert not sidecar(output).exists()


def test_scratch_is_promised_where_it_was_said_of_every_bucket() -> None:
    buckets = profile_of(16, 2).buckets
    said = list(range(7, 7 + len(buckets)))
    assert [one.scratch_bytes for one in with_scratch(buckets, said)] == said
    assert with_scratch(buckets, said[1:]) == with_scratch(buckets, []) == buckets


def test_a_build_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    twice = threading.Semaphore(0)
    monkeypatch.setattr(bandrt_export.output, "HEARTBEAT_S", 0.001)
    monkeypatch.setattr(bandrt_export.output, "perf_counter", lambda: twice.release() or 3.0)
    with caplog.at_level(logging.INFO, logger="bandrt_export"), heartbeat("building"):
        for _ in range(3):  # once at the start, then with every beat
            assert twice.acquire(timeout=30)
    assert caplog.messages[:3] == ["building", "building, 0 s", "building, 0 s"]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("max_atoms", "max_batch"), [(1, 1), (16, 64), (17, 2), (128, 64), (512, 256), (5000, 8)])
def test_the_buckets_hold_every_batch_that_the_pipeline_makes(max_atoms: int, max_batch: int, alone: bool) -> None:
    profile = profile_of(max_atoms, max_batch, alone=alone)
    manifest = replace(read_manifest(SHIPPED_ENGINES["fast"]), profile=profile)
    rng = np.random.default_rng(0)
    for n_atoms in {1, max_atoms, *map(int, rng.integers(1, max_atoms + 1, 50))}:
        size = bucket_size(n_atoms)
        made = Batcher[int, WithAtoms](max_batch, holds=lambda size, lane: holds(manifest, size))
        full = next(len(batch) for place in range(2 * max_batch) for batch in made.add(place, WithAtoms(range(n_atoms))))
        assert full <= max(1, MAX_PADDED_ATOMS // size)
        for batch in {1, full}:
            fitting = [b for b in profile.buckets if b.min_atoms <= n_atoms <= b.max_atoms and b.min_batch <= batch <= b.max_batch]
            assert len(fitting) == 1
    assert max(bucket.max_atoms for bucket in profile.buckets) == max_atoms


@pytest.mark.parametrize(("alone", "at_once"), [(True, ATOMS_AT_ONCE), (False, ATOMS_AT_ONCE_OF_HAMILTONIANS)])
def test_no_profile_reserves_memory_for_more_atoms_than_fit(alone: bool, at_once: int) -> None:
    buckets = profile_of(512, 256, alone=alone, atoms_at_once=at_once).buckets
    assert all(bucket.max_atoms * bucket.max_batch <= at_once for bucket in buckets)
    assert max(bucket.max_batch for bucket in buckets if bucket.max_atoms <= 8) == min(256, at_once // 8)
    for n_atoms in (9, 17, 33, 65):  # a full batch of the smallest of a range has half as many atoms at least
        most = max(bucket.max_batch for bucket in buckets if bucket.min_atoms <= n_atoms <= bucket.max_atoms)
        assert n_atoms * most > at_once / 2


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [16, 128])
def test_the_shipped_engine_computes_in_less_than_a_gigabyte_and_a_half(
    rtx: Any, atoms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = [one for one in profile_of(128, 256).buckets if one.max_atoms == atoms and one.max_batch > 1]
    monkeypatch.setattr(bandrt_export.plan.build, "profile_of", lambda *sizes, **choices: Profile(128, 256, buckets=tuple(largest)))
    build = partial(build_plan, backend="tensorrt-rtx", targets=["sm89"])
    [bucket] = build(SHIPPED_ENGINES["fast"], tmp_path / "model.plan").profile.buckets
    assert bucket.scratch_bytes is not None
    assert 1e8 < bucket.scratch_bytes < MOST_SCRATCH_BYTES


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "m.plan"], "needs --backend: tensorrt-rtx"),
        (["-o", "m.engine"], "*.onnx or *.plan"),
        (["-o", "m.onnx", "--backend", "tensorrt-rtx"], "--backend is for plans"),
        (["-o", "m.onnx", "--target", "sm89"], "--target is for plans"),
        (["-o", "m.onnx", "--max-atoms", "9"], "--max-atoms is for plans"),
        (["-o", "m.onnx"], "is an ONNX engine already"),
        (
            ["-o", "m.plan", "--backend", "tensorrt-rtx", "--precision", "fp16"],
            "export the checkpoint with --precision fp16",
        ),
        (["-o", "m.plan", "--backend", "tensorrt-rtx", "--limit-ev", "1"], "--limit-ev is for checkpoints"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("rtx")
def test_options_that_do_not_go_together_are_wrong_usage(
    exported: Any, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, [str(exported.engine), *arguments])
    assert result.exit_code == 2
    assert says in result.stderr
    assert not list(tmp_path.iterdir())
