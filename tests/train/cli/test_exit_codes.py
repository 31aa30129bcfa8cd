"""Exit codes of training and export: 1 for what was named and is not there, 2 for what another choice of options avoids."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.engine import SHIPPED_ENGINES
from bandrt_train.data.dataset import Dataset
from bandrt_train.weights import SHIPPED_CHECKPOINTS

Captured = pytest.CaptureFixture[str]
LOST_FILES = {
    "train dataset {lost} -o {out}": "file-not-found",
    "train dataset {lost}.csv -o {out}": "file-not-found",
    "train dataset {lost}.pt -o {out}": "file-not-found",
    "train download -o {out} --all --key-file {lost}": "file-not-found",
    "train download -o {out} --ids {lost} --key-file {config}": "file-not-found",
    "train fit {lost} --data {data} -o {out}": "file-not-found",
    "train fit {config} --data {lost} -o {out}": "dataset-not-found",
    "train fit {config} --data {data} --gaps {lost} -o {out}": "dataset-not-found",
    "train fit {config} --data {data} --from {lost} -o {out}": "checkpoint-not-found",
    "train ensemble {shipped} {lost} --data {data} -o {out}": "checkpoint-not-found",
    "train ensemble {shipped} {shipped} --data {lost} -o {out}": "dataset-not-found",
    "train evaluate {lost} {data}": "checkpoint-not-found",
    "train evaluate {lost}.onnx {data}": "engine-not-found",
    "train evaluate {shipped} {lost}": "dataset-not-found",
    "train evaluate {shipped} {data} --training {lost}": "dataset-not-found",
    "train compare {lost}": "file-not-found",
    "train card {lost} {config} -o {out}": "engine-not-found",
    "train card {engine} {lost} -o {out}": "file-not-found",
    "export {lost} -o {out}.onnx": "checkpoint-not-found",
    "verify {lost}.onnx --against {shipped}": "engine-not-found",
    "verify {engine} --against {lost}": "checkpoint-not-found",
    "verify {engine} --against {lost}.onnx": "engine-not-found",
    "bench --checkpoint {lost}": "checkpoint-not-found",
}
"""Commands that are given one name where nothing is, and how each says so."""


@pytest.fixture
def names(data: Dataset, tmp_path: Path) -> dict[str, Path]:
    """What commands are made of, by the words in their descriptions."""
    config = tmp_path / "tiny.toml"
    config.write_text("epochs = 1\n[model]\nd_model = 12\nn_heads = 2\nn_kpoints = 32\n", encoding="utf-8")
    places = {"lost": tmp_path / "lost", "out": tmp_path / "out"}
    return places | {
        "config": config,
        "data": data.folder,
        "shipped": SHIPPED_CHECKPOINTS["fast"],
        "engine": SHIPPED_ENGINES["fast"],
    }


def refused(command: str, names: dict[str, Path], capsys: Captured) -> tuple[int, str]:
    """Exit code and error code of a command, which says one line on standard error and nothing else."""
    ended = run([word.format(**names) for word in command.split()])
    said = capsys.readouterr()
    found = re.search(r"^error \[([a-z-]+)\]: .+\n\Z", said.err, re.M)
    assert found, said.err
    assert said.out == ""
    return ended, found[1]


@pytest.mark.parametrize(("command", "code"), LOST_FILES.items(), ids=list(LOST_FILES))
def test_what_is_named_and_not_there_is_fatal(command: str, code: str, names: dict[str, Path], capsys: Captured) -> None:
    assert refused(command, names, capsys) == (1, code)
    assert not names["out"].exists()
    assert not names["out"].with_suffix(".onnx").exists()


@pytest.mark.parametrize(
    ("command", "code"),
    {
        "train evaluate {lost} {lost}": "checkpoint-not-found",
        "train evaluate {lost}.onnx {lost}": "engine-not-found",
        "train ensemble {lost} {lost} --data {lost} -o {out}": "checkpoint-not-found",
        "train fit {lost} --data {lost} -o {out}": "file-not-found",
        "train card {lost} {lost} -o {out}": "engine-not-found",
        "verify {lost}.onnx --against {lost}": "engine-not-found",
    }.items(),
)
def test_the_first_of_several_names_where_nothing_is_is_told(
    command: str, code: str, names: dict[str, Path], capsys: Captured
) -> None:
    assert refused(command, names, capsys) == (1, code)


@pytest.mark.parametrize(
    ("command", "code"),
    {
        "export {lost} -o {out}.onnx": "checkpoint-not-found",
        "export {lost}.onnx -o {out}.plan --backend tensorrt-rtx": "engine-not-found",
        "verify {lost}.onnx --against {shipped}": "engine-not-found",
        "verify {engine} --against {lost}": "checkpoint-not-found",
        "train evaluate {lost} {lost}": "checkpoint-not-found",
        "train ensemble {lost} {lost} --data {lost} -o {out}": "checkpoint-not-found",
        "export {shipped} -o {out}.onnx": "missing-package",
    }.items(),
)
def test_a_file_that_is_not_there_is_told_before_torch_is_missed(
    command: str, code: str, names: dict[str, Path], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith(("bandrt_export.onnx", "bandrt_train.checkpoint"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert refused(command, names, capsys) == (1, code)


@pytest.mark.parametrize(
    "command", ["train fit {config} --data {data} -o {out}", "train dataset {labels} -o {out}"], ids=lambda c: c.split()[1]
)
def test_a_folder_that_is_not_empty_is_in_the_way(
    command: str, names: dict[str, Path], labels: Path, tmp_path: Path, capsys: Captured
) -> None:
    names["out"].mkdir()
    (names["out"] / "notes.txt").write_text("mine", encoding="utf-8")
    assert refused(command, names | {"labels": labels}, capsys) == (2, "output-foreign")
    resumed = refused(f"{command} --resume", names | {"labels": labels}, capsys)
    assert resumed == (2, "not-resumable" if " fit " in command else "output-foreign")
    assert [path.name for path in names["out"].iterdir()] == ["notes.txt"]


def test_a_build_with_other_options_is_in_the_way(names: dict[str, Path], labels: Path, capsys: Captured) -> None:
    begun = names["out"]
    begun.mkdir()
    (begun / "build.json").write_text(json.dumps({"format_version": 0}), encoding="utf-8")
    assert refused("train dataset {labels} -o {out} --resume", names | {"labels": labels}, capsys) == (2, "build-differs")


def test_a_data_set_among_its_sources_is_wrong_usage(names: dict[str, Path], tmp_path: Path, capsys: Captured) -> None:
    assert refused("train dataset {sources} -o {out}", names | {"sources": tmp_path}, capsys) == (2, "output-in-source")


def test_options_that_do_not_fit_are_wrong_usage(names: dict[str, Path], capsys: Captured) -> None:
    assert refused("export {shipped} -o {out}.onnx --edges from_center", names, capsys) == (2, "conventions-unused")
    assert refused("train download -o {out} --key-file {config}", names, capsys) == (2, "nothing-to-resume")
    assert refused("train fit {config} --data {data} --from fast --member 3 -o {out}", names, capsys) == (2, "member-unknown")
    assert refused("train fit {config} --data {data} --from fast -o {out}", names, capsys) == (2, "member-missing")


def test_a_member_without_an_ensemble_is_wrong_usage(names: dict[str, Path], capsys: Captured) -> None:
    assert run([word.format(**names) for word in "train fit {config} --data {data} --member 1 -o {out}".split()]) == 2
    assert "--from" in capsys.readouterr().err
