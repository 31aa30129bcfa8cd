"""Where something was run: what results, benchmarks and `bandrt doctor` say of a machine."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processor() -> str:
    """Model of the processor, as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def package_versions(names: Iterable[str], version_of: Callable[[str], str] = version) -> dict[str, str | None]:
    """Versions of packages by their names on the index, without importing them; None for what is not installed."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            found[name] = None
    return found
