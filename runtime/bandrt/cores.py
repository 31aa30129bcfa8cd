"""How many cores this process may use: those it is bound to, within the quota of the container or batch job it runs in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows groups of processes and what each may use."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""The groups of this process, a line ``number:controllers:/path`` for each hierarchy; that of version 2 names no controllers."""


def available_cores(*, cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Cores this process may use, which in a batch job or a container are fewer than the machine has; part of a core counts as one.

    Args:
        cgroups: where groups are mounted.
        own: which are this process's.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([bound, *(max(1, math.ceil(quota)) for quota in _quotas(cgroups, own))])


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Every quota on this process, in cores: its group's and those of the groups around it."""
    try:
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            mounts, quota_of = [cgroups, cgroups / "unified"], _quota_of_version_2
        elif "cpu" in controllers.split(","):
            mounts, quota_of = [cgroups / controllers, cgroups / "cpu"], _quota_of_version_1
        else:
            continue
        inside = Path(path.lstrip("/"))
        for mount in mounts:
            for group in (inside, *inside.parents):  # in a container, the path may be one outside it: then only the mount is there
                if (quota := quota_of(mount / group)) is not None:
                    yield quota


def _quota_of_version_2(group: Path) -> float | None:
    """``cpu.max`` is ``200000 100000``, microseconds in each period, or ``max 100000``."""
    return _ratio(_words(group / "cpu.max"))


def _quota_of_version_1(group: Path) -> float | None:
    """The same in two files; a quota of -1 is none."""
    return _ratio(_words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []


def _ratio(words: list[str]) -> float | None:
    """Cores, by a quota and a period; None where there is no such quota."""
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if period else None
