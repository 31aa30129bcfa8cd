"""The layer that calls CUDA, on a stand-in for cuda-core."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandrt.engine.plan.cuda_device import CudaDevice, CudaStream, device_error
from bandrt.engine.plan.device import DeviceError, OutOfDeviceMemoryError
from bandrt.errors import MissingPackageError
from tests.support import stand_in_cuda_core
from tests.support.stand_in_cuda_core import REAL, Memory


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    """A device on the stand-in."""
    stand_in_cuda_core.install(monkeypatch)
    return CudaDevice(0, extra="tensorrt")


def test_bytes_go_to_the_device_and_back(device: CudaDevice) -> None:
    stream = device.stream()
    there, back, middle = device.allocate_pinned(64), device.allocate_pinned(64), device.allocate(64)
    there.content[:] = np.arange(64)
    stream.upload(there, middle, 48)
    other = device.stream()
    other.wait(stream.record())
    other.download(middle, back, 64)
    other.record().synchronize()
    device.synchronize()
    np.testing.assert_array_equal(back.content, [*range(48), *[0] * 16])
    live = Memory.live
    for buffer in (there, back, middle):
        buffer.close()
    assert Memory.live == live - 3


def test_captured_work_is_done_when_it_is_launched(device: CudaDevice) -> None:
    stream = device.stream()
    there, back, middle = device.allocate_pinned(8), device.allocate_pinned(8), device.allocate(8)
    stream.upload(there, middle, 8)
    graph = stream.capture(lambda: stream.download(middle, back, 8))
    there.content[:] = 7
    stream.upload(there, middle, 8)
    assert not back.content.any()
    stream.launch(graph)
    assert back.content.tolist() == [7] * 8
    graph.close()


def test_a_capture_that_fails_is_ended(device: CudaDevice) -> None:
    stream = device.stream()

    def fails() -> None:
        raise DeviceError("not permitted")

    with pytest.raises(DeviceError, match="not permitted"):
        stream.capture(fails)
    assert stream._stream.builder is None


def test_memory_that_is_not_there_is_its_own_error(device: CudaDevice) -> None:
    device.make_current()
    with pytest.raises(OutOfDeviceMemoryError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        device.allocate(1 << 21)
    device.allocate(1 << 10)


def test_a_gpu_without_memory_pools_allocates_with_what_cuda_core_has_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutPools(stand_in_cuda_core.DevicePool):
        def __init__(self) -> None: ...

    monkeypatch.setattr(stand_in_cuda_core.Device, "properties", SimpleNamespace(memory_pools_supported=False))
    monkeypatch.setattr(stand_in_cuda_core.Device, "memory_resource", own := WithoutPools())
    stand_in_cuda_core.install(monkeypatch)
    device = CudaDevice(0, extra="tensorrt")
    assert device._device_memory is own
    device.allocate(64).close()


def test_whatever_cuda_raises_is_a_device_error(device: CudaDevice) -> None:
    class Broken:
        handle = 1

        def record(self) -> None:
            raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: while executing\na kernel")

    with pytest.raises(DeviceError, match=r"ILLEGAL_ADDRESS: while executing$") as caught:
        CudaStream(Broken()).record()
    assert not isinstance(caught.value, OutOfDeviceMemoryError)
    assert isinstance(device_error("Error Code 2: OutOfMemory (Requested size was 8 bytes.)"), OutOfDeviceMemoryError)


def test_a_missing_cuda_core_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'bandrt\[tensorrt-rtx\]'"):
        CudaDevice(0, extra="tensorrt-rtx")


@pytest.mark.skipif(REAL is None, reason="cuda-core is not installed")
def test_every_name_of_the_stand_in_is_one_of_cuda_core() -> None:
    stand_ins = [kind for kind in vars(stand_in_cuda_core).values() if inspect.isclass(kind)]
    names = [one.stands_for for kind in stand_ins for one in vars(kind).values() if hasattr(one, "stands_for")]
    assert len(names) >= 14
    for name in [
        "Device",
        "Device.properties",
        "DeviceMemoryResource",
        "DeviceMemoryResourceOptions",
        "LegacyPinnedMemoryResource",
        "Buffer.handle",
        "Stream.handle",
        *names,
    ]:
        found: Any = REAL
        for part in name.split("."):
            assert hasattr(found, part), f"cuda-core has no {name}"
            found = getattr(found, part)
