"""The module that calls CUDA, by itself: copies that come back equal, their speed, a captured copy, and how out-of-memory looks."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from bandrt.engine.plan.cuda_device import CudaDevice
from bandrt.engine.plan.device import OutOfDeviceMemoryError

COPIES = 5
BEYOND_ALL_MEMORY = 1 << 42
"""Bytes: more than any GPU has, and fewer than it could address, which may be refused in other words."""


def check_layer(n_bytes: int) -> dict[str, Any]:
    """Copy bytes to the first GPU and back.

    Raises:
        AssertionError: something is not as it must be.
        MissingPackageError: cuda-core is not installed.
        DeviceError: the GPU refuses.
    """
    device = CudaDevice(0, extra="tensorrt")
    there, back, middle = device.allocate_pinned(n_bytes), device.allocate_pinned(n_bytes), device.allocate(n_bytes)
    there.content[:] = np.random.default_rng(0).integers(0, 256, n_bytes, dtype=np.uint8)
    up, down = device.stream(), device.stream()

    def upload() -> None:
        up.upload(there, middle, n_bytes)
        up.record().synchronize()

    def download() -> None:
        down.download(middle, back, n_bytes)
        down.record().synchronize()

    gb_per_s = {name: n_bytes / fastest(copy) / 1e9 for name, copy in {"up": upload, "down": download}.items()}
    equal = bool((there.content == back.content).all())
    back.content[:] = 0
    graph = down.capture(lambda: down.download(middle, back, n_bytes))
    down.launch(graph)
    down.record().synchronize()
    captured = bool((there.content == back.content).all())
    try:
        device.allocate(BEYOND_ALL_MEMORY)
        refused = ""
    except OutOfDeviceMemoryError as error:
        refused = str(error)
    for one in (graph, there, back, middle):
        one.close()
    if not (equal and captured and refused):
        raise AssertionError(f"copies equal: {equal}, captured copy equal: {captured}, out of memory: {refused or 'no error'}")
    return {"gb_per_s": gb_per_s, "out_of_memory": refused}


def fastest(copy: Callable[[], None]) -> float:
    """Seconds of the fastest of several copies."""
    taken = []
    for _ in range(COPIES):
        started = perf_counter()
        copy()
        taken.append(perf_counter() - started)
    return min(taken)
