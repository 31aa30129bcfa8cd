"""The NVIDIA driver is found, described or missed without any CUDA package."""

from __future__ import annotations

from typing import Any

import pytest

import bandrt.engine.cuda_driver
from bandrt.engine.cuda_driver import LIBRARY, Driver, Gpu, NoDriver, find_driver, gpu_record, require_gpu


class Libcuda:
    """The functions of libcuda that are called, for a machine with some GPUs."""

    def __init__(self, gpus: list[Gpu], *, start: int = 0) -> None:
        self.gpus = gpus
        self.start = start

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.start

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12090
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.gpus)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index + 100
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: int) -> int:
        name.value = self.gpus[device - 100].name.encode()[: length - 1]
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: int) -> int:
        memory._obj.value = int(self.gpus[device - 100].memory_gb * 1e9)
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:
        digits = self.gpus[device - 100].target.removeprefix("sm")
        value._obj.value = int({75: digits[:-1], 76: digits[-1]}[attribute])
        return 0


def test_every_gpu_is_described() -> None:
    gpus = [Gpu("NVIDIA H200", "sm90", 141.0), Gpu("NVIDIA RTX 5090", "sm120", 32.5)]
    assert find_driver(lambda name: Libcuda(gpus)) == Driver(cuda="12.9", gpus=tuple(gpus))


def test_a_machine_without_the_library_has_no_driver() -> None:
    def load(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert find_driver(load) == NoDriver(f"this machine has no NVIDIA driver ({LIBRARY} is not there)")


@pytest.mark.parametrize(
    ("library", "reason"),
    [(Libcuda([Gpu("NVIDIA H200", "sm90", 141.0)], start=999), "cuInit gives 999"), (Libcuda([]), "sees no GPU")],
)
def test_a_driver_that_gives_no_gpu_is_none(library: Libcuda, reason: str) -> None:
    found = find_driver(lambda name: library)
    assert isinstance(found, NoDriver)
    assert reason in found.reason


def test_a_part_of_a_gpu_and_the_release_of_the_driver_are_told() -> None:
    class Management:
        def nvmlInit_v2(self) -> int:
            return 0

        def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:
            text.value = b"580.65.06"
            return 0

        def nvmlShutdown(self) -> int:
            return 0

    part = Gpu("NVIDIA H200 MIG 1g.18gb", "sm90", 18.0, "1g.18gb")
    found = find_driver(lambda name: Libcuda([part]) if name == LIBRARY else Management())
    assert found == Driver(cuda="12.9", gpus=(part,), release="580.65.06")


def test_results_name_the_gpu_that_they_are_from(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver("13.0", (Gpu("NVIDIA L4", "sm89", 24.0), Gpu("NVIDIA H200 MIG 1g.18gb", "sm90", 18.0, "1g.18gb")), "580.65.06")
    monkeypatch.setattr(bandrt.engine.cuda_driver, "find_driver", lambda: driver)
    assert gpu_record("cpu") is None
    assert gpu_record("cuda:1") == {
        "name": "NVIDIA H200 MIG 1g.18gb",
        "target": "sm90",
        "memory_gb": 18.0,
        "mig": "1g.18gb",
        "driver": "580.65.06",
        "cuda": "13.0",
    }


def test_the_first_of_several_gpus_is_never_taken_silently(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    several = Driver("13.0", (Gpu("NVIDIA L4", "sm89", 24.0), Gpu("NVIDIA H200", "sm90", 141.0)))
    monkeypatch.setattr(bandrt.engine.cuda_driver, "find_driver", lambda: several)
    assert require_gpu(1, purpose="a plan", instead="").name == "NVIDIA H200"
    assert not caplog.records
    assert require_gpu(0, purpose="a plan", instead="", named=False).name == "NVIDIA L4"
    assert "a plan runs on cuda:0, NVIDIA L4, one of 2 GPUs; choose with --device cuda:N" in caplog.text
    caplog.clear()
    monkeypatch.setattr(bandrt.engine.cuda_driver, "find_driver", lambda: Driver("13.0", several.gpus[:1]))
    require_gpu(0, purpose="a plan", instead="", named=False)
    assert not caplog.records


def test_this_machine_is_asked_without_harm() -> None:
    assert isinstance(find_driver(), Driver | NoDriver)
