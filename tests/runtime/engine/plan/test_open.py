"""What keeps a plan from running is one sentence with the command that mends it, found before TensorRT is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.cli import run
from bandrt.engine import open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu, NoDriver
from bandrt.engine.plan.device import DeviceError
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.errors import BandrtError, EngineError, ManifestError, MissingPackageError
from bandrt.files import file_sha256
from bandrt.loading import EngineWarning
from bandrt.results.store import read
from tests.support.simulated_tensorrt import simulated_tensorrt

NO_DRIVER = NoDriver("this machine has no NVIDIA driver (libcuda.so.1 is not there)")
UNTOUCHABLE = SimpleNamespace()
"""A TensorRT of which anything that is asked fails."""


def rewrite(machine: Any, **changes: Any) -> None:
    """Change the manifest beside the plan; keyword arguments replace fields of its backend, or of the manifest itself."""
    manifest = read_manifest(machine.plan)
    of_backend = {name: value for name, value in changes.items() if hasattr(manifest.backend, name)}
    others = {name: value for name, value in changes.items() if name not in of_backend}
    changed = dataclasses.replace(manifest, backend=dataclasses.replace(manifest.backend, **of_backend), **others)
    sidecar(machine.plan).write_text(manifest_text(changed), encoding="utf-8")


def refused(machine: Any, code: str, kind: type[BandrtError] = EngineError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        open_session(machine.plan, **options)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def without_touching(machine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine whose TensorRT must not be asked for anything."""
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", UNTOUCHABLE)
    return machine


def test_without_a_driver_that_is_what_is_said(without_touching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: NO_DRIVER)
    message = refused(without_touching, "device-unavailable")
    assert "a tensorrt-rtx plan needs an NVIDIA GPU, and this machine has no NVIDIA driver" in message
    assert "bandrt infer --engine model.onnx" in message


def test_a_plan_does_not_run_on_the_cpu(without_touching: Any) -> None:
    assert "a plan runs on an NVIDIA GPU, not on cpu" in refused(without_touching, "device-unavailable", device="cpu")


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("sm86", "--backend tensorrt-rtx --target sm86"),
        ("sm90", "--backend tensorrt"),
        ("sm120", "--backend tensorrt-rtx --target"),
    ],
)
def test_another_kind_of_gpu_is_named_with_the_command_that_builds_for_it(
    without_touching: Any, monkeypatch: pytest.MonkeyPatch, target: str, remedy: str
) -> None:
    driver = Driver("13.0", (Gpu("NVIDIA Something", target, 24.0),))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: driver)
    message = refused(without_touching, "plan-target")
    assert f"was built for sm89, and cuda:0 is NVIDIA Something, {target}" in message
    assert f"bandrt export CKPT -o {without_touching.plan} {remedy}" in message
    if target == "sm90":
        assert message.endswith("--backend tensorrt")


def test_another_release_of_tensorrt_is_named_with_the_one_that_is_needed(machine: Any) -> None:
    machine.trt.__version__ = "1.8.0.3"
    message = refused(machine, "plan-version")
    assert "was built with tensorrt-rtx 1.7.1.116, 1.8.0.3 is installed" in message
    assert "pip install 'tensorrt-rtx-cu13==1.7.1.116'" in message


def test_another_build_of_the_same_release_will_do(machine: Any) -> None:
    machine.trt.__version__ = "1.7.1.9"
    open_session(machine.plan).close()


