"""A path that begins with ``~`` leads home, wherever a path is taken; what is not there says what a pattern is for."""

from __future__ import annotations

from pathlib import Path

import pytest

import bandrt
from bandrt.cli import run
from bandrt.files import from_home
from bandrt.sources import find
from tests.support.cif_texts import cif_cell, cif_sites

SALT = "data_NaCl\n_symmetry_space_group_name_H-M 'F m -3 m'\n" + cif_cell("5.69") + cif_sites("Na Na 0 0 0", "Cl Cl 0.5 0.5 0.5")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a crystal in it, seen from a folder beside it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "home" / "salt.cif").write_text(SALT, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_only_the_beginning_of_a_path_leads_home(home: Path) -> None:
    assert from_home("~/a") == str(home / "a")
    assert from_home("~") == str(home)
    assert [from_home(path) for path in ("a~", "./~/a", "/~", "~nobody-is-called-so/a")] == [
        "a~",
        "./~/a",
        "/~",
        "~nobody-is-called-so/a",
    ]


def test_a_file_here_that_is_called_so_is_meant(home: Path) -> None:
    Path("~").mkdir()
    assert from_home("~/a") == "~/a"


def test_python_reads_from_home(home: Path) -> None:
    assert bandrt.featurize("~/salt.cif").crystal.formula == "NaCl"
    assert bandrt.featurize(Path("~/salt.cif")).crystal.formula == "NaCl"
    assert [source.path for source in find("~")] == [str(home / "salt.cif")]
    [result] = bandrt.load().predict("~/salt.cif")
    assert (result.id, result.path) == ("salt", str(home / "salt.cif"))


def test_the_command_line_reads_and_writes_at_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["infer", "~/salt.cif", "--out=~/bands", "--workers", "0"]) == 0
    assert (home / "bands" / "summary.csv").is_file()
    assert list(Path().iterdir()) == []
    assert bandrt.read_one("~/bands", "salt").crystal.formula == "NaCl"
    assert run(["plot", "~/bands", "salt", "-o", "~/salt.png"]) == 0
    assert capsys.readouterr().out == f"{home / 'salt.png'}\n"


@pytest.mark.parametrize("pattern", ["*.cif", "salt?.cif", "[ab].cif"])
def test_a_pattern_that_no_shell_read_is_explained(home: Path, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(bandrt.InputError, match="no such file; a pattern is for the shell, without quotes") as refused:
        bandrt.featurize(pattern)
    assert refused.value.code == "file-not-found"
    assert run(["infer", pattern, "-o", "bands"]) == 1
    assert "and in Python for pathlib.Path.glob" in capsys.readouterr().err
