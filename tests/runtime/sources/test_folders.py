"""What in folders is no file: told, and never opened."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

import bandrt
from bandrt.errors import BandrtError, InputError
from bandrt.readers import to_crystal
from bandrt.sources import count, find, left_out
from bandrt.sources.textbook import TEXTBOOK, cif

COPPER = cif(TEXTBOOK[0])


def codes(*paths: Path) -> dict[str, str]:
    def code(source: bandrt.sources.Source) -> str:
        try:
            return source.read().formula
        except InputError as error:
            return error.code

    return {source.id: code(source) for source in find(paths)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one crystal, and a place beside it."""
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "Cu.cif").write_text(COPPER)
    return tmp_path / "all"


def test_fifos_sockets_and_devices_are_told_and_not_opened(folder: Path) -> None:
    for name in ("a.cif", "a.csv", "a.zip", "a.tar", "a.extxyz", "a.db", "a.traj", "a.json"):
        os.mkfifo(folder / name)
    os.mkfifo(folder.parent / "outside")
    (folder / "b.cif").symlink_to("../outside")
    (folder / "zero.cif").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listening.bind("s.cif")
        finally:
            os.chdir(here)
    found = codes(folder)
    assert found.pop("Cu") == "Cu"
    assert set(found.values()) == {"not-a-file"}
    assert len(found) == 9  # those of ASE are not ours unless they begin as ASE's do
    assert count(folder) == 10


def test_a_fifo_that_is_named_is_told(folder: Path) -> None:
    os.mkfifo(folder / "a.cif")
    with pytest.raises(BandrtError, match="is a FIFO") as caught:
        find(folder / "a.cif")
    assert caught.value.code == "no-input"
    with pytest.raises(InputError, match="is a FIFO") as refused:
        to_crystal(folder / "a.cif")
    assert refused.value.code == "not-a-file"


def test_links_in_a_circle_and_to_nothing_are_told(folder: Path) -> None:
    (folder / "a.cif").symlink_to("b")
    (folder / "b").symlink_to("a.cif")
    (folder / "self").symlink_to(".")
    (folder / "gone.cif").symlink_to("nowhere")
    (folder / "batch").symlink_to("not-mounted")
    assert codes(folder) == {"Cu": "Cu", "a": "unreadable", "gone": "file-not-found"}
    assert left_out(folder) == {"(broken link)": 2}
    with pytest.raises(BandrtError, match="is a link to nowhere, which is not there"):
        find(folder / "gone.cif")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list every folder")
def test_a_folder_that_may_not_be_listed_is_told(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0)
    assert codes(folder) == {"Cu": "Cu", "closed": "unreadable"}


def test_a_folder_that_cannot_be_listed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "closed").mkdir()

    def scandir(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr("os.scandir", scandir)
    assert codes(folder) == {"Cu": "Cu", "closed": "unreadable"}


def test_a_file_that_vanishes_is_told(folder: Path) -> None:
    (folder / "a.cif").write_text(COPPER)
    sources = list(find(folder))
    (folder / "a.cif").unlink()
    with pytest.raises(InputError) as caught:
        sources[1].read()
    assert caught.value.code == "file-not-found"


def test_folders_may_be_nested_deeper_than_python_calls(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        for _ in range(300):
            os.chdir("..")
        Path("Cu.cif").write_text(COPPER)
        found = codes(tmp_path)
        Path("Cu.cif").unlink()
        for _ in range(300):
            os.chdir("d")
        for _ in range(1200):  # whoever tidies up after tests calls itself for each folder
            os.chdir("..")
            os.rmdir("d")
    finally:
        os.chdir(here)
    assert found["Cu"] == "Cu"
    assert sorted(found.values()) in (["Cu"], ["Cu", "unreadable"])  # the whole path may be longer than the system takes


HOSTILE_IDS = [
    "\ud800x",
    "a\x1b]0;b\x07",
    "a\rb\nc",
    "a\x00",
    "\x9b31m",
    "a\u2028b\u2029c",
    "\u202egnp",
    "=cmd|' /C'!A0",
    "+1",
    "-1",
    "@x",
]


def test_ids_and_paths_of_any_bytes_are_printable_and_unique(folder: Path) -> None:
    lines = [json.dumps({"id": name, "cif": COPPER}) for name in [*HOSTILE_IDS, "\\ud800x"]]
    (folder / "t.jsonl").write_text("\n".join(lines))
    Path(os.fsdecode(bytes(folder) + b"/\xff\x1b.cif")).write_text(COPPER)
    sources = list(find(folder))
    assert [source.id for source in sources] == [
        "Cu", r"\ud800x", r"a\x1b]0;b\x07", r"a\x0db\x0ac", r"a\x00", r"\x9b31m", r"a\u2028b\u2029c", r"\u202egnp", "=cmd|' /C'!A0",
        "+1", "-1", "@x", "t.jsonl:12", r"\udcff\x1b",
    ]  # fmt: skip
    assert all(source.id.isprintable() and source.path.isprintable() for source in sources)
    assert all(source.read().formula == "Cu" for source in sources)
