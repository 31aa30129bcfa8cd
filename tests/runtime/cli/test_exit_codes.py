"""Exit codes: 1 for what was named and is not there, 2 for what another choice of options avoids."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.engine.onnx.file import with_checksum

Captured = pytest.CaptureFixture[str]


def refused(arguments: list[str], capsys: Captured) -> tuple[int, str]:
    """Exit code and error code of a command, which says one line on standard error and nothing else."""
    ended = run(arguments)
    said = capsys.readouterr()
    found = re.fullmatch(r"error \[([a-z-]+)\]: .+\n", said.err)
    assert found, said.err
    assert said.out == ""
    return ended, found[1]


@pytest.fixture
def crystal(examples: Path) -> str:
    return str(examples / "GaAs_mp-8883.cif")


@pytest.mark.parametrize("command", [["inspect"], ["bench", "--engine"]], ids=" ".join)
@pytest.mark.parametrize("name", ["lost.onnx", "lost.plan", "folder.onnx"])
def test_a_lost_engine_is_fatal(command: list[str], name: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "folder.onnx").mkdir()
    assert refused([*command, str(tmp_path / name)], capsys) == (1, "engine-not-found")


def test_a_run_without_its_engine_is_fatal_and_leaves_nothing(crystal: str, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["infer", crystal, "-o", str(tmp_path / "out"), "--engine", str(tmp_path / "lost.onnx")]
    assert refused(arguments, capsys) == (1, "engine-not-found")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lost.cif", "lost", "lost.csv", "lost.zip"])
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_lost_input_is_fatal_and_leaves_nothing(
    name: str, more: list[str], tiny_engine: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = ["infer", str(tmp_path / name), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine), *more]
    assert refused(arguments, capsys) == (1, "file-not-found")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_crystal_to_time_is_fatal(tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    assert refused(["bench", str(tmp_path / "lost.cif"), "--engine", str(tiny_engine)], capsys) == (1, "file-not-found")


@pytest.mark.parametrize("command", [["plot", "{}", "a"], ["convert", "{}", "--to", "pymatgen"]], ids=lambda c: c[0])
@pytest.mark.parametrize("name", ["lost", "file"])
def test_lost_results_are_fatal(command: list[str], name: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    arguments = [word.format(tmp_path / name) for word in command]
    assert refused(arguments, capsys) == (1, "output-not-found")


def test_an_output_in_the_way_is_wrong_usage(crystal: str, tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    arguments = ["infer", crystal, "--engine", str(tiny_engine), "-o"]
    assert refused([*arguments, str(tmp_path / "file")], capsys) == (2, "output-not-a-folder")
    assert refused([*arguments, str(tmp_path / "folder"), "--resume"], capsys) == (2, "output-foreign")
    assert refused([*arguments, str(tmp_path / "folder"), "--overwrite"], capsys) == (2, "output-foreign")
    assert run([*arguments, str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert refused([*arguments, str(tmp_path / "out")], capsys) == (2, "output-not-empty")


def test_results_of_another_engine_are_in_the_way(crystal: str, tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(with_checksum(tiny_engine.read_bytes() + b"\x72\x00"))  # an empty metadata entry: another file
    arguments = ["infer", crystal, "-o", str(tmp_path / "out"), "--engine"]
    assert run([*arguments, str(tiny_engine)]) == 0
    capsys.readouterr()
    assert refused([*arguments, str(other), "--resume"], capsys) == (2, "engine-differs")


def test_an_option_that_does_not_fit_is_wrong_usage(crystal: str, tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["infer", crystal, "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]
    assert refused([*arguments, "--device", "gpu"], capsys) == (2, "unknown-device")
    assert run([*arguments, "--threads", "0"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_file_larger_than_the_system_allows_is_no_bug(tmp_path: Path, examples: Path) -> None:
    """As a full disk or quota is none; nothing of the file is left."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    script = f"{limited}; from bandrt.cli import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["dos", str(examples / "MgO_mp-1265.vasp"), "-o", str(tmp_path / "dos.json")]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error [system-refused]: ")) == (1, True), done.stderr
    assert "dos.json" in done.stderr
    assert list(tmp_path.iterdir()) == []
