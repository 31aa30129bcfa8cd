"""The command line: exit codes, one line per error, data on standard output and talk on standard error."""

from __future__ import annotations

import json
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
    assert all(re.search(rf"^ +1  {e['code']}$", captured.err, re.M) for e in errors)


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
    assert "7 inputs were done by earlier runs" in capsys.readouterr().err
    (mixed_folder / "d-empty.cif").write_bytes((mixed_folder / "a-salt.cif").read_bytes())
    assert run([*arguments, "--retry-failed"]) == 3
    assert "4 predicted, 3 failed" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 3
    assert run([*arguments, "--overwrite", "--resume"]) == 2


def test_no_input_is_fatal(tiny_engine: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["infer", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine)]) == 1
    assert capsys.readouterr().err.startswith("error [no-input]: ")


@pytest.mark.parametrize(
    "arguments",
    [["infer"], ["infer", "x.cif"], ["infer", "x.cif", "-o", "out", "--workers", "0"], ["nonsense"], ["infer", "--nonsense"]],
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

    monkeypatch.setattr("bandrt.run.pipeline.featurize_crystals", broken)
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
    domain = TrainingDomain(n_crystals=3, elements=("Na", "Cl"), n_gaps=7, gap_elements=("Br", "Na"), gap_max_atoms=12)
    assert run(["inspect", str(make_engine(training=domain))]) == 0
    assert "7 further crystals, up to 12 atoms, with 1 further elements: Br" in capsys.readouterr().out


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
