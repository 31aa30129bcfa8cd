"""The NVIDIA driver, asked through libcuda itself: no CUDA package is needed, and nothing is loaded where there is none.

TensorRT without a driver ends Python instead of raising, so this comes first.
Source: CUDA driver API, docs.nvidia.com/cuda/cuda-driver-api.
"""

from __future__ import annotations

import ctypes
import dataclasses
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bandrt.errors import EngineError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
MANAGEMENT_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
"""Knows which release the driver is."""
_MIG = re.compile(r"MIG (\S+)")
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
    mig: str | None = None
    """The profile of a part of a GPU, e.g. ``1g.18gb``; None for a whole one."""


@dataclass(frozen=True)
class Driver:
    """An NVIDIA driver that answers."""

    cuda: str
    """The newest CUDA version that it supports, e.g. ``13.0``."""
    gpus: tuple[Gpu, ...]
    release: str | None = None
    """Of the driver itself, e.g. ``580.65.06``; None where it does not say."""


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
    return Driver(cuda=f"{version // 1000}.{version % 1000 // 10}", gpus=gpus, release=_release(load))


def gpu_record(device: str) -> dict[str, str | float | None] | None:
    """What results say of the GPU that they are from: its name, target, MIG profile, memory, and its driver; None for the CPU.

    Of several GPUs these are of the first, and ``others`` has the names of the others.

    Args:
        device: of an open session: ``cpu``, what runs it on a GPU and the number of that, ``cuda:N``, or several by commas.
    """
    driver = None if device == "cpu" else find_driver()
    if not isinstance(driver, Driver):
        return None
    first, *others = (driver.gpus[int(one.partition(":")[2])] for one in device.split(","))
    record = dataclasses.asdict(first) | {"driver": driver.release, "cuda": driver.cuda}
    return record | ({"others": ", ".join(gpu.name for gpu in others)} if others else {})


def require_gpu(index: int, *, purpose: str, instead: str, named: bool = True) -> Gpu:
    """The GPU of a number.

    Args:
        index: which, as in ``cuda:0``.
        purpose: what needs it, as the beginning of a sentence.
        instead: what to do without it.
        named: whether the number was asked for; where it was not and there are several GPUs, a warning says which is taken.

    Raises:
        EngineError: ``device-unavailable``.
    """
    found = find_driver()
    if isinstance(found, NoDriver):
        raise EngineError("device-unavailable", f"{purpose} needs an NVIDIA GPU, and {found.reason}; {instead}")
    if index >= len(found.gpus):
        names = ", ".join(f"cuda:{i} {gpu.name}" for i, gpu in enumerate(found.gpus))
        raise EngineError("device-unavailable", f"{purpose} is asked to run on cuda:{index}, this machine has {names}; {instead}")
    gpu = found.gpus[index]
    if not named and len(found.gpus) > 1:
        logging.getLogger(__name__).warning(
            "%s runs on cuda:%d, %s, one of %d GPUs; choose with --device cuda:N", purpose, index, gpu.name, len(found.gpus)
        )
    return gpu


def _gpu(library: Any, index: int) -> Gpu:
    device = _integer(library.cuDeviceGet, index)
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    major, minor = (_integer(library.cuDeviceGetAttribute, attribute, device) for attribute in (_MAJOR, _MINOR))
    said = name.value.decode(errors="replace")
    mig = _MIG.search(said)
    return Gpu(said, f"sm{major}{minor}", memory.value / 1e9, mig[1] if mig else None)


def _release(load: Callable[[str], Any]) -> str | None:
    """The release of the driver, of which CUDA itself does not know."""
    text = ctypes.create_string_buffer(80)
    try:
        library = load(MANAGEMENT_LIBRARY)
        if library.nvmlInit_v2() or library.nvmlSystemGetDriverVersion(text, len(text)):
            return None
        library.nvmlShutdown()
    except (OSError, AttributeError):
        return None
    return text.value.decode(errors="replace")


def _integer(function: Any, *arguments: int) -> int:
    """The integer that a driver function writes to its first argument."""
    value = ctypes.c_int()
    function(ctypes.byref(value), *arguments)
    return value.value
