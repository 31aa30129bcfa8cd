"""The lock of an output folder: of a path, not of what stands there at the moment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bandrt.errors import OutputError
from bandrt.results.lock import FolderLock

pytest.importorskip("fcntl")


def held(folder: Path) -> FolderLock:
    lock = FolderLock(folder)
    folder.mkdir(exist_ok=True)
    lock.hold()
    return lock


def refused(folder: Path) -> None:
    with pytest.raises(OutputError) as caught:
        held(folder)
    assert caught.value.code == "output-locked"


def test_a_second_run_is_not_let_in_until_the_first_has_ended(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lock = held(out)
    refused(out)
    lock.release()
    held(out).release()
    assert sorted(tmp_path.iterdir()) == [out], "nothing is left beside the folder"


def test_a_second_run_is_not_let_in_when_the_folder_was_deleted_and_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lock = held(out)
    shutil.rmtree(out)
    refused(out)
    out.mkdir()
    refused(out)
    lock.release()
    held(out).release()


def test_another_way_to_the_folder_is_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lock = held(out)
    (tmp_path / "link").symlink_to(out)
    refused(tmp_path / "link")
    lock.release()


def test_a_dead_run_locks_nobody_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os; from pathlib import Path; from bandrt.results.lock import FolderLock;"
        f"out = Path({str(out)!r}); lock = FolderLock(out); out.mkdir(); lock.hold(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert len(list(tmp_path.iterdir())) == 2, "the file of the dead run is still there"
    held(out).release()
    assert sorted(tmp_path.iterdir()) == [out]


def test_a_folder_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lock = held(out)
    lock.require_there()
    shutil.rmtree(out)
    for replace in (lambda: None, out.mkdir):
        replace()
        with pytest.raises(OutputError) as caught:
            lock.require_there()
        assert caught.value.code == "output-removed"
    lock.release()
