"""Which CUDA the installed wheels are of, and whether the driver is new enough for them.

A driver runs programs of every older CUDA, and of every minor release of its own major one.
Source: docs.nvidia.com/deploy/cuda-compatibility.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from types import MappingProxyType

from bandrt.engine import cuda_driver
from bandrt.engine.cuda_driver import Driver
from bandrt.errors import EngineError

OLDEST_DRIVERS: Mapping[int, str] = MappingProxyType({11: "450", 12: "525", 13: "580"})
"""The first driver release for each CUDA, on Linux."""
_IN_NAME = re.compile(r".*-cu(\d+)$")
_IN_REQUIREMENT = re.compile(r"(?:tensorrt[-_]cu|nvidia-cuda-runtime-cu|nvidia-cuda-runtime\W+)(\d+)")


def cuda_of(
    package: str,
    version_of: Callable[[str], str] = version,
    requirements_of: Callable[[str], list[str] | None] = requires,
) -> int | None:
    """The major version of the CUDA that an installed package is built for; None if it is not installed, or does not say.

    Args:
        package: as pip knows it.
        version_of: gives the version of an installed package.
        requirements_of: gives its requirements.
    """
    try:
        installed, needed = version_of(package), requirements_of(package) or []
    except PackageNotFoundError:
        return None
    if package == "cuda-bindings":
        return int(installed.partition(".")[0])
    found = _IN_NAME.match(package) or next(filter(None, map(_IN_REQUIREMENT.match, needed)), None)
    return int(found[1]) if found else None


def too_old(driver: Driver, wheels: Mapping[str, int | None]) -> str | None:
    """Why a driver does not run some packages, and what to do; None if it does.

    Args:
        driver: of the machine.
        wheels: the CUDA of each package, as `cuda_of` says it.
    """
    newer = {package: cuda for package, cuda in wheels.items() if cuda is not None and cuda > int(driver.cuda.partition(".")[0])}
    if not newer:
        return None
    named = ", ".join(f"{package} of CUDA {cuda}" for package, cuda in newer.items())
    release = OLDEST_DRIVERS.get(max(newer.values()))
    to = f" to {release} or newer" if release else ""
    return f"the NVIDIA driver is for CUDA {driver.cuda} and does not run {named}; update it{to}"


def require_driver(packages: Iterable[str], *, purpose: str, instead: str) -> None:
    """Refuse a driver that is older than the CUDA of some packages, before they are loaded: TensorRT would end Python.

    Args:
        packages: as pip knows them.
        purpose: what needs them, as the beginning of a sentence.
        instead: what else to do.

    Raises:
        EngineError: ``device-unavailable``.
    """
    driver = cuda_driver.find_driver()
    reason = too_old(driver, {package: cuda_of(package) for package in packages}) if isinstance(driver, Driver) else None
    if reason is not None:
        raise EngineError("device-unavailable", f"{purpose} cannot run: {reason}, or {instead}")
