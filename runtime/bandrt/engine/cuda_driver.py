"""The NVIDIA driver, asked through libcuda itself: no CUDA package is needed, and nothing is loaded where there is none.

TensorRT without a driver ends Python instead of raising, so this comes first.
Source: CUDA driver API, docs.nvidia.com/cuda/cuda-driver-api.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bandrt.errors import EngineError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""Attributes of a device: its compute capability."""


@dataclass(frozen=True)
class Gpu:
    """One CUDA device."""

    name: str
    target: str
    """Compute capability, as `Backend.targets` spells it: ``sm90``."""
    memory_gb: float
    """10^9 bytes."""


@dataclass(frozen=True)
class Driver:
    """An NVIDIA driver that answers."""

    cuda: str
    """The newest CUDA version that it supports, e.g. ``13.0``."""
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class NoDriver:
    """Why there is none."""

    reason: str


def find_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Driver | NoDriver:
    """Ask the driver for its version and its GPUs.

    Args:
        load: opens a shared library by name.
    """
    try:
        library = load(LIBRARY)
    except OSError:
        return NoDriver(f"this machine has no NVIDIA driver ({LIBRARY} is not there)")
    if code := library.cuInit(0):
        return NoDriver(f"the NVIDIA driver of this machine does not start (cuInit gives {code})")
    version = _integer(library.cuDriverGetVersion)
    gpus = tuple(_gpu(library, index) for index in range(_integer(library.cuDeviceGetCount)))
    if not gpus:
        return NoDriver("the NVIDIA driver of this machine sees no GPU")
    return Driver(cuda=f"{version // 1000}.{version % 1000 // 10}", gpus=gpus)


def require_gpu(index: int, *, purpose: str, instead: str) -> Gpu:
    """The GPU of a number.

    Args:
        index: which, as in ``cuda:0``.
        purpose: what needs it, as the beginning of a sentence.
        instead: what to do without it.

    Raises:
        EngineError: ``device-unavailable``.
    """
    found = find_driver()
    if isinstance(found, NoDriver):
        raise EngineError("device-unavailable", f"{purpose} needs an NVIDIA GPU, and {found.reason}; {instead}")
    if index >= len(found.gpus):
        names = ", ".join(f"cuda:{i} {gpu.name}" for i, gpu in enumerate(found.gpus))
        raise EngineError("device-unavailable", f"{purpose} is asked to run on cuda:{index}, this machine has {names}; {instead}")
    return found.gpus[index]


def _gpu(library: Any, index: int) -> Gpu:
    device = _integer(library.cuDeviceGet, index)
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    major, minor = (_integer(library.cuDeviceGetAttribute, attribute, device) for attribute in (_MAJOR, _MINOR))
    return Gpu(name.value.decode(errors="replace"), f"sm{major}{minor}", memory.value / 1e9)


def _integer(function: Any, *arguments: int) -> int:
    """The integer that a driver function writes to its first argument."""
    value = ctypes.c_int()
    function(ctypes.byref(value), *arguments)
    return value.value