def test_a_missing_package_is_named_with_its_extra(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    message = refused(machine, "missing-package", MissingPackageError)
    assert "running model.plan needs tensorrt_rtx; install it with: pip install 'bandrt[tensorrt-rtx]'" in message


def test_a_plan_that_tensorrt_does_not_load_is_refused_with_its_reason(machine: Any) -> None:
    machine.plan.write_bytes(b"no plan")
    rewrite_file = dataclasses.replace(
        read_manifest(machine.engine),
        profile=machine.trt.profile,
        backend=dataclasses.replace(read_manifest_of(machine), file_sha256=file_sha256(machine.plan)),
    )
    sidecar(machine.plan).write_text(manifest_text(rewrite_file), encoding="utf-8")
    message = refused(machine, "plan-not-loaded")
    assert "tensorrt-rtx 1.7.1.116 cannot load the plan: Serialization assertion failed." in message
    assert f"bandrt export CKPT -o {machine.plan} --backend tensorrt-rtx" in message


def read_manifest_of(machine: Any) -> Any:
    from bandrt.manifest import Manifest

    return Manifest.from_json(sidecar(machine.plan).read_text(encoding="utf-8")).backend


def test_a_plan_that_tensorrt_says_is_not_valid_here_is_never_loaded(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = simulated_tensorrt(machine.gpu, machine.trt.profile, version=machine.trt.__version__, valid=False)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    assert "UNSUPPORTED_CC: build it for this GPU; OLD_CUDA_DRIVER: update" in refused(machine, "plan-not-loaded")


def test_a_gpu_that_does_not_start_is_refused_with_its_reason(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(index: int, extra: str) -> None:
        raise DeviceError("CUDA_ERROR_SYSTEM_NOT_READY: the system is not ready")

    monkeypatch.setattr("bandrt.engine.plan.open.CudaDevice", broken)
    assert "CUDA_ERROR_SYSTEM_NOT_READY" in refused(machine, "plan-not-loaded")


def test_a_plan_that_is_not_what_its_manifest_says_is_refused(machine: Any) -> None:
    rewrite(machine, inputs=("atomic_numbers", "kpoints"))
    message = refused(machine, "engine-mismatch")
    assert "neighbor_mask (in, bool)" in message
    assert "atomic_numbers (in, int32), band_energies (out, float32), kpoints (in, float32)" in message


def test_a_plan_with_other_profiles_than_its_manifest_says_is_refused(machine: Any) -> None:
    profile = dataclasses.replace(machine.trt.profile, buckets=machine.trt.profile.buckets[:2])
    rewrite(machine, profile=profile)
    assert "4 optimisation profiles, its manifest says" in refused(machine, "engine-mismatch")


def test_a_plan_of_full_tensorrt_goes_the_same_way(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(machine, name="tensorrt", version="11.2.0.9")
    full = simulated_tensorrt(machine.gpu, machine.trt.profile, version="11.2.0.9")
    del full.DynamicShapesKernelSpecializationStrategy, full.EngineValidity  # TensorRT-RTX alone has them
    monkeypatch.setitem(sys.modules, "tensorrt", full)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", UNTOUCHABLE)
    with open_session(machine.plan, device="cuda") as session:
        assert session.manifest.backend.name == "tensorrt"


def test_infer_runs_a_plan_without_being_told_the_device(
    machine: Any, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = {}
    for engine in (machine.plan, machine.engine):
        out = tmp_path / engine.name
        assert run(["infer", "--engine", str(engine), str(mixed_folder), "-o", str(out)]) == 3  # some files are no crystals
        outs[engine] = {one.id: one.band_structure.energies for one in read(out)}
    assert json.loads((tmp_path / "model.plan" / "run.json").read_text())["options"]["device"] == "cuda:0"
    assert len(outs[machine.plan]) == 3
    for one, energies in outs[machine.plan].items():
        np.testing.assert_allclose(energies, outs[machine.engine][one], atol=1e-6, rtol=0)
    assert machine.gpu.runs > 0


def test_a_run_is_not_gone_on_with_by_the_same_plan_with_another_manifest(
    machine: Any, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["infer", "--engine", str(machine.plan), str(mixed_folder), "-o", str(tmp_path / "out")]
    assert run(command) == 3  # some files are no crystals
    training = dataclasses.replace(read_manifest(machine.plan).training, elements=("H",))
    rewrite(machine, training=training)
    for more in ([], ["--dry-run"]):
        assert run([*command, "--resume", *more]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error [engine-differs]: ")


def test_a_plan_of_before_the_checksum_is_loaded_with_a_warning(machine: Any) -> None:
    sidecar(machine.plan).write_text(read_manifest(machine.plan).to_json(), encoding="utf-8")
    with pytest.warns(EngineWarning, match=r"model\.plan: has no checksum of its manifest"):
        bandrt.load(machine.plan).close()


def test_a_device_that_fails_within_a_run_loses_nothing_that_was_done(
    machine: Any, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.gpu.fails_at_run = 2
    command = ["infer", "--engine", str(machine.plan), str(mixed_folder), "-o", str(tmp_path / "out"), "--batch-size", "1"]
    assert run(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error [engine-failed]: ")
    done = {one.id for one in read(tmp_path / "out")}
    assert len(done) == 1
    machine.gpu.broken, machine.gpu.fails_at_run = "", None
    assert run([*command, "--resume"]) == 3
    assert len({one.id for one in read(tmp_path / "out")}) == 3


@pytest.mark.parametrize(
    ("spoil", "code"), [("unlink", "manifest-missing"), ("change", "plan-changed")], ids=["missing sidecar", "changed checksum"]
)
def test_a_spoiled_plan_is_one_sentence_from_a_cold_start(
    machine: Any, mixed_folder: Path, tmp_path: Path, spoil: str, code: str
) -> None:
    if spoil == "unlink":
        sidecar(machine.plan).unlink()
    else:
        machine.plan.write_bytes(machine.plan.read_bytes() + b"!")
    arguments = ["infer", "--engine", str(machine.plan), str(mixed_folder), "-o", str(tmp_path / "out")]
    command = [sys.executable, "-c", "import sys; from bandrt.cli import run; sys.exit(run(sys.argv[1:]))", *arguments]
    children = os.times().children_user + os.times().children_system
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert os.times().children_user + os.times().children_system - children < 2.0
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error [{code}]: ")
    assert "bandrt export CKPT -o" in line


def test_the_manifest_error_names_the_sidecar(machine: Any) -> None:
    sidecar(machine.plan).unlink()
    assert "model.plan.json is not beside it" in refused(machine, "manifest-missing", ManifestError)
