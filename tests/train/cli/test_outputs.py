"""Commands of training find out before they work that they cannot write, and replace nothing unasked."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.computed.documents import DocumentText
from bandrt.engine import SHIPPED_ENGINES
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.data.dataset import Dataset
from bandrt_train.fit.run import fit
from tests.support.small_fits import CONFIG

Captured = pytest.CaptureFixture[str]
Arguments = Callable[[str], list[str]]


@pytest.fixture
def arguments(data: Dataset, tmp_path: Path) -> Arguments:
    """A command that would work if it got that far, all but its ``-o``."""
    for name in ("a.pt", "b.pt", "labels.jsonl", "report.json", "config.toml", "key"):
        (tmp_path / name).write_text("{}\n", encoding="utf-8")
    words = {
        "dataset": [tmp_path / "labels.jsonl"],
        "fit": [tmp_path / "config.toml", "--data", data.folder],
        "ensemble": [tmp_path / "a.pt", tmp_path / "b.pt", "--data", data.folder],
        "evaluate": [tmp_path / "a.pt", data.folder],
        "card": [SHIPPED_ENGINES["fast"], tmp_path / "report.json"],
        "download": ["--all", "--key-file", tmp_path / "key"],
    }
    return lambda command: ["train", command, *map(str, words[command])]


@pytest.mark.parametrize("command", ["dataset", "fit", "ensemble", "evaluate", "card", "download"])
def test_a_place_inside_a_file_is_refused(command: str, arguments: Arguments, tmp_path: Path, capsys: Captured) -> None:
    assert run([*arguments(command), "-o", str(tmp_path / "a.pt" / "out")]) == 1
    assert capsys.readouterr().err.startswith("error [output-unwritable]: ")


@pytest.mark.parametrize("command", ["dataset", "fit", "evaluate", "download"])
def test_a_file_is_refused_where_a_folder_is_written(command: str, arguments: Arguments, tmp_path: Path, capsys: Captured) -> None:
    assert run([*arguments(command), "-o", str(tmp_path / "a.pt")]) == 2
    assert capsys.readouterr().err.startswith("error [output-not-a-folder]: ")


@pytest.mark.parametrize("command", ["ensemble", "card"])
def test_what_is_there_is_kept(command: str, arguments: Arguments, tmp_path: Path, capsys: Captured) -> None:
    assert run([*arguments(command), "-o", str(tmp_path / "b.pt")]) == 2
    assert capsys.readouterr().err.startswith("error [output-exists]: ")
    assert run([*arguments(command), "-o", str(tmp_path), "--overwrite"]) == 2
    assert capsys.readouterr().err.startswith("error [output-not-a-file]: ")
    assert (tmp_path / "b.pt").read_text(encoding="utf-8") == "{}\n"


def test_a_report_that_is_there_is_kept(arguments: Arguments, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    report = tmp_path / "report" / "report.json"
    report.parent.mkdir()
    report.write_text('{"format_version": 1, "sets": [1], "model": {"file": "a"}}', encoding="utf-8")
    assert run([*arguments("evaluate"), "-o", str(report.parent)]) == 2
    assert capsys.readouterr().err.startswith(f"error [output-exists]: {report}")


@pytest.mark.parametrize("name", ["config.json", "report.json", "ids.txt", "dataset.json", "build.json"])
@pytest.mark.parametrize("command", ["dataset", "fit", "evaluate"])
def test_a_file_of_a_name_that_we_use_too_makes_no_folder_ours(
    name: str, command: str, arguments: Arguments, tmp_path: Path, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text('{"theirs": 1}', encoding="utf-8")
    for how in ([], ["--overwrite"]):
        assert run([*arguments(command), "-o", str(tmp_path / "theirs"), *how]) == 2
        assert capsys.readouterr().err.startswith("error [output-foreign]: ")
    assert (tmp_path / "theirs" / name).read_text(encoding="utf-8") == '{"theirs": 1}'


def test_a_download_goes_into_a_folder_of_its_own(arguments: Arguments, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.json.gz").touch()
    assert run([*arguments("download"), "-o", str(tmp_path / "theirs")]) == 2
    assert capsys.readouterr().err.startswith("error [output-foreign]: ")


@pytest.mark.parametrize("command", ["dataset", "fit", "evaluate"])
def test_a_foreign_folder_is_refused_whatever_is_asked(
    command: str, arguments: Arguments, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine", encoding="utf-8")
    for how in ([], ["--overwrite"]):
        assert run([*arguments(command), "-o", str(tmp_path / "theirs"), *how]) == 2
        message = capsys.readouterr().err
        assert message.startswith("error [output-foreign]: ")
        assert "choose another" in message
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("bands.jsonl", "{}\n[1]\n", "none of 2 documents can be used; the first: [malformed] "),
        ("bands.jsonl", "", "there is no document"),
        ("gaps.csv", "material_id,cif,band_gap_pbe_ev\na,x,1\n", "none of 1 documents can be used; the first: [not-a-crystal] "),
        ("GAPS.CSV", "material_id,cif,band_gap_pbe_ev\n", "there is no document"),
    ],
)
@pytest.mark.parametrize("there", [True, False], ids=["empty folder", "no folder"])
def test_a_data_set_of_nothing_is_an_error_and_leaves_nothing(
    name: str, text: str, words: str, there: bool, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    out = tmp_path / "data"
    if there:
        out.mkdir()
    assert run(["train", "dataset", str(tmp_path / name), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error [no-input]: ")
    assert words in said.err
    assert said.out == ""
    assert out.exists() == there
    assert not there or list(out.iterdir()) == []


def test_a_model_card_needs_no_torch(tmp_path: Path) -> None:
    report = {"format_version": 1, "sets": [{}], "model": {"file": "a.onnx", "sha256": "0" * 64, "checkpoint_sha256": "1" * 64}}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    arguments = ["train", "card", str(SHIPPED_ENGINES["fast"]), str(tmp_path / "report.json"), "-o", str(tmp_path / "CARD.md")]
    code = f"import sys; sys.modules['torch'] = None; from bandrt.cli import run; sys.exit(run({arguments!r}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("error [other-model]: a report is about a.onnx")


def test_a_comparison_of_runs_needs_no_torch(data: Dataset, tmp_path: Path) -> None:
    fitted = fit(replace(CONFIG, epochs=1), data, tmp_path / "run")
    arguments = ["train", "compare", f"mine={tmp_path / 'run'}", "--json"]
    code = f"import sys; sys.modules['torch'] = None; from bandrt.cli import run; sys.exit(run({arguments!r}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    [row] = json.loads(ended.stdout)
    state = load_checkpoint(fitted.checkpoint).state
    assert row["n_parameters"] == sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    assert row["mean"]["energy_mae_ev"] == pytest.approx(fitted.validation.total.energy_mae_ev)


@pytest.mark.parametrize("name", ["bands.jsonl", "gaps.csv"])
def test_sources_that_cannot_be_used_leave_an_earlier_data_set(name: str, data: Dataset, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "data"
    shutil.copytree(data.folder, out)
    (tmp_path / name).write_text("material_id,cif,band_gap_pbe_ev\na,x,1\n" if name.endswith("csv") else "{}\n", encoding="utf-8")
    assert run(["train", "dataset", str(tmp_path / name), "-o", str(out), "--overwrite"]) == 1
    assert capsys.readouterr().err.startswith("error [no-input]: ")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {p.name: p.read_bytes() for p in data.folder.iterdir()}


def test_an_earlier_data_set_gives_way_to_the_first_entry(data: Dataset, label_texts: list[DocumentText], tmp_path: Path) -> None:
    sources, out = tmp_path / "labels.jsonl", tmp_path / "data"
    sources.write_text("{}\n" + "".join(text.text.strip() + "\n" for text in label_texts[:4]), encoding="utf-8")
    arguments = ["train", "dataset", str(sources), "--n-kpoints", "32"]
    shutil.copytree(data.folder, out)
    assert run([*arguments, "-o", str(out), "--overwrite"]) == 0
    assert run([*arguments, "-o", str(tmp_path / "fresh")]) == 0
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "fresh").iterdir()}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == fresh


def test_a_table_that_is_none_leaves_no_data_set_behind(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert run(["train", "dataset", str(tmp_path / "table.csv"), "-o", str(tmp_path / "gaps")]) == 1
    assert capsys.readouterr().err.startswith("error [not-a-gap-table]: ")
    assert not (tmp_path / "gaps").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("gaps.csv", "bands.jsonl"), "gaps.csv makes a data set of gaps: give it alone, or with other tables of gaps"),
        (("gaps.csv", "graphs.pt"), "graphs.pt makes a data set of its own: give it alone"),
    ],
)
def test_sources_of_two_kinds_are_not_put_into_one_data_set(
    names: tuple[str, ...], words: str, tmp_path: Path, capsys: Captured
) -> None:
    paths = [tmp_path / name for name in names]
    assert run(["train", "dataset", *map(str, paths), "-o", str(tmp_path / "data")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_tables_of_gaps_make_one_data_set(examples: Path, tmp_path: Path, capsys: Captured) -> None:
    cif = (examples / "GaAs_mp-8883.cif").read_text(encoding="utf-8")
    tables = [tmp_path / "one.csv", tmp_path / "two.csv.gz"]
    for table in tables:
        with gzip.open(table, "wt") if table.suffix == ".gz" else table.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("material_id", "band_gap_pbe_ev", "weight", "cif"))
            writer.writerow((table.name, "0.2", "0.5", cif))
    assert run(["train", "dataset", *map(str, tables), "-o", str(tmp_path / "data"), "-q"]) == 0
    assert capsys.readouterr().out.startswith("2 crystals in ")
