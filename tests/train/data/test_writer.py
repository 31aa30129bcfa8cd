"""A build that was interrupted goes on and leaves what one without interruption leaves, byte for byte."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bandrt.computed.documents import DocumentText
from bandrt.errors import InputError, OutputError
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.builder import BuildReport, build_dataset
from bandrt_train.data.dataset import ATOM_ARRAYS, Dataset, DatasetRecipe, SplitRule
from bandrt_train.data.writer import DatasetWriter
from tests.support.processes import DEADLINE_SECONDS, LEAVE_SECONDS, descendants, living, needs_proc, wait_until

RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=32)))
PART_SIZE = 4
COMMAND = """
import signal
from bandrt.__main__ import main

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
"""
"""``bandrt`` that hears an interrupt even where the tests run in the background, which makes programs deaf to it."""
POLL_SECONDS = 0.005
INTERRUPTED = 130
"""What a shell calls the exit of a command that was interrupted."""


@pytest.fixture(scope="module")
def lines(label_texts: list[DocumentText]) -> list[str]:
    """Twenty-two documents: good ones, one that is there twice, and three that are refused."""
    good = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][:18]
    few = json.dumps({**json.loads(good[0]), "id": "few", "bands": {"1": json.loads(good[0])["bands"]["1"][:3]}})
    return [*good[:2], "{", *good[2:9], good[1], few, *good[9:], '{"no": "bands"}']


@pytest.fixture
def source(lines: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def whole(source: Path, tmp_path: Path) -> Dataset:
    return build_dataset([source], tmp_path / "whole", RECIPE, part_size=PART_SIZE)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stopped(Exception):
    pass


def build_until(n: int, source: Path, folder: Path, *, resume: bool = False) -> None:
    def report(state: BuildReport) -> None:
        if state.documents == n:
            raise Stopped

    with pytest.raises(Stopped):
        build_dataset([source], folder, RECIPE, part_size=PART_SIZE, resume=resume, on_progress=report)


def resume(source: Path, folder: Path) -> list[BuildReport]:
    reports: list[BuildReport] = []
    build_dataset([source], folder, RECIPE, part_size=PART_SIZE, resume=True, on_progress=reports.append)
    return reports


@pytest.mark.parametrize("stops", [(1,), (4,), (5,), (12,), (22,), (7, 8, 18)])
def test_a_resumed_build_is_that_without_interruption(stops: tuple[int, ...], source: Path, tmp_path: Path, whole: Dataset) -> None:
    for i, stop in enumerate(stops):
        build_until(stop, source, tmp_path / "data", resume=i > 0)
        with pytest.raises(Exception, match="not a data set"):
            Dataset(tmp_path / "data")
    reports = resume(source, tmp_path / "data")
    assert content(tmp_path / "data") == content(whole.folder)
    assert (reports[0].kept > 0) == (max(stops) > PART_SIZE)


def test_what_is_built_is_not_built_again(source: Path, tmp_path: Path, whole: Dataset) -> None:
    assert resume(source, whole.folder) == []
    assert Dataset(whole.folder).header == whole.header
    build_until(15, source, tmp_path / "data")
    reports = resume(source, tmp_path / "data")
    assert reports[0].kept >= 10
    assert len(reports) == 22 - reports[0].kept


def test_data_that_grow_are_one_resumed_build_away(lines: list[str], source: Path, tmp_path: Path, whole: Dataset) -> None:
    source.write_text("\n".join(lines[:17]) + "\n", encoding="utf-8")
    build_dataset([source], tmp_path / "data", RECIPE, part_size=PART_SIZE)
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert resume(source, tmp_path / "data")[0].kept > 0
    assert content(tmp_path / "data") == content(whole.folder)


@pytest.mark.parametrize("changed", [0, 6, 21])
def test_documents_that_changed_are_built_again_and_those_before_them_kept(
    changed: int, lines: list[str], source: Path, tmp_path: Path, whole: Dataset
) -> None:
    other = json.dumps({**json.loads(lines[0]), "id": "other"})
    source.write_text("\n".join([*lines[:changed], other, *lines[changed + 1 :]]) + "\n", encoding="utf-8")
    built = build_dataset([source], tmp_path / "data", RECIPE, part_size=PART_SIZE)
    assert "other" in {record["id"] for record in built.records}
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    reports = resume(source, tmp_path / "data")
    assert reports[0].kept <= changed
    assert (reports[0].kept > 0) == (changed > PART_SIZE)
    assert content(tmp_path / "data") == content(whole.folder)


@pytest.mark.parametrize("finished", [True, False])
def test_sources_without_usable_documents_leave_what_is_there(finished: bool, source: Path, tmp_path: Path, whole: Dataset) -> None:
    folder = whole.folder if finished else tmp_path / "data"
    if not finished:
        build_until(12, source, folder)
    before = content(folder)
    assert before.keys() >= {"build.json", "entries.jsonl", "part-00000.npz"}
    source.write_text("{\n", encoding="utf-8")
    with pytest.raises(InputError, match="nothing was written") as caught:
        resume(source, folder)
    assert caught.value.code == "no-input"
    assert content(folder) == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_data_set_is_not_gone_on_with_by_other_documents(
    finished: bool, lines: list[str], source: Path, tmp_path: Path, whole: Dataset
) -> None:
    folder = whole.folder if finished else tmp_path / "data"
    if not finished:
        source.write_text("\n".join(lines[:12]) + "\n", encoding="utf-8")
        build_until(11, source, folder)
    before = content(folder)
    source.write_text("".join(json.dumps({**json.loads(lines[0]), "id": f"new-{i}"}) + "\n" for i in range(6)), encoding="utf-8")
    with pytest.raises(OutputError, match=r"none is in these sources.* --overwrite") as caught:
        resume(source, folder)
    assert (caught.value.code, caught.value.exit_code) == ("build-differs", 2)
    assert content(folder) == before


def test_documents_that_all_changed_but_for_their_ids_are_built_again(
    lines: list[str], source: Path, tmp_path: Path, whole: Dataset
) -> None:
    source.write_text("\n".join(lines[:1]) + "\n", encoding="utf-8")
    build_dataset([source], tmp_path / "data", RECIPE, part_size=PART_SIZE)
    changed = json.loads(lines[0])
    source.write_text(json.dumps(changed | {"method": "another"}) + "\n", encoding="utf-8")
    resume(source, tmp_path / "data")
    [entry] = Dataset(tmp_path / "data")
    assert (entry.id, entry.method) == (changed["id"], "another")


@pytest.mark.parametrize("victim", ["part-00001.npz", "parts.jsonl", "entries.jsonl", "refused.jsonl", "dataset.json"])
def test_files_that_were_cut_are_not_believed(victim: str, source: Path, tmp_path: Path, whole: Dataset) -> None:
    shutil.copytree(whole.folder, tmp_path / "data")
    path = tmp_path / "data" / victim
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "data" / ".part-00003.npz.tmp").write_bytes(b"half")
    resume(source, tmp_path / "data")
    assert content(tmp_path / "data") == content(whole.folder)


def test_lines_that_a_kill_left_behind_the_last_milestone_are_dropped(source: Path, tmp_path: Path, whole: Dataset) -> None:
    build_until(15, source, tmp_path / "data")
    for name, text in (
        ("entries.jsonl", '{"id": "x"}\n{"id'),
        ("refused.jsonl", '{"id": "x"}\n'),
        ("parts.jsonl", '{"documents": 1'),
    ):
        with (tmp_path / "data" / name).open("a", encoding="utf-8") as file:
            file.write(text)
    assert resume(source, tmp_path / "data")[0].kept > 0
    assert content(tmp_path / "data") == content(whole.folder)


def test_a_damaged_part_says_how_to_mend_it(whole: Dataset, source: Path) -> None:
    path = whole.folder / "part-00001.npz"
    path.write_bytes(path.read_bytes()[:-100])
    opened = Dataset(whole.folder)
    assert opened[0].id == whole[0].id
    with pytest.raises(InputError, match=r"part-00001\.npz: cannot be read .* --resume") as caught:
        opened[PART_SIZE]
    assert caught.value.code == "dataset-damaged"
    resume(source, whole.folder)
    assert Dataset(whole.folder)[PART_SIZE].id == whole.records[PART_SIZE]["id"]


def test_a_build_goes_on_with_the_same_options_or_not_at_all(source: Path, whole: Dataset) -> None:
    before = content(whole.folder)
    other = DatasetRecipe(RECIPE.featurization, splits=SplitRule(seed=1))
    with pytest.raises(OutputError, match=r"recipe\.splits\.seed = 0, now it is 1") as caught:
        build_dataset([source], whole.folder, other, part_size=PART_SIZE, resume=True)
    assert caught.value.code == "build-differs"
    assert content(whole.folder) == before


def test_a_folder_of_documents_knows_how_many_there_are(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    for i in (0, 1):
        (tmp_path / "documents" / f"{i}.json").write_text(lines[i], encoding="utf-8")
    reports: list[BuildReport] = []
    build_dataset([tmp_path / "documents"], tmp_path / "data", RECIPE, on_progress=reports.append)
    assert reports == [BuildReport(1, 0, 0, 2), BuildReport(2, 0, 0, 2)]


def test_neighbour_lists_of_different_lengths_share_a_part(whole: Dataset, tmp_path: Path) -> None:
    short, full = whole[0], whole[1]
    arrays = {name: getattr(short.features, name)[:, :9] for name in ATOM_ARRAYS if name != "atomic_numbers"}
    writer = DatasetWriter(tmp_path / "data", RECIPE)
    writer.add(dataclasses.replace(short, features=dataclasses.replace(short.features, **arrays)))
    writer.add(full)
    first, second = writer.close()
    assert first.features.neighbor_mask[:, 9:].sum() == 0
    assert (first.features.neighbor_distance[:, :9] == arrays["neighbor_distance"]).all()
    assert (second.features.neighbor_index == full.features.neighbor_index).all()


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_ends_with_its_workers_and_goes_on_with_resume(
    number: int, label_texts: list[DocumentText], tmp_path: Path
) -> None:
    source, folder = tmp_path / "labels.jsonl", tmp_path / "data"
    source.write_text("".join(t.text.strip() + "\n" for t in label_texts[:60]), encoding="utf-8")
    command = [sys.executable, "-c", COMMAND, "train", "dataset", str(source), "-o", str(folder)]
    command += ["--n-kpoints", "32", "--part-size", str(PART_SIZE)]
    with subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            while not (folder / "parts.jsonl").exists() and running.poll() is None:
                time.sleep(POLL_SECONDS)
            family = descendants(running.pid)
            assert len(family) == 4  # the one that works, its two workers and the resource tracker
            running.send_signal(number)
            _, errors = running.communicate(timeout=DEADLINE_SECONDS)
            assert wait_until(lambda: not living(family), LEAVE_SECONDS)
        finally:
            running.kill()
    assert running.returncode == (INTERRUPTED if number == signal.SIGINT else -signal.SIGKILL)
    assert (number == signal.SIGINT) == ("go on with the same command and --resume" in errors)
    assert not (folder / "dataset.json").exists()
    subprocess.run([*command, "--resume"], capture_output=True, check=True)
    whole = build_dataset([source], tmp_path / "whole", RECIPE, part_size=PART_SIZE)
    assert content(folder) == content(whole.folder)
