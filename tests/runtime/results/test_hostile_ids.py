"""Ids that attack a terminal, a spreadsheet or a file format go through a whole run and come back as they were given."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bandrt
from bandrt.cli import run
from bandrt.results.choice import choose
from bandrt.results.summary import cell_of, text_of
from bandrt.sources.textbook import TEXTBOOK, cif

COPPER = cif(TEXTBOOK[0])
IDS = ["\ud800x", "a\x1b]0;b\x07", "a\nb", "a\x00", "\x9b31m", "a\u2028b", "=cmd|' /C'!A0", "+1", "-1", "@x", "'q", "$x^$", "<b>"]
STORED = [
    r"\ud800x", r"a\x1b]0;b\x07", r"a\x0ab", r"a\x00", r"\x9b31m", r"a\u2028b", "=cmd|' /C'!A0", "+1", "-1",
    "@x", "'q", "$x^$", "<b>",
]  # fmt: skip


@pytest.fixture(scope="module")
def results(tiny_engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    rows = [{"id": name, "cif": COPPER} for name in IDS] + [{"id": f"{name} bad", "cif": f"data_\x1b[2J{name}"} for name in IDS]
    (folder / "t\x1b[31m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "x.\x1b[31m").write_text("not for us")
    command = ["infer", str(folder), "-o", str(folder / "out"), "--engine", str(tiny_engine), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "bandrt", *command], capture_output=True, check=False)
    assert done.returncode == 3, done.stderr
    assert b"left out" in done.stderr
    assert not set(done.stderr + done.stdout) & {0x1B, 0x07, 0x00, 0x0D}
    return folder / "out"


def test_they_are_read_back_as_they_were_found(results: Path) -> None:
    assert [prediction.id for prediction in bandrt.read(results)] == STORED
    failures = [json.loads(line) for line in (results / "errors.jsonl").read_text("utf-8").splitlines()]
    assert [failure["id"] for failure in failures] == [f"{name} bad" for name in STORED]
    assert all(text.isprintable() for failure in failures for text in failure.values() if isinstance(text, str))


def test_a_spreadsheet_computes_none_of_them_and_each_is_found_by_its_cell(results: Path) -> None:
    with (results / "summary.csv").open(newline="", encoding="utf-8") as file:
        cells = [row["id"] for row in csv.DictReader(file)]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert [text_of(cell) for cell in cells] == STORED
    for name, cell in zip(STORED, cells, strict=True):
        assert [one.id for one in choose(results, [name])] == [name]
        assert [one.id for one in choose(results, [cell])] == [name]


@pytest.mark.parametrize("text", ["", "=1", "'=1", "''=1", "'", "a", "+", "it's"])
def test_a_cell_is_read_as_the_text_that_it_was_written_from(text: str) -> None:
    assert text_of(cell_of(text)) == text
    assert not cell_of(text).startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("kind", ["pymatgen", "hdf5", "parquet"])
def test_they_are_converted(results: Path, kind: str) -> None:
    pytest.importorskip({"hdf5": "h5py", "parquet": "pyarrow"}.get(kind, "pymatgen"))
    assert run(["convert", str(results), "--to", kind]) == 0


def test_they_are_drawn(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run(["plot", str(results), "--all", "-o", str(tmp_path / "figures"), "--format", "svg"]) == 0
    assert len(list((tmp_path / "figures").iterdir())) == len(STORED)
