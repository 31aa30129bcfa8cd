"""The doctor names what works, what is missing and the command that adds it."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.engine.cuda_driver import Driver, Gpu, NoDriver
from bandrt.machine.doctor import (
    CUDA_PACKAGES,
    CUDA_PROVIDER,
    PACKAGES,
    TENSORRT_PROVIDER,
    Ability,
    examine,
    installed_packages,
    onnx_providers,
)

NO_DRIVER = NoDriver("this machine has no NVIDIA driver (libcuda.so.1 is not there)")
DRIVER = Driver(cuda="13.0", gpus=(Gpu("NVIDIA L4", "sm89", 24.0),))
TWO = Driver(cuda="13.0", gpus=(Gpu("NVIDIA H200", "sm90", 141.0), Gpu("NVIDIA H100", "sm90", 80.0)))
CPU, CUDA = ("CPUExecutionProvider",), (CUDA_PROVIDER, "CPUExecutionProvider")


def abilities(driver: Driver | NoDriver, installed: tuple[str, ...], providers: tuple[str, ...]) -> dict[str, Ability]:
    packages = {name: "1.2" if name in installed else None for name in PACKAGES}
    wheels = {name: 13 if name in installed else None for name in CUDA_PACKAGES}
    return {ability.name: ability for ability in examine(driver, packages, providers, wheels).abilities}


def test_a_bare_installation_is_told_how_to_get_each_thing() -> None:
    found = abilities(NO_DRIVER, ("numpy",), ())
    assert not any(ability.available for ability in found.values())
    assert {ability.remedy for ability in found.values()} == {
        None,
        "pip install 'bandrt[cpu]'",
        "pip install 'bandrt[export,tensorrt-rtx]'",
        "pip install 'bandrt[export]'",
        "pip install 'bandrt[train]'",
        "pip install 'bandrt[plot]'",
        "pip install 'bandrt[report]'",
        "pip install 'bandrt[ase]'",
        "pip install 'bandrt[pymatgen]'",
        "pip install 'bandrt[hdf5]'",
        "pip install 'bandrt[parquet]'",
        "pip install 'bandrt[ray]'",
        "pip install 'bandrt[mp]'",
        "pip install 'bandrt[train,tensorboard]'",
        *(["pip install 'bandrt[zstd]'"] if sys.version_info < (3, 14) else []),
    }
    assert "no NVIDIA driver" in found["run ONNX engines on a GPU"].detail
    assert "no NVIDIA driver" in found["build TensorRT plans"].detail


def test_every_extra_that_makes_something_work_is_named() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        extra
        for driver in (NO_DRIVER, DRIVER)
        for ability in abilities(driver, ("numpy",), ()).values()
        for extras in re.findall(r"bandrt\[([\w,-]+)\]", ability.remedy or "")
        for extra in extras.split(",")
    }
    unused = {"dev", "docs", *(["zstd"] if sys.version_info >= (3, 14) else [])}
    assert named == set(project["optional-dependencies"]) - unused


def test_what_is_complete_has_no_remedy() -> None:
    found = abilities(DRIVER, tuple(name for name in PACKAGES if name != "onnxruntime"), CUDA)
    assert found["run ONNX engines on the CPU"] == Ability("run ONNX engines on the CPU", True, "onnxruntime-gpu 1.2")
    assert found["run ONNX engines on a GPU"] == Ability("run ONNX engines on a GPU", True, "NVIDIA L4, --device cuda:0")
    assert found["build TensorRT plans"].available
    assert found["build TensorRT-RTX plans"].available
    assert found["train models"].available


def test_the_other_providers_of_onnx_runtime_are_listed_with_what_they_need() -> None:
    rtx, trt, both = "run ONNX engines by TensorRT-RTX", "run ONNX engines by TensorRT", (*CUDA, TENSORRT_PROVIDER)
    complete = tuple(name for name in PACKAGES if name != "onnxruntime")
    found = abilities(DRIVER, complete, both)
    assert found[rtx] == Ability(rtx, True, "onnxruntime-ep-nv-tensorrt-rtx-cu13 1.2, --device nv-tensorrt-rtx:N")
    assert found[trt] == Ability(trt, False, "needs TensorRT 10, and 1.2 is installed", "pip install 'tensorrt<11'")
    packages = dict.fromkeys(PACKAGES, "1.2") | {"tensorrt": "10.14.1"}
    diagnosis = examine(DRIVER, packages, both, dict.fromkeys(CUDA_PACKAGES, 13))
    assert Ability(trt, True, "tensorrt 10.14.1, --device tensorrt:N") in diagnosis.abilities
    assert abilities(DRIVER, complete, CUDA)[trt].detail == "this build of onnxruntime-gpu does not have it"
    assert abilities(DRIVER, ("onnxruntime",), CPU)[rtx].remedy == "pip install 'bandrt[nv-tensorrt-rtx]'"
    assert abilities(TWO, complete, both)[rtx].detail == "TensorRT-RTX has no target for sm90; use --device cuda:N"
    for driver in (NO_DRIVER, dataclasses.replace(DRIVER, cuda="12.4")):
        assert not abilities(driver, complete, both)[rtx].available
        assert not abilities(driver, complete, both)[trt].available


def test_onnx_engines_on_a_gpu_need_cuda_core_too() -> None:
    one = abilities(DRIVER, ("onnxruntime-gpu", "cuda-bindings"), CUDA)["run ONNX engines on a GPU"]
    assert (one.detail, one.remedy) == ("needs cuda-core", "pip install 'bandrt[cuda]'")


def test_plans_run_where_a_gpu_and_their_packages_are() -> None:
    found = abilities(DRIVER, ("tensorrt", "cuda-core", "cuda-bindings", "tensorrt-rtx-cu13"), CUDA)
    assert found["run TensorRT plans"] == Ability("run TensorRT plans", True, "tensorrt 1.2")
    assert found["run TensorRT-RTX plans"].available
    found = abilities(DRIVER, ("tensorrt-rtx-cu13", "cuda-core"), CUDA)
    assert found["run TensorRT-RTX plans"].detail == "needs cuda-bindings"
    assert found["run TensorRT-RTX plans"].remedy == "pip install 'bandrt[tensorrt-rtx]'"
    assert found["run TensorRT plans"].detail == "needs tensorrt, cuda-bindings"
    assert "no NVIDIA driver" in abilities(NO_DRIVER, PACKAGES, CUDA)["run TensorRT plans"].detail


def test_a_gpu_without_its_onnxruntime_is_told_which_to_replace() -> None:
    one = abilities(DRIVER, ("onnxruntime",), CPU)["run ONNX engines on a GPU"]
    assert one.remedy == "pip uninstall onnxruntime, then pip install 'bandrt[cuda]'"
    assert abilities(DRIVER, (), ())["run ONNX engines on a GPU"].remedy == "pip install 'bandrt[cuda]'"


def test_a_driver_that_is_older_than_the_wheels_runs_none_of_them() -> None:
    complete = tuple(name for name in PACKAGES if name != "onnxruntime")
    found = abilities(dataclasses.replace(DRIVER, cuda="12.4"), complete, CUDA)
    for name in ("run ONNX engines on a GPU", "run TensorRT plans", "run TensorRT-RTX plans", "build TensorRT plans"):
        assert not found[name].available
        assert "driver is for CUDA 12.4 and does not run" in found[name].detail
        assert "of CUDA 13; update it to 580 or newer" in found[name].detail
    assert found["run ONNX engines on the CPU"].available
    assert found["build TensorRT-RTX plans"].available  # needs no driver


def test_tensorrt_rtx_has_no_target_for_hopper_and_each_gpu_is_named() -> None:
    found = abilities(TWO, tuple(name for name in PACKAGES if name != "onnxruntime"), CUDA)
    rtx = found["run TensorRT-RTX plans"]
    assert not rtx.available
    assert rtx.detail.startswith("TensorRT-RTX has no target for sm90; build plans with --backend tensorrt on that GPU")
    assert found["run TensorRT plans"].available
    assert found["run ONNX engines on a GPU"].detail == "NVIDIA H200, --device cuda:0, NVIDIA H100, --device cuda:1"


def test_two_onnxruntimes_are_one_too_many() -> None:
    one = abilities(NO_DRIVER, ("onnxruntime", "onnxruntime-gpu"), CPU)["run ONNX engines on the CPU"]
    assert one.available
    assert "overwrite each other" in one.detail


def test_an_onnxruntime_that_does_not_load_is_not_called_missing() -> None:
    one = abilities(NO_DRIVER, ("onnxruntime",), ())["run ONNX engines on the CPU"]
    assert not one.available
    assert "does not load" in one.detail


def test_versions_are_those_of_pip() -> None:
    def version_of(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return f"{name}-1"

    found = installed_packages(version_of)
    assert list(found) == list(PACKAGES)
    assert found["torch"] is None
    assert found["numpy"] == "numpy-1"


def test_onnx_runtime_is_asked_what_it_runs_on() -> None:
    pytest.importorskip("onnxruntime")
    assert "CPUExecutionProvider" in onnx_providers()


def test_the_command_reports_for_people_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "yes  run ONNX engines on the CPU" in text
    assert "no   run TensorRT plans" in text
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["numpy"]
    assert {"name", "available", "detail", "remedy"} == set(report["abilities"][0])
