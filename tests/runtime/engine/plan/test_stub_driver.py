"""The real cuda-core over a stub of the driver, whose memory is counted and can be short."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bandrt.engine.cuda_wheels import cuda_of
from bandrt.engine.plan.cuda_device import device_error
from bandrt.engine.plan.device import OutOfDeviceMemoryError
from tests.support.stub_gpu.build import DRIVER, TENSORRT, compiled, run_over, scenario


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stub."""
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    return compiled(tmp_path_factory.mktemp("stub"), "libcuda.c", DRIVER)


def test_the_layer_that_calls_cuda_tells_of_memory_and_gives_it_back(stub: Path) -> None:
    found = scenario(stub, "device_layer", FAKE_LIMIT=str(4 << 20))
    assert found["allocate"].startswith("OutOfDeviceMemoryError: CUDA_ERROR_OUT_OF_MEMORY")
    assert found["capture"] == "OutOfDeviceMemoryError: Error Code 2: OutOfMemory (Requested size was 6000 bytes.)"
    assert found["spoiled capture"] == found["capture"]  # not CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
    assert found["before the launch"] == [0] * 8
    assert found["after the launch"] == [7] * 8
    assert found["kept"] == 0
    assert found["for others after a buffer was freed"]
    assert found["other thread"] == ""


def test_batches_are_halved_one_crystal_fails_and_the_session_recovers(stub: Path, machine: Any) -> None:
    found = scenario(stub, "short_of_memory", str(machine.plan), str(machine.engine), FAKE_LIMIT="42000")
    for run in found["runs"]:
        assert run[20].startswith("out-of-memory: ")
        assert "cuda:0 has no memory for 1 crystals of up to 24 atoms" in run[20]
        assert [one for place, one in enumerate(run) if place != 20] == ["right"] * 48
    assert found["evaluations"] > 48 / 8 * 2  # of full batches there would be no more
    assert found["n_bytes"] == 0


def test_memory_that_the_pool_holds_is_there_for_a_new_context(stub: Path, machine: Any) -> None:
    found = scenario(stub, "new_shape", str(machine.plan), str(machine.engine), FAKE_LIMIT="165000")
    assert found["right"] == [True] * 3
    assert found["refused"] > 0
    assert found["n_bytes"] == 0


def test_the_doctor_sees_every_gpu_of_a_driver_and_that_it_is_too_old(stub: Path) -> None:
    gpus = "NVIDIA H200 MIG 1g.18gb:90;NVIDIA L4:89"
    report = json.loads(run_over(stub, "-m", "bandrt", "doctor", "--json", FAKE_GPUS=gpus, FAKE_CUDA="12040"))
    assert report["driver"]["cuda"] == "12.4"
    assert [(gpu["name"], gpu["target"], gpu["mig"]) for gpu in report["driver"]["gpus"]] == [
        ("NVIDIA H200 MIG 1g.18gb", "sm90", "1g.18gb"),
        ("NVIDIA L4", "sm89", None),
    ]
    if cuda_of("tensorrt-rtx-cu13") is not None:
        [rtx] = [one for one in report["abilities"] if one["name"] == "run TensorRT-RTX plans"]
        assert not rtx["available"]
        assert "does not run tensorrt-rtx-cu13 of CUDA 13" in rtx["detail"]


@pytest.mark.parametrize(
    "message",
    [
        "Failed to allocate memory from pool",  # cuda-core 1.0
        "CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory",  # 1.1 and later
    ],
)
def test_every_cuda_core_is_understood_when_it_tells_of_memory(message: str) -> None:
    assert isinstance(device_error(message), OutOfDeviceMemoryError)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_bindings") is None, reason="TensorRT's bindings are not installed")
def test_the_real_bindings_of_tensorrt_say_null_as_is_expected(tmp_path: Path) -> None:
    program = (
        "import tensorrt_bindings as trt; from bandrt.engine.plan.tensorrt import made, make_logger; problems = []\n"
        "for kind in (trt.Runtime, trt.Builder):\n"
        "    try: made(lambda: kind(make_logger(trt, problems)), kind.__name__, problems)\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    printed = run_over(compiled(tmp_path, "tensorrt.c", TENSORRT), "-c", program)
    assert [line.partition(":")[0] for line in printed.splitlines()] == [
        "DeviceError it gives no Runtime",
        "DeviceError it gives no Builder",
    ]
