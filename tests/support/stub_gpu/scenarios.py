"""What tests have done by the real cuda-core over the stub of the driver; run as a module, it prints what a function gives."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bandrt import Crystal, Failure, load
from bandrt.engine import open_session, read_manifest
from bandrt.engine.plan.cuda_device import CudaDevice, device_error
from bandrt.engine.plan.device import DeviceError
from tests.support.random_batches import random_batch
from tests.support.simulated_tensorrt import SimulatedContext, SimulatedEngine, simulated_tensorrt

CONTEXT_BYTES = 6_000
"""What each execution context takes of the device for itself."""
MEMORY_SHORT = "Error Code 2: OutOfMemory (Requested size was 6000 bytes.)"


class StubStream:
    """A stream of the driver, as the simulated TensorRT sees it."""

    def __init__(self, driver: StubDriver, handle: int) -> None:
        self._driver = driver
        self._handle = ctypes.c_void_p(handle)

    @property
    def captured(self) -> list[object] | None:
        state = ctypes.c_int()
        self._driver.cuda.cuStreamIsCapturing(self._handle, ctypes.byref(state))
        return [] if state.value else None

    def put(self, step: Callable[[], None]) -> None:
        function = self._driver.kept(step)
        assert self._driver.cuda.cuLaunchHostFunc(self._handle, function, None) == 0


class StubDriver:
    """The GPU of `simulated_tensorrt`, which is the stub: it computes where the driver says, and takes memory from it."""

    def __init__(self) -> None:
        self.cuda = ctypes.CDLL("libcuda.so.1")
        for name in ("stub_used", "stub_kept"):
            getattr(self.cuda, name).restype = ctypes.c_size_t
        self.runs, self.refused = 0, 0
        self.fails_at_run: int | None = None
        self._functions: list[Any] = []

    def kept(self, step: Callable[[], None]) -> Any:
        """A function that C may call for as long as this lives."""
        self._functions.append(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: step()))
        return self._functions[-1]

    def stream_of(self, handle: int) -> StubStream:
        return StubStream(self, handle)

    def at(self, address: int, n_bytes: int) -> np.ndarray:
        return np.ctypeslib.as_array((ctypes.c_uint8 * n_bytes).from_address(address))

    def allocate(self, n_bytes: int) -> int | None:
        address = ctypes.c_ulonglong()
        code = self.cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(n_bytes))
        self.refused += code != 0
        return None if code else address.value

    def n_bytes(self) -> int:
        """Bytes that are taken."""
        gc.collect()
        return int(self.cuda.stub_used() + self.cuda.stub_kept())


def over_stub(plan: Path) -> StubDriver:
    """Let ``import tensorrt_rtx`` give one that computes on the stub, each of whose contexts takes memory of the device."""
    driver = StubDriver()
    plain = SimulatedEngine.create_execution_context

    def create(self: SimulatedEngine, how: object) -> SimulatedContext | None:
        address = driver.allocate(CONTEXT_BYTES)
        if address is None:
            self.complain(MEMORY_SHORT)
            return None
        context = plain(self, how)
        weakref.finalize(context, driver.cuda.cuMemFree_v2, ctypes.c_ulonglong(address))
        return context

    SimulatedEngine.create_execution_context = create  # type: ignore[method-assign,assignment]
    manifest = read_manifest(plan)
    trt = simulated_tensorrt(driver, manifest.profile, version=manifest.backend.version)  # type: ignore[arg-type]
    sys.modules["tensorrt_rtx"] = trt  # type: ignore[assignment]
    return driver


def error_of(action: Callable[[], object]) -> str:
    """The error that something raises, or nothing."""
    try:
        action()
    except DeviceError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def device_layer() -> dict[str, Any]:
    """The layer that calls CUDA, where memory is short, where a capture fails, and from another thread."""
    driver = StubDriver()
    device = CudaDevice(0, extra="tensorrt")
    stream = device.stream()
    most = 3 << 20

    def fails() -> None:
        raise device_error(MEMORY_SHORT)

    def fails_and_spoils() -> None:
        driver.cuda.cuStreamSynchronize(ctypes.c_void_p(stream.handle))
        fails()

    found: dict[str, Any] = {
        "allocate": error_of(lambda: device.allocate(1 << 40)),
        "capture": error_of(lambda: stream.capture(fails)),
        "spoiled capture": error_of(lambda: stream.capture(fails_and_spoils)),
    }
    there, back, middle = device.allocate_pinned(8), device.allocate_pinned(8), device.allocate(8)
    graph = stream.capture(lambda: stream.download(middle, back, 8))
    there.content[:], back.content[:] = 7, 0
    stream.upload(there, middle, 8)
    found["before the launch"] = back.content.tolist()
    stream.launch(graph)
    stream.record().synchronize()
    found["after the launch"] = back.content.tolist()
    graph.close()
    device.allocate(most).close()
    found["kept"] = int(driver.cuda.stub_kept())
    found["for others after a buffer was freed"] = driver.allocate(most) is not None

    def elsewhere() -> None:
        device.make_current()
        found["other thread"] = error_of(lambda: device.allocate(100).close()) or error_of(
            lambda: device.allocate_pinned(9).close()
        )

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    return found


def crystals() -> Iterator[Crystal]:
    """Small ones, one of 24 atoms among them, and small ones again."""

    def cubic(a: float, numbers: list[int]) -> Crystal:
        n = len(numbers)
        places = np.arange(n)[:, None] * np.full(3, 1 / n) + [[0.01 * i, 0.0, 0.0] for i in range(n)]
        return Crystal(np.eye(3) * a, np.array(numbers, np.int32), places)

    for index in range(48):
        if index == 20:
            yield cubic(9.0, [11, 17, 14, 26, 82, 52, 31, 33] * 3)
        yield cubic(4.0 + 0.01 * index, [11, 17, 14][: 1 + index % 3])


def short_of_memory(plan: str, engine: str) -> dict[str, Any]:
    """Predict crystals in batches that do not fit, then once more, with the same engine."""
    driver = over_stub(Path(plan))
    with load(engine) as on_cpu:
        wanted = list(on_cpu.predict(crystals(), batch_size=8))
    runs: list[list[str]] = []
    with load(plan) as on_gpu:
        for _ in range(2):
            run = []
            for one, other in zip(on_gpu.predict(crystals(), batch_size=8), wanted, strict=True):
                assert not isinstance(other, Failure)
                if isinstance(one, Failure):
                    run.append(f"{one.code}: {one.message}")
                else:
                    off = np.abs(one.band_structure.energies - other.band_structure.energies).max()
                    run.append("right" if off < 1e-6 else f"off by {off} eV")
            runs.append(run)
    return {"runs": runs, "refused": driver.refused, "n_bytes": driver.n_bytes(), "evaluations": driver.runs}


def new_shape(plan: str, engine: str) -> dict[str, Any]:
    """The pool holds nearly all memory when TensorRT needs some of its own for a new shape."""
    driver = over_stub(Path(plan))
    batches = [random_batch(4, 24), random_batch(2, 10), random_batch(2, 3)]
    with open_session(Path(engine), threads=1) as session:
        wanted = [session.run(batch)["band_energies"] for batch in batches]
    with open_session(Path(plan)) as session:
        right = [bool(np.allclose(session.run(b)["band_energies"], e, atol=1e-6)) for b, e in zip(batches, wanted, strict=True)]
    return {"right": right, "refused": driver.refused, "n_bytes": driver.n_bytes()}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
