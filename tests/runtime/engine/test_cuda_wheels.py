"""Wheels say which CUDA they are of, and a driver that is older is refused."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

import bandrt.engine.cuda_wheels
from bandrt.engine import open_session
from bandrt.engine.cuda_driver import Driver, Gpu
from bandrt.engine.cuda_wheels import cuda_of, too_old
from bandrt.errors import EngineError

GPUS = (Gpu("NVIDIA L4", "sm89", 24.0),)
REQUIREMENTS = {
    "tensorrt": ["tensorrt_cu13==11.4.0.106"],
    "tensorrt-rtx-cu13": ["tensorrt_rtx_cu13_libs==1.7.1.116"],
    "onnxruntime-gpu": ["numpy>=1.21.6", 'nvidia-cuda-nvrtc~=13.0; extra == "cuda"', 'nvidia-cuda-runtime~=13.0; extra == "cuda"'],
    "cuda-bindings": ["cuda-pathfinder~=1.1"],
}
"""As the packages of November 2026 have them."""


@pytest.mark.parametrize("package", REQUIREMENTS)
def test_the_cuda_of_a_wheel_is_in_its_name_its_requirements_or_its_version(package: str) -> None:
    assert cuda_of(package, lambda name: "13.5.0", REQUIREMENTS.__getitem__) == 13


def test_older_wheels_and_those_that_do_not_say() -> None:
    older = ["flatbuffers", 'nvidia-cuda-runtime-cu12~=12.0; extra == "cuda"', 'nvidia-cudnn-cu12~=9.0; extra == "cudnn"']
    assert cuda_of("onnxruntime-gpu", lambda name: "1.21", lambda name: older) == 12
    assert cuda_of("tensorrt", lambda name: "10.1", lambda name: ["tensorrt-cu12==10.1"]) == 12
    assert cuda_of("onnxruntime-gpu", lambda name: "1.16", lambda name: None) is None

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    assert cuda_of("tensorrt", missing, REQUIREMENTS.__getitem__) is None


@pytest.mark.parametrize(
    ("cuda", "wheel", "refused"), [("12.4", 13, True), ("12.4", 12, False), ("13.0", 13, False), ("13.2", 12, False)]
)
def test_a_driver_runs_its_own_cuda_and_older_ones(cuda: str, wheel: int, refused: bool) -> None:
    reason = too_old(Driver(cuda, GPUS), {"tensorrt": wheel, "cuda-bindings": None})
    assert (reason is not None) == refused
    if reason is not None:
        assert reason == ("the NVIDIA driver is for CUDA 12.4 and does not run tensorrt of CUDA 13; update it to 580 or newer")


def test_a_plan_is_refused_before_tensorrt_is_loaded(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: Driver("12.4", GPUS))
    monkeypatch.setattr(bandrt.engine.cuda_wheels, "cuda_of", lambda package: {"tensorrt-rtx-cu13": 13}.get(package))
    with pytest.raises(
        EngineError, match=r"does not run tensorrt-rtx-cu13 of CUDA 13; update it to 580 or newer, or run the ONNX"
    ) as caught:
        open_session(machine.plan)
    assert caught.value.code == "device-unavailable"
