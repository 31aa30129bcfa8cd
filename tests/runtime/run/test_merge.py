"""Merged runs: shards make the folder of a whole run, each input counts once, and what does not belong together is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt import merge
from bandrt.cli import run as bandrt
from bandrt.errors import BandrtError, OutputError
from bandrt.results.parts import part_arrays, part_ids, part_orders
from bandrt.results.store import MERGED_PARTS, part_files, read, read_errors
from bandrt.run import merge as merge_module
from bandrt.run.infer import InferOptions, infer
from bandrt.run.shard import Shard
from bandrt.sources import Source
from bandrt.sources.textbook import TEXTBOOK, cif

Salt = Callable[..., str]
KILLED = """
import os, signal
from bandrt.results import writer
from bandrt.run.infer import InferOptions, infer
from bandrt.run.shard import Shard
writer.PART_CRYSTALS = 2
writer.Store.finish = lambda store, searched: os.kill(os.getpid(), signal.SIGKILL)
infer({inputs!r}, {out!r}, InferOptions(engine={engine!r}, workers=0, batch_size=2, shard=Shard(1, 2)))
"""
"""A shard that is killed when all its inputs were met; what is not in a part yet is lost."""


@pytest.fixture
def inputs(tmp_path: Path, rock_salt: Salt) -> list[Path]:
    """Crystals in a folder, a table and an archive, with names that collide, and some that fail in between."""
    folder, table, archive = tmp_path / "in", tmp_path / "table.csv", tmp_path / "more.zip"
    folder.mkdir()
    for crystal in TEXTBOOK[:7]:
        (folder / f"{crystal.name}.cif").write_text(cif(crystal))
    for n in range(0, 10, 3):
        (folder / f"Broken{n}.cif").write_text(f"no crystal {n}")
    (folder / "gone.cif").symlink_to(tmp_path / "nowhere")
    with table.open("w", newline="") as file:
        rows = [[f"salt-{n % 20}", "no crystal" if n % 5 == 4 else rock_salt(a=3.9 + 0.01 * n), n] for n in range(40)]
        csv.writer(file).writerows([["id", "cif", "number"], *rows])
    with zipfile.ZipFile(archive, "w") as members:
        for crystal in TEXTBOOK[5:8]:
            members.writestr(f"cells/{crystal.name}.cif", cif(crystal))
    return [folder, table, archive]


@pytest.fixture
def options(tiny_engine: Path) -> Callable[..., InferOptions]:
    return lambda **more: InferOptions(**{"engine": tiny_engine, "workers": 0, "batch_size": 4} | more)


@pytest.fixture
def sharded(inputs: list[Path], tmp_path: Path, options: Callable[..., InferOptions]) -> Callable[[int], list[Path]]:
    """All shards of the inputs, run one after the other."""

    def run(of: int) -> list[Path]:
        folders = [tmp_path / "shards" / f"{number:02d}" for number in range(1, of + 1)]
        for number, folder in enumerate(folders, start=1):
            infer(inputs, folder, options(shard=Shard(number, of)))
        return folders

    return run


def table_of(out: Path) -> bytes:
    return (out / "summary.csv").read_bytes()


def places_of(out: Path) -> dict[str, int]:
    return {id: order for path in part_files(out) for id, order in zip(part_ids(path), part_orders(path), strict=True)}


def refusal(call: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(BandrtError) as caught:
        call()
    return caught.value.code, caught.value.exit_code, caught.value.message


@pytest.mark.parametrize("of", [1, 3, MERGED_PARTS + 9])
def test_shards_make_the_folder_of_a_whole_run(
    of: int, inputs: list[Path], sharded: Callable[[int], list[Path]], tmp_path: Path, options: Callable[..., InferOptions]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    infer(inputs, whole, options())
    shards = sharded(of)
    report = merge(reversed(shards), out)
    assert (report.n_runs, report.n_repeated, report.is_whole) == (of, 0, True)
    assert table_of(out) == table_of(whole)
    assert (out / "errors.jsonl").read_bytes() == (whole / "errors.jsonl").read_bytes()
    assert [p.id for p in read(out)] == [p.id for p in read(whole)]
    assert places_of(out) == places_of(whole)
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["total_predicted"], counts["total_failed"]) == (report.n_predicted, report.n_failed) == (42, 13)
    found = [json.loads((shard / "run.json").read_text())["counts"] for shard in shards]
    assert sum(one["found"] for one in found) == 55
    assert {one["found"] + one["elsewhere"] for one in found} == {55}


def test_numbers_of_a_shard_are_not_touched(sharded: Callable[[int], list[Path]], tmp_path: Path) -> None:
    shards = sharded(2)
    merge(shards, tmp_path / "out")
    [merged] = [part_arrays(path) for path in part_files(tmp_path / "out")]
    rows = {id: row for row, id in enumerate(merged["id"])}
    for shard in shards:
        for arrays in map(part_arrays, part_files(shard)):
            places = [rows[id] for id in arrays["id"]]
            for name in (
                "energies",
                "frac_kpoints",
                "kpoint_distance",
                "lattice",
                "input_order",
                "input_sha256",
                "path",
                "warnings",
            ):
                np.testing.assert_array_equal(merged[name][places], arrays[name])


def test_a_few_at_a_time_are_merged_as_all_at_once(
    sharded: Callable[[int], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = sharded(3)
    merge(shards, tmp_path / "at-once")
    monkeypatch.setattr(merge_module, "AT_ONCE", 5)
    merge(shards, tmp_path / "few")
    for name in ("summary.csv", "errors.jsonl", "parts/part-00000.npz"):
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "at-once" / name).read_bytes()


def test_a_merged_folder_is_one_like_any_other(
    inputs: list[Path], sharded: Callable[[int], list[Path]], tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    shards, out, again = sharded(2), tmp_path / "out", tmp_path / "again"
    assert bandrt(["merge", *map(str, shards), "-o", str(out), "-q"]) == 0
    assert bandrt(["convert", str(out), "--to", "hdf5", "-q"]) == 0
    assert bandrt(["plot", str(out), "GaAs", "-o", str(tmp_path / "GaAs.png")]) == 0
    merge([out, shards[0]], again, incomplete=True)
    assert table_of(again) == table_of(out)
    runs = json.loads((again / "run.json").read_text())["merge"]["runs"]
    assert [run["shard"] for run in runs] == ["1/1", "1/2"]
    assert [run["shard"] for run in runs[0]["merge"]["runs"]] == ["1/2", "2/2"]
    (inputs[0] / "new.cif").write_text(rock_salt(a=5.5))
    report = infer(inputs, out, options(mode="resume"))
    assert (report.predicted, report.skipped, report.set_aside) == (1, 55, 0)
    assert len(json.loads((out / "run.json").read_text())["merge"]["runs"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
def test_a_killed_shard_is_gone_on_with_and_merged(
    inputs: list[Path], tiny_engine: Path, tmp_path: Path, options: Callable[..., InferOptions]
) -> None:
    first, second, out, whole = (tmp_path / name for name in ("1", "2", "out", "whole"))
    script = KILLED.format(inputs=[str(path) for path in inputs], out=str(first), engine=str(tiny_engine))
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    infer(inputs, second, options(batch_size=2, shard=Shard(2, 2)))
    code, exit_code, message = refusal(lambda: merge([first, second], out))
    assert (code, exit_code) == ("incomplete-runs", 2)
    assert f"{first}: has not finished" in message
    report = infer(inputs, first, options(batch_size=2, shard=Shard(1, 2), mode="resume"))
    assert report.skipped > 10
    merge([first, second], out)
    infer(inputs, whole, options(batch_size=2))
    assert table_of(out) == table_of(whole)
    assert (out / "errors.jsonl").read_bytes() == (whole / "errors.jsonl").read_bytes()


def test_failures_of_a_shard_that_is_gone_on_with_keep_their_places(
    inputs: list[Path], sharded: Callable[[int], list[Path]], tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    shards, whole, out = sharded(2), tmp_path / "whole", tmp_path / "out"
    (inputs[0] / "A-new-one.cif").write_text(rock_salt(a=5.6))  # all others move up
    (inputs[0] / "Broken9.cif").unlink()
    for number, shard in enumerate(shards, start=1):
        infer(inputs, shard, options(shard=Shard(number, 2), mode="resume"))
    merge(shards, out)
    infer(inputs, whole, options())
    assert table_of(out) == table_of(whole)
    assert (out / "errors.jsonl").read_bytes() == (whole / "errors.jsonl").read_bytes()


def test_a_shard_is_gone_on_with_as_the_same_shard(
    inputs: list[Path], sharded: Callable[[int], list[Path]], options: Callable[..., InferOptions]
) -> None:
    first, _ = sharded(2)
    before = table_of(first)
    for other in (Shard(2, 2), Shard(1, 3), Shard()):
        code, exit_code, message = refusal(lambda other=other: infer(inputs, first, options(mode="resume", shard=other)))
        assert (code, exit_code) == ("options-differ", 2)
        assert f"shard was '1/2' and is '{other}'" in message
    assert infer(inputs, first, options(mode="resume", shard=Shard(1, 2))).predicted == 0
    assert table_of(first) == before


def test_a_missing_shard_and_changed_inputs_are_told(
    inputs: list[Path], sharded: Callable[[int], list[Path]], tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    shards, out = sharded(3), tmp_path / "out"
    assert refusal(lambda: merge([shards[0], shards[2]], out))[::2] == (
        "incomplete-runs", "shard 2 of 3 is missing; with --incomplete, what there is is merged",
    )  # fmt: skip
    assert not out.exists()
    assert bandrt(["merge", str(shards[0]), str(shards[2]), "-o", str(out), "--incomplete", "-q"]) == 0
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    missing = json.loads((shards[1] / "run.json").read_text())["counts"]["found"]
    report = infer(inputs, out, options(mode="resume"))
    assert (report.predicted + report.failed, report.skipped) == (missing, 55 - missing)
    (inputs[0] / "new.cif").write_text(rock_salt(a=5.5))
    infer(inputs, shards[1], options(shard=Shard(2, 3), mode="resume"))
    code, _, message = refusal(lambda: merge(shards, tmp_path / "changed"))
    assert (code, "inputs have changed" in message) == ("incomplete-runs", True)


def test_an_input_that_every_shard_took_for_that_of_another_is_missed(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    folder, target = tmp_path / "in", tmp_path / "target"
    folder.mkdir()
    (folder / "salt.cif").write_text(rock_salt(a=4.0))
    texts = (rock_salt(a=4.1 + 0.01 * n) for n in range(99))
    text = next(one for one in texts if Shard(1, 2).has(Source("a", "", "cif", one)))
    links = (folder / f"link{n}.cif" for n in range(99))
    link = next(one for one in links if Shard(2, 2).has(Source("a", str(one), "cif", one)))  # of the reason: it is not there
    link.symlink_to(target)
    infer(folder, tmp_path / "1", options(shard=Shard(1, 2)))
    target.write_text(text)
    infer(folder, tmp_path / "2", options(shard=Shard(2, 2)))
    code, _, message = refusal(lambda: merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out"))
    assert (code, "inputs have changed" in message) == ("incomplete-runs", True)
    infer(folder, tmp_path / "1", options(shard=Shard(1, 2), mode="resume"))
    assert merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out").n_predicted == 2


def test_of_several_results_of_one_input_one_counts(
    inputs: list[Path], sharded: Callable[[int], list[Path]], tmp_path: Path, options: Callable[..., InferOptions]
) -> None:
    shards, out = sharded(2), tmp_path / "out"
    shutil.copytree(shards[0], tmp_path / "copy")
    found = json.loads((shards[0] / "run.json").read_text())["counts"]["found"]
    report = merge([tmp_path / "copy", *shards], out)
    assert report.n_repeated == found
    ids = [p.id for p in read(out)] + [f.id for f in read_errors(out)]
    assert len(ids) == len(set(ids)) == 55
    assert merge([out, out], tmp_path / "twice").n_repeated == 55


def test_a_prediction_counts_before_a_failure_of_the_same_file(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    late, other = tmp_path / "late.cif", tmp_path / "other.cif"
    late.symlink_to(tmp_path / "elsewhere")
    other.write_text(rock_salt(a=4.1))
    infer([late, other], tmp_path / "1", options())
    (tmp_path / "elsewhere").write_text(rock_salt(a=4.2))
    infer([late, other], tmp_path / "2", options())
    report = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert (report.n_predicted, report.n_failed, report.n_repeated) == (2, 0, 2)
    assert (tmp_path / "out" / "errors.jsonl").read_bytes() == b""


@pytest.mark.parametrize("relative", [True, False])
def test_a_failure_of_another_text_is_of_the_same_input_only_if_the_path_says_so(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    """Relative paths of runs from two folders may be the same for two files, one of which failed."""
    for name, text in (("a", "no crystal"), ("b", rock_salt(a=4.2))):
        home = tmp_path / (name if relative else "")
        (home / "in").mkdir(parents=True, exist_ok=True)
        (home / "in" / "salt.cif").write_text(text)
        monkeypatch.chdir(home)
        infer(Path("in") if relative else home / "in", tmp_path / f"out-{name}", options())
    if not relative:
        report = merge([tmp_path / "out-a", tmp_path / "out-b"], tmp_path / "out")
        assert (report.n_predicted, report.n_failed, report.n_repeated) == (1, 0, 1)
        return
    code, _, message = refusal(lambda: merge([tmp_path / "out-a", tmp_path / "out-b"], tmp_path / "out"))
    assert (code, message.startswith("salt: is the id of different inputs")) == ("repeated-id", True)
    assert all(f"in/salt.cif in {tmp_path / f'out-{name}'}" in message for name in "ab")


def test_a_file_that_could_not_be_opened_once_is_known_by_its_relative_path(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/late.cif").symlink_to(tmp_path / "elsewhere")
    infer(Path("in"), tmp_path / "1", options())
    (tmp_path / "elsewhere").write_text(rock_salt(a=4.2))
    infer(Path("in"), tmp_path / "2", options())
    report = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert (report.n_predicted, report.n_failed, report.n_repeated) == (1, 0, 1)


def test_a_failure_that_a_killed_run_has_predicted_since_counts_no_more(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/salt.cif").write_text("no crystal")
    infer(Path("in"), tmp_path / "1", options())
    lines = (tmp_path / "1" / "errors.jsonl").read_bytes()
    Path("in/salt.cif").write_text(rock_salt(a=4.2))
    infer(Path("in"), tmp_path / "1", options(mode="resume"))
    (tmp_path / "1" / "errors.jsonl").write_bytes(lines)  # as it is until the lines are sorted
    report = merge(tmp_path / "1", tmp_path / "out")
    assert (report.n_predicted, report.n_failed) == (1, 0)


def test_a_run_whose_failures_are_not_all_there_is_refused(sharded: Callable[[int], list[Path]], tmp_path: Path) -> None:
    shards = sharded(2)
    path = shards[1] / "errors.jsonl"
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")
    code, _, message = refusal(lambda: merge(shards, tmp_path / "out"))
    assert (code, f"{path}: has 1 failure" in message, "--resume" in message) == ("errors-damaged", True, True)
    assert not (tmp_path / "out").exists()


def test_runs_of_other_inputs_come_one_after_the_other(
    tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt
) -> None:
    for name in "ba":
        (tmp_path / name).mkdir()
        for n in range(3):
            (tmp_path / name / f"{name}{n}.cif").write_text(rock_salt(a=4 + 0.1 * n + (name == "b")) if n else f"no crystal {name}")
        infer(tmp_path / name, tmp_path / f"out-{name}", options())
    merge([tmp_path / "out-b", tmp_path / "out-a"], tmp_path / "out")
    assert [p.id for p in read(tmp_path / "out")] == ["b1", "b2", "a1", "a2"]
    assert [f.id for f in read_errors(tmp_path / "out")] == ["b0", "a0"]


def test_one_id_for_different_inputs_is_refused(tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt) -> None:
    for n in (1, 2):
        (tmp_path / f"in{n}").mkdir()
        (tmp_path / f"in{n}" / "salt.cif").write_text(rock_salt(a=4 + 0.1 * n))
        infer(tmp_path / f"in{n}", tmp_path / f"out{n}", options())
    code, exit_code, message = refusal(lambda: merge([tmp_path / "out1", tmp_path / "out2"], tmp_path / "out"))
    assert (code, exit_code) == ("repeated-id", 1)
    assert message.startswith("salt: is the id of different inputs")
    assert str(tmp_path / "in1" / "salt.cif") in message
    assert not (tmp_path / "out").exists()


def test_runs_of_other_engines_and_options_are_refused(
    inputs: list[Path],
    sharded: Callable[[int], list[Path]],
    make_engine: Callable[..., Path],
    tmp_path: Path,
    options: Callable[..., InferOptions],
) -> None:
    first, second = sharded(2)
    other_engine = make_engine(checkpoint_sha256="1" * 64)
    for more, code, said in (
        ({"engine": other_engine}, "engine-differs", "engine was"),
        ({"batch_size": 3}, "options-differ", "batch_size was 4 and is 3"),
        ({"keep": ["number"]}, "options-differ", "keep was [] and is ['number']"),
    ):
        infer(inputs, second, options(shard=Shard(2, 2), mode="overwrite", **more))
        found = refusal(lambda: merge([first, second], tmp_path / "out"))
        assert (found[:2], said in found[2], str(second) in found[2]) == ((code, 2), True, True)
        assert not (tmp_path / "out").exists()


def test_parts_of_another_engine_than_the_record_says_are_refused(
    inputs: list[Path],
    sharded: Callable[[int], list[Path]],
    make_engine: Callable[..., Path],
    tmp_path: Path,
    options: Callable[..., InferOptions],
) -> None:
    first, second = sharded(2)
    other_engine = make_engine(checkpoint_sha256="1" * 64)
    record = (second / "run.json").read_bytes()
    infer(inputs, second, options(shard=Shard(2, 2), mode="overwrite", engine=other_engine))
    (second / "run.json").write_bytes(record)
    assert refusal(lambda: merge([first, second], tmp_path / "out"))[:2] == ("engine-differs", 2)


def test_columns_that_were_kept_come_along(inputs: list[Path], tmp_path: Path, options: Callable[..., InferOptions]) -> None:
    for number in (1, 2):
        infer(inputs, tmp_path / f"{number}", options(shard=Shard(number, 2), keep=["number"]))
    infer(inputs, tmp_path / "whole", options(keep=["number"]))
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert table_of(tmp_path / "out") == table_of(tmp_path / "whole")
    assert (tmp_path / "out" / "errors.jsonl").read_bytes() == (tmp_path / "whole" / "errors.jsonl").read_bytes()


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_part_is_refused_before_anything_is_written(
    place: float, sharded: Callable[[int], list[Path]], tmp_path: Path
) -> None:
    shards = sharded(2)
    [part] = part_files(shards[1])
    content = bytearray(part.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    part.write_bytes(content)
    code, _, message = refusal(lambda: merge(shards, tmp_path / "out"))
    assert (code, str(part) in message) == ("part-damaged", True)
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_and_what_is_in_the_way_are_refused(sharded: Callable[[int], list[Path]], tmp_path: Path) -> None:
    shards, out = sharded(2), tmp_path / "out"
    assert refusal(lambda: merge([], out))[0] == "bad-argument"
    assert refusal(lambda: merge([*shards, tmp_path], out))[0] == "output-not-found"
    assert refusal(lambda: merge(shards, shards[0]))[:2] == ("output-not-empty", 2)
    assert refusal(lambda: merge(shards, shards[0], overwrite=True))[:2] == ("output-not-empty", 2)
    assert refusal(lambda: merge(shards, tmp_path / "in"))[:2] == ("output-foreign", 2)
    merge(shards, out)
    before = table_of(out)
    code, exit_code, message = refusal(lambda: merge(shards, out))
    assert (code, exit_code) == ("output-not-empty", 2)
    assert "--resume" not in message
    merge(shards, out, overwrite=True)
    assert table_of(out) == before
    (shards[1] / "run.json").unlink()
    assert refusal(lambda: merge(shards, tmp_path / "other"))[0] == "run-damaged"


def test_an_interrupted_merge_leaves_nothing(sharded: Callable[[int], list[Path]], tmp_path: Path) -> None:
    shards = sharded(2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(KeyboardInterrupt):
            merge(shards, out, on_progress=stop)
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "none").exists()


def test_a_full_disk_leaves_nothing_that_one_could_go_on_with(sharded: Callable[[int], list[Path]], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits, shards = resource.getrlimit(resource.RLIMIT_FSIZE), sharded(2)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # a file system answers alike when it is full
        with pytest.raises(OutputError) as caught:
            merge(shards, tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.code == "output-unwritable"
    assert caught.value.message == f"{tmp_path / 'merged'}: cannot be written (File too large); what was merged is deleted again"
    assert not (tmp_path / "merged").exists()
    assert merge(shards, tmp_path / "merged").is_whole


def test_a_run_that_goes_on_meanwhile_is_noticed(
    sharded: Callable[[int], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = sharded(2)
    checked = merge_module.sifted

    def then_changed(rows: Any) -> Any:
        shutil.copyfile(part_files(shards[1])[0], part_files(shards[0])[0])
        return checked(rows)

    monkeypatch.setattr(merge_module, "sifted", then_changed)
    code, _, message = refusal(lambda: merge(shards, tmp_path / "out"))
    assert (code, "was written to while it was merged" in message) == ("incomplete-runs", True)
    assert not (tmp_path / "out").exists()


def test_shards_without_inputs_are_merged(tmp_path: Path, options: Callable[..., InferOptions], rock_salt: Salt) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "salt.cif").write_text(rock_salt(a=4.0))
    for number in (1, 2, 3):
        infer(tmp_path / "in", tmp_path / f"{number}", options(shard=Shard(number, 3)))
    report = merge([tmp_path / f"{number}" for number in (1, 2, 3)], tmp_path / "out")
    assert (report.n_predicted, report.n_failed) == (1, 0)


def test_runs_without_predictions_are_merged(tmp_path: Path, make_engine: Callable[..., Path]) -> None:
    engine = make_engine(outputs=("band_energies", "uncertainty_ev"))
    (tmp_path / "in").mkdir()
    for n in range(6):
        (tmp_path / "in" / f"{n}.cif").write_text(f"no crystal {n}")
    for number in (1, 2):
        infer(tmp_path / "in", tmp_path / f"{number}", InferOptions(engine=engine, workers=0, shard=Shard(number, 2)))
    infer(tmp_path / "in", tmp_path / "whole", InferOptions(engine=engine, workers=0))
    report = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert (report.n_predicted, report.n_failed) == (0, 6)
    assert table_of(tmp_path / "out") == table_of(tmp_path / "whole")
    assert (tmp_path / "out" / "errors.jsonl").read_bytes() == (tmp_path / "whole" / "errors.jsonl").read_bytes()


def test_results_of_an_earlier_format_are_refused(
    sharded: Callable[[int], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = sharded(2)
    monkeypatch.setattr(merge_module, "FORMAT_VERSION", 4)
    assert refusal(lambda: merge(shards, tmp_path / "out"))[:2] == ("output-version", 2)


def test_the_command_says_what_it_did(
    sharded: Callable[[int], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards, out = sharded(2), tmp_path / "out"
    shutil.copytree(shards[0], tmp_path / "copy")
    assert bandrt(["merge", *map(str, [*shards, tmp_path / "copy"]), "-o", str(out), "--json"]) == 0
    said, errors = capsys.readouterr()
    found = json.loads((shards[0] / "run.json").read_text())["counts"]["found"]
    assert json.loads(said) == {
        "out": str(out), "n_runs": 3, "n_predicted": 42, "n_failed": 13, "n_repeated": found, "is_whole": True,
    }  # fmt: skip
    assert "3 runs merged: 42 predicted, 13 failed" in errors
    assert f"{found} results left out" in errors
    assert bandrt(["merge", str(shards[0]), "-o", str(tmp_path / "half"), "--incomplete", "-q"]) == 0
    said, errors = capsys.readouterr()
    assert said.strip() == str(tmp_path / "half")
    assert "shards are missing" in errors
