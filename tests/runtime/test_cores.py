"""Cores are those that the process is bound to, within the quota of its group, whatever version of Linux's groups that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bandrt.cores import available_cores


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/\n", {}, 8),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "400000 100000\n"}, 3),
        ("0::/docker/outside\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "5:cpu,cpuacct:/a\n1:memory:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        ("5:cpuacct,cpu:/a\n0::/a\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("5:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("5:cpuset:/\n", {"cpu.max": "100000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "garbage"}, 8),
        ("0::/\n", {"cpu.max": "100000 0"}, 8),
        ("odd", {"cpu.max": ""}, 8),
    ],
)
def test_a_quota_counts_as_cores(
    own: str, files: Mapping[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert available_cores(cgroups=tmp_path / "groups", own=tmp_path / "own") == expected


def test_without_groups_the_cores_it_is_bound_to_are_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert available_cores(cgroups=tmp_path / "none", own=tmp_path / "neither") == 2


def test_there_is_a_core_here() -> None:
    assert available_cores() >= 1
