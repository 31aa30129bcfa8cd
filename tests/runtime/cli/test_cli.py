"""The command line: exit codes, one line per error, data on standard output and talk on standard error."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.cli import COMMANDS, run
from bandrt.manifest import TrainingDomain

Captured = pytest.CaptureFixture[str]


def test_seven_files_of_which_three_are_good_give_three_predictions_and_exit_3(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    assert run(["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3 predicted, 4 failed" in captured.err
    assert "errors.jsonl" in captured.err
    assert len((out / "summary.csv").read_text().splitlines()) == 4
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert sorted(e["code"] for e in errors) == ["cif-syntax", "empty-file", "not-a-crystal", "partial-occupancy"]
    assert all(re.search(rf"^ +1  {e['code']}: {re.escape(e['message'])}$", captured.err, re.M) for e in errors)


def test_all_good_is_exit_0_and_json_is_on_standard_output(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = [str(mixed_folder / "POSCAR"), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine), "--json"]
    assert run(["infer", *arguments]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["counts"]["predicted"] == 1
    assert outcome["status"] == "finished"


def test_resuming_needs_to_be_asked_for(tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["infer", str(mixed_folder), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]
    assert run(arguments) == 3
    capsys.readouterr()
    assert run(arguments) == 2
    assert re.fullmatch(r"error \[output-not-empty\]: .*--resume.*\n", capsys.readouterr().err)
    assert run([*arguments, "--resume"]) == 3
    said = capsys.readouterr().err
    assert "7 inputs were done by earlier runs\n4 of the failures are of earlier runs; --retry-failed tries again\n" in said
    (mixed_folder / "d-empty.cif").write_bytes((mixed_folder / "a-salt.cif").read_bytes())
    assert run([*arguments, "--retry-failed"]) == 3
    assert "4 predicted, 3 failed" in (said := capsys.readouterr().err)
    assert "--retry-failed" not in said
    assert run([*arguments, "--overwrite"]) == 3
    assert run([*arguments, "--overwrite", "--resume"]) == 2


def test_no_input_is_fatal(tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["infer", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]) == 1
    assert capsys.readouterr().err.startswith("error [no-input]: ")


@pytest.mark.parametrize(
    "arguments",
    [["infer"], ["infer", "x.cif"], ["infer", "x.cif", "-o", "out", "--workers", "-1"], ["nonsense"], ["infer", "--nonsense"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: Captured) -> None:
    assert run(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_a_device_that_is_none_is_wrong_usage_and_a_lost_engine_is_fatal_in_one_line(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = ["infer", str(mixed_folder), "-o", str(tmp_path / "out"), "--engine"]
    assert run([*arguments, str(tiny_engine), "--device", "gpu"]) == 2
    assert run([*arguments, str(tmp_path / "none.onnx")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error [unknown-device]: ")
    assert second.startswith("error [engine-not-found]: ")
    assert not (tmp_path / "out").exists()


def test_a_bug_is_one_line_and_a_traceback_in_a_file(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("bandrt.run.pipeline.Batcher.add", broken)
    out = tmp_path / "out"
    assert run(["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error [bug]: ZeroDivisionError: a bug")
    assert "Traceback" in (out / "bandrt-error.log").read_text()
    assert json.loads((out / "run.json").read_text())["status"] == "stopped"
    monkeypatch.undo()
    assert run(["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine), "--overwrite"]) == 3


def test_a_dry_run_writes_nothing(tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["infer", str(mixed_folder), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine), "--dry-run"]
    assert run(arguments) == 0
    assert "inputs: 7" in capsys.readouterr().out
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == 7
    assert not (tmp_path / "out").exists()


def test_a_dry_run_over_earlier_results_says_that_the_run_would_be_refused(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    arguments = ["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine)]
    assert run(arguments) == 3
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    capsys.readouterr()
    assert run([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    refused = f"{out}: is not empty; add --resume to go on, or --overwrite to start again"
    assert f"refused: {refused}\n" in said
    kept = "3 predictions and 4 failures are there: they are kept where inputs have not changed, and all else is predicted"
    assert f"resume: {kept}\n" in said
    assert run([*arguments, "--dry-run", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["refused"], values["resume"]) == (refused, kept)
    assert run([*arguments, "--dry-run", "--resume", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert ("refused" in values, values["resume"]) == (False, kept)
    assert run([*arguments, "--dry-run", "--batch-size", "3", "--json"]) == 0
    assert "would be refused, too: " in json.loads(capsys.readouterr().out)["resume"]
    assert run([*arguments, "--dry-run", "--retry-failed", "--json"]) == 0
    assert "the failures tried again" in json.loads(capsys.readouterr().out)["resume"]
    assert run([*arguments, "--dry-run", "--overwrite", "--json"]) == 0
    assert not {"refused", "resume"} & set(json.loads(capsys.readouterr().out))
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def test_the_end_says_why_inputs_failed(tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("name,cif\nsalt,x\n", encoding="utf-8")
    arguments = ["infer", str(tmp_path), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine), "--structure-column", "cifs"]
    assert run(arguments) == 3
    said = capsys.readouterr().err
    assert "  2  no-cif-column, such as " in said
    assert "a.csv: the table has no column `cifs`, only name, cif\n" in said
    assert run([*arguments, "--resume"]) == 3
    assert "  2  no-cif-column\n" in capsys.readouterr().err


def test_figures_are_drawn_where_they_are_asked_for(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    run(["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine)])
    capsys.readouterr()
    assert run(["plot", str(out), "a-salt", "POSCAR"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "plots" / "a-salt.png"), str(out / "plots" / "POSCAR.png")]
    assert (out / "plots" / "a-salt.png").read_bytes().startswith(b"\x89PNG")
    assert run(["plot", str(out), "a-salt", "-o", str(tmp_path / "one.svg")]) == 0
    assert "<svg" in (tmp_path / "one.svg").read_text()
    assert run(["plot", str(out), "a-salt", "-o", str(tmp_path / "figures"), "--format", "pdf", "--full-walk"]) == 0
    assert (tmp_path / "figures" / "a-salt.pdf").read_bytes().startswith(b"%PDF")
    capsys.readouterr()
    assert run(["plot", str(out), "a-salt", "POSCAR", "-o", str(tmp_path / "two.png")]) == 2
    assert run(["plot", str(out), "a-salt", "-o", str(tmp_path / "two.png"), "--format", "svg"]) == 2
    assert run(["plot", str(out), "c-partial"]) == 1
    assert "partial-occupancy" in capsys.readouterr().err


def test_inspect_says_what_a_model_is(tiny_engine: Path, capsys: Captured) -> None:
    assert run(["inspect", str(tiny_engine)]) == 0
    text = capsys.readouterr().out
    for fact in ("paper, fp32", "latimer_munro, 64 points", "12 neighbours within 8 Å", "PBE", "not verified"):
        assert fact in text
    assert run(["inspect", str(tiny_engine), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variant"] == "paper"


def test_inspect_says_what_was_learned_from_gaps_alone(make_engine: Callable[..., Path], capsys: Captured) -> None:
    domain = TrainingDomain(n_crystals=3, elements=("Na", "Cl"), n_gaps=7, gap_elements=("Br", "Na"), gap_max_atoms=12, n_taught=9)
    assert run(["inspect", str(make_engine(training=domain))]) == 0
    said = capsys.readouterr().out
    assert "7 further crystals, up to 12 atoms, with 1 further elements: Br" in said
    assert "of another engine, 9 further crystals" in said


def test_help_lists_every_command_without_importing_any() -> None:
    code = (
        "import sys; from bandrt.cli import run; code = run(['--help']);"
        "print([m for m in ('numpy', 'onnxruntime', 'gemmi', 'torch', 'bandrt.crystal', 'bandrt_train') if m in sys.modules]);"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_text, imported = done.stdout.splitlines()
    assert imported == "[]"
    for name in COMMANDS:
        assert any(line.strip().startswith(name) for line in help_text)


@pytest.mark.parametrize("name", ["infer", "plot", "convert", "inspect"])
def test_every_command_explains_itself(name: str, capsys: Captured) -> None:
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: bandrt {name} ")


def test_a_command_whose_packages_are_missing_names_the_extra(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def without_torch(name: str, package: str | None = None) -> object:
        if name.startswith(("bandrt_train", "bandrt_export")):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_torch)
    assert run(["train", "fit"]) == 1
    assert "bandrt[train]" in capsys.readouterr().err
    assert run(["export", "x.ckpt"]) == 1
    assert "bandrt[export]" in capsys.readouterr().err


def test_a_package_that_a_command_misses_later_is_named_too(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "x.ckpt"
    checkpoint.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)

    def needs_torch(*_: object, **__: object) -> None:
        import torch  # noqa: F401

    monkeypatch.setattr("bandrt_export.cli.export.command.callback", needs_torch)
    assert run(["export", str(checkpoint), "-o", str(tmp_path / "x.onnx")]) == 1
    assert capsys.readouterr().err.startswith("error [missing-package]: bandrt export needs torch")


def test_the_installed_command_says_its_version() -> None:
    import bandrt

    command = Path(sys.executable).with_name("bandrt")
    if not command.exists():
        pytest.skip("the console script is not beside this Python")
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=True)
    assert bandrt.__version__ in done.stdout


@pytest.fixture
def predicted_out(tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured) -> Path:
    """An output folder with predictions for a-salt, f-galena and POSCAR."""
    out = tmp_path / "out"
    assert run(["infer", str(mixed_folder), "-o", str(out), "--engine", str(tiny_engine)]) == 3
    capsys.readouterr()
    return out


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nosuch", "file-not-found"),
        ("nosuch.cif", "file-not-found"),
        ("notes.txt", "no-input"),
        ("fifo", "no-input"),
        ("fifo.cif", "no-input"),
        ("fifo.csv", "no-input"),
    ],
)
def test_inputs_none_of_which_can_be_read_leave_no_output(
    name: str, code: str, tiny_engine: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    if name.startswith("fifo"):
        os.mkfifo(tmp_path / name)
    assert run(["infer", str(tmp_path / name), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error [{code}]: ")
    assert str(tmp_path / name) in message
    assert ("FIFO" in message) == name.startswith("fifo")
    assert not (tmp_path / "out").exists()


def test_what_was_named_and_cannot_be_opened_is_a_failure_and_the_run_goes_on(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo.cif")
    inputs = [str(tmp_path / "fifo.cif"), str(tmp_path / "nosuch"), str(mixed_folder / "POSCAR")]
    assert run(["infer", *inputs, "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]) == 3
    failures = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert {failure["id"]: failure["code"] for failure in failures} == {"fifo": "not-a-file", "nosuch": "file-not-found"}


def test_one_input_that_is_missing_beside_others_is_a_failure_of_its_own(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    inputs = [str(mixed_folder / "POSCAR"), str(tmp_path / "nosuch.cif")]
    assert run(["infer", *inputs, "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]) == 3
    assert "file-not-found" in capsys.readouterr().err


@pytest.mark.parametrize("how", [[], ["--resume"], ["--overwrite"], ["--dry-run"]], ids=str)
def test_advice_for_a_foreign_folder_does_not_lead_in_circles(
    how: list[str], tiny_engine: Path, mixed_folder: Path, capsys: Captured
) -> None:
    arguments = ["infer", str(mixed_folder / "POSCAR"), "-o", str(mixed_folder), "--engine", str(tiny_engine)]
    assert run([*arguments, *how]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error [output-foreign]: ")
    assert "choose another folder" in message
    assert "--" not in message


def test_a_run_beside_files_of_the_user_is_not_told_to_overwrite(
    predicted_out: Path, mixed_folder: Path, tiny_engine: Path, capsys: Captured
) -> None:
    (predicted_out / "notes.txt").write_text("mine")
    arguments = ["infer", str(mixed_folder), "-o", str(predicted_out), "--engine", str(tiny_engine)]
    assert run(arguments) == 2
    assert "--overwrite" not in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert run([*arguments, "--resume"]) == 3


def test_what_was_left_out_of_a_folder_is_counted_at_the_end(
    tiny_engine: Path, rock_salt: Callable[..., str], tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "crystals"
    folder.mkdir()
    for name in ("a.cif", "b.cube", "c.cube", "OUTCAR"):
        (folder / name).write_text(rock_salt())
    (folder / "t.csv").write_text('id,final\nd,"' + rock_salt().replace('"', '""') + '"\n')
    arguments = ["infer", str(folder), "-o", str(folder / "out"), "--engine", str(tiny_engine), "--structure-column", "final"]
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert "left out: 2 .cube, 1 OUTCAR" in captured.err.splitlines()
    assert "2 predicted, 0 failed" in captured.err


def test_warnings_are_counted_by_code_at_the_end(
    make_engine: Callable[..., Path], rock_salt: Callable[..., str], tmp_path: Path, capsys: Captured
) -> None:
    engine = make_engine(training=TrainingDomain(n_crystals=3, elements=("Na", "Cl")))
    for name, first, second in (("salt", "Na", "Cl"), ("galena", "Pb", "Te"), ("wustite", "Fe", "O"), ("again", "Fe", "O")):
        (tmp_path / f"{name}.cif").write_text(rock_salt(a=3.1, first=first, second=second))
    arguments = ["infer", str(tmp_path), "-o", str(tmp_path / "out"), "--engine", str(engine), "--json"]
    line = "warnings: 3 crystals with unseen-element, 2 with magnetic, 1 with spin-orbit; see the column warnings in summary.csv"
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert line in captured.err.splitlines()
    assert json.loads(captured.out)["warning_codes"] == {"magnetic": 2, "spin-orbit": 1, "unseen-element": 3}
    assert run([*arguments, "--resume"]) == 0
    assert line in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("suffix", ["gif", "jpg", "onnx"])
def test_a_figure_of_an_unknown_kind_is_refused_with_those_there_are(suffix: str, predicted_out: Path, capsys: Captured) -> None:
    target = predicted_out.parent / f"x.{suffix}"
    assert run(["plot", str(predicted_out), "a-salt", "-o", str(target)]) == 2
    assert "*.png, *.svg, *.pdf" in capsys.readouterr().err
    assert not target.exists()


def test_figures_of_an_earlier_time_are_replaced_only_when_asked(predicted_out: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    plots = predicted_out / "plots"
    assert run(["plot", str(predicted_out), "f-galena"]) == 0
    before = (plots / "f-galena.png").stat().st_mtime_ns
    assert run(["plot", str(predicted_out), "a-salt", "f-galena"]) == 2
    assert "error [output-exists]: " in capsys.readouterr().err
    assert [path.name for path in plots.iterdir()] == ["f-galena.png"]
    assert run(["plot", str(predicted_out), "a-salt", "f-galena", "--overwrite"]) == 0
    assert (plots / "f-galena.png").stat().st_mtime_ns > before
    assert len(list(plots.iterdir())) == 2


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("plott", "No such command 'plott'. Did you mean plot?"),
        ("convret", "No such command 'convret'. Did you mean convert?"),
        ("x" * 5000, "No such command 'xxx"),
        ("zzz", "No such command 'zzz'.\n"),
    ],
    ids=["plot", "convert", "long", "none"],
)
def test_of_a_command_that_there_is_not_it_is_said_which_is_meant(word: str, said: str, capsys: Captured) -> None:
    assert run([word, "bands"]) == 2
    found = capsys.readouterr().err
    assert f"Error: {said}" in found
    assert len(found) < 1000


def test_of_an_option_that_there_is_not_it_is_said_which_is_meant(capsys: Captured) -> None:
    assert run(["plot", "bands", "--overwrit"]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (["f-*", "POSCAR"], ["f-galena", "POSCAR"]),
        (["*a*", "a-salt"], ["a-salt", "f-galena"]),
        (["--all"], ["POSCAR", "a-salt", "f-galena"]),
        (["--where", "formula == Si or formula == TePb"], ["f-galena", "POSCAR"]),
        (["*-*", "--where", "n_atoms == 2 and warnings == spin-orbit"], ["f-galena"]),
    ],
    ids=str,
)
def test_figures_are_of_ids_patterns_and_queries(
    choice: list[str], names: list[str], predicted_out: Path, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    assert run(["plot", str(predicted_out), *choice]) == 0
    drawn = [Path(line).stem for line in capsys.readouterr().out.splitlines()]
    assert sorted(drawn) == sorted(names)
    assert {path.stem for path in (predicted_out / "plots").iterdir()} == set(names)


@pytest.mark.parametrize(
    ("choice", "exit_code", "words"),
    [
        ([], 2, "--where"),
        (["z*"], 1, "[unknown-id]"),
        (["--where", "gap > 1"], 2, "band_gap_ev"),
        (["--where", "band_gap_ev > 100"], 1, "[no-predictions]"),
        (["a-salt", "POSCAR", "-o", "x.png"], 2, "one figure"),
    ],
    ids=str,
)
def test_a_choice_of_nothing_is_an_error(
    choice: list[str], exit_code: int, words: str, predicted_out: Path, capsys: Captured
) -> None:
    pytest.importorskip("matplotlib")
    assert run(["plot", str(predicted_out), *choice]) == exit_code
    assert words in capsys.readouterr().err
    assert not (predicted_out / "plots").exists()


def test_many_figures_have_to_be_asked_for(predicted_out: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("bandrt.cli.plot.UNASKED", 1)
    assert run(["plot", str(predicted_out), "*a*"]) == 2
    assert "2 crystals; add --all" in capsys.readouterr().err
    assert run(["plot", str(predicted_out), "*a*", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("command", "name"),
    [(["plot", "a-salt"], "x.png"), (["plot", "a-salt"], "figures"), (["convert", "--to", "hdf5"], "x.h5")],
    ids=str,
)
def test_where_nothing_can_be_written_is_said_before_the_work(
    command: list[str], name: str, predicted_out: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")

    def works(*_: object, **__: object) -> None:
        pytest.fail("it worked")

    monkeypatch.setattr("bandrt.cli.plot.draw", works)
    monkeypatch.setattr("bandrt.cli.convert.convert", works)
    blocked = predicted_out / "summary.csv" / name
    assert run([command[0], str(predicted_out), *command[1:], "-o", str(blocked)]) == 1
    assert "error [output-unwritable]: " in capsys.readouterr().err


def test_a_conversion_replaces_a_file_only_when_asked_and_takes_queries(predicted_out: Path, capsys: Captured) -> None:
    h5py = pytest.importorskip("h5py")
    arguments = ["convert", str(predicted_out), "--to", "hdf5"]
    assert run([*arguments, "--where", "formula == TePb"]) == 0
    target = predicted_out / "bands.h5"
    assert capsys.readouterr().out == f"{target}\n"
    with h5py.File(target) as file:
        assert len(file["id"]) == 1
    assert run(arguments) == 2
    assert "error [output-exists]: " in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 0
    with h5py.File(target) as file:
        assert len(file["id"]) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def piped(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_a_crystal_or_paths_can_be_piped_in_and_resumed(
    tiny_engine: Path, mixed_folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = tmp_path / "out", ["--engine", str(tiny_engine)]
    crystal = (mixed_folder / "a-salt.cif").read_bytes()
    piped(monkeypatch, crystal)
    assert run(["infer", "-", "-o", str(out), *options]) == 0
    assert (out / "summary.csv").read_text().splitlines()[1].split(",")[1] == "stdin"
    assert json.loads((out / "run.json").read_text())["inputs"] == ["-"]
    piped(monkeypatch, crystal)
    assert run(["infer", "-", "-o", str(out), *options, "--resume"]) == 0
    assert "1 input was done by earlier runs\n" in capsys.readouterr().err
    piped(monkeypatch, b"\0".join(bytes(path) for path in (mixed_folder / "a-salt.cif", mixed_folder / "POSCAR")))
    assert run(["infer", "-", "-o", str(tmp_path / "two"), *options]) == 0
    assert "2 predicted" in capsys.readouterr().err
    piped(monkeypatch, crystal)
    assert run(["infer", "-", "-o", str(tmp_path / "dry"), *options, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == 1


@pytest.mark.parametrize("stdin", [Terminal(), None])
def test_nothing_is_read_from_a_terminal(stdin: object, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(["infer", "-", "-o", str(tmp_path / "out")]) == 2
    assert "nothing is piped in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_standard_input_stands_alone_and_may_not_be_empty(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["infer", "-", "more", "-o", str(tmp_path / "out")]) == 2
    assert "./-" in capsys.readouterr().err
    piped(monkeypatch, b"\n")
    assert run(["infer", "-", "-o", str(tmp_path / "out")]) == 1
    assert "error [no-input]: stdin: nothing was piped in" in capsys.readouterr().err
