"""Two stages: what one engine finds most promising, another predicts again, and a ranking takes its word for these."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt import Criteria
from bandrt.cli import run
from bandrt.crystal import Crystal
from bandrt.engine.calibration_file import calibration_path, write_calibration
from bandrt.errors import UsageError
from bandrt.readers import read_cif
from bandrt.run.infer import InferOptions, infer
from bandrt.run.refine import refine, refined_folder
from bandrt.screening.cif import cif_text
from tests.support.calibrations import plain_calibration

WANTED = Criteria(gap=(1.0, 2.5))
TOP = 6


@pytest.fixture(scope="module")
def engines(make_engine: Callable[..., Path]) -> tuple[Path, Path]:
    """Two engines of other weights; the second is surer of its gaps."""
    first, second = make_engine(), make_engine(checkpoint_sha256="2" * 64)
    write_calibration(plain_calibration(), calibration_path(first))
    write_calibration(plain_calibration(checkpoint_sha256="2" * 64, residuals=(-0.1, 0.1)), calibration_path(second))
    return first, second


@pytest.fixture(scope="module")
def results(engines: tuple[Path, Path], examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of real crystals with a column that is kept, predicted by the first engine."""
    folder = tmp_path_factory.mktemp("stages")
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "cif", "phase"])
        for path in sorted(examples.glob("*.cif"))[:14]:
            table.writerow([path.stem, path.read_text(encoding="utf-8"), f"phase of {path.stem}"])
    infer(folder / "table.csv", folder / "out", InferOptions(engine=engines[0], threads=1, workers=0, keep=["phase"]))
    return folder / "out"


@pytest.fixture(scope="module")
def refined(engines: tuple[Path, Path], results: Path) -> Path:
    report = refine(results, WANTED, refined_folder(results), InferOptions(engine=engines[1], threads=1, workers=0), top=TOP)
    assert (report.predicted, report.failed) == (TOP, 0)
    return refined_folder(results)


def test_the_most_promising_crystals_and_no_others_are_predicted_again(results: Path, refined: Path) -> None:
    first = {one.id: one.band_structure for one in bandrt.read(results)}
    again = {one.id: one.band_structure for one in bandrt.read(refined)}
    assert set(again) == {row["id"] for row in bandrt.screen(results, WANTED, top=TOP)}
    for id, bands in again.items():
        assert bands.crystal.hill_formula == first[id].crystal.hill_formula
        assert bands.space_group == first[id].space_group
        np.testing.assert_allclose(bands.energies, first[id].energies, atol=1e-3)  # the engines differ in name alone


def test_crystals_of_a_size_can_be_predicted_again_whatever_their_gap(
    engines: tuple[Path, Path], results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, options = Criteria(max_atoms=5), InferOptions(engine=engines[1], threads=1, workers=0)
    fitting = [one.id for one in bandrt.read(results) if one.crystal.n_atoms <= 5]
    assert 3 < len(fitting) < 14
    with pytest.raises(UsageError, match="--as-predicted") as caught:
        refine(results, small, tmp_path / "none", options, top=100)
    assert caught.value.code == "no-criterion"
    report = refine(results, small, tmp_path / "all", options, top=len(fitting), as_predicted=True)
    assert report.predicted == len(fitting)
    assert [one.id for one in bandrt.read(tmp_path / "all")] == fitting
    assert not caplog.messages
    refine(results, small, tmp_path / "some", options, top=2, as_predicted=True)
    assert [one.id for one in bandrt.read(tmp_path / "some")] == fitting[:2]
    assert caplog.messages == [f"{results}: {len(fitting) - 2} more crystals of these are not refined: --top takes more"]
    again = bandrt.screen(results, WANTED, refined=tmp_path / "all")
    assert {row["id"] for row in again if row["out"] == str(tmp_path / "all")} <= set(fitting)


def test_that_the_first_run_has_not_finished_is_told(
    engines: tuple[Path, Path], results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = shutil.copytree(results, tmp_path / "stopped")
    record = json.loads((stopped / "run.json").read_text(encoding="utf-8")) | {"status": "interrupted"}
    (stopped / "run.json").write_text(json.dumps(record), encoding="utf-8")
    refine(stopped, WANTED, tmp_path / "refined", InferOptions(engine=engines[1], threads=1, workers=0), top=1)
    assert f"{stopped}: not finished (interrupted): more crystals may follow" in caplog.messages


def test_a_ranking_takes_the_second_engine_s_word_for_them_and_leaves_no_crystal_out(results: Path, refined: Path) -> None:
    before, after = bandrt.screen(results, WANTED), bandrt.screen(results, WANTED, refined=refined)
    assert sorted(row["id"] for row in after) == sorted(row["id"] for row in before)
    assert after.counts == before.counts
    earlier = {row["id"]: row for row in before}
    for row in after:
        assert row["phase"] == f"phase of {row['id']}"
        assert row["path"] == earlier[row["id"]]["path"]
        if row["out"] == str(results):
            assert row["p_match"] == earlier[row["id"]]["p_match"]
    again = [row for row in after if row["out"] == str(refined)]
    assert len(again) == TOP
    assert any(abs(row["p_match"] - earlier[row["id"]]["p_match"]) > 0.1 for row in again)
    kept = bandrt.screen(results, Criteria(gap=(1.0, 2.5), where="phase != 'none'"), refined=refined)
    assert len(kept) == len(after)


def moved(results: Path, folder: Path, engine: Path, *, scale: float) -> tuple[Path, str]:
    """The first stage again, of which one crystal has become another cell of the same formula: its folder, and the id."""
    with (results.parent / "table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    chosen = next(row for row in bandrt.screen(results, WANTED, top=TOP))["id"]
    for row in rows:
        if row[0] == chosen:
            crystal = read_cif(row[1])
            row[1] = cif_text(Crystal(scale * crystal.lattice, crystal.atomic_numbers, crystal.frac_coords), name=chosen)
    folder.mkdir()
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    infer(folder / "table.csv", folder / "out", InferOptions(engine=engine, threads=1, workers=0, keep=["phase"]))
    return folder / "out", chosen


def test_results_of_a_cell_that_has_changed_since_do_not_stand_in_for_it(
    engines: tuple[Path, Path], results: Path, refined: Path, tmp_path: Path
) -> None:
    again, changed = moved(results, tmp_path / "moved", engines[0], scale=1.08)
    shortlist = bandrt.screen(again, WANTED, refined=refined)
    taken = {row["id"] for row in shortlist if row["out"] == str(refined)}
    assert taken == {one.id for one in bandrt.read(refined)} - {changed}
    assert changed in {row["id"] for row in shortlist if row["out"] == str(again)}
    assert len(shortlist) == len(bandrt.screen(again, WANTED))
    [note] = shortlist.notes
    assert note.startswith(f"{refined}: 1 result is of a cell that the first run no longer has, such as {changed}, and not taken")
    options = InferOptions(engine=engines[1], threads=1, workers=0, mode="resume")
    kept = shutil.copytree(refined, tmp_path / "refined")
    refine(again, WANTED, kept, options, top=14)
    whole = bandrt.screen(again, WANTED, refined=kept)
    assert not whole.notes
    assert changed in {row["id"] for row in whole if row["out"] == str(kept)}


def test_the_same_inputs_predicted_by_the_second_engine_are_refined_results_too(
    engines: tuple[Path, Path], results: Path, tmp_path: Path
) -> None:
    infer(results.parent / "table.csv", tmp_path / "all", InferOptions(engine=engines[1], threads=1, workers=0))
    shortlist = bandrt.screen(results, WANTED, refined=tmp_path / "all")
    assert {row["out"] for row in shortlist} == {str(tmp_path / "all")}
    assert not shortlist.notes


def test_a_table_of_two_stages_says_of_which_run_each_row_is(
    results: Path, refined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def table(folder: Path, *options: str) -> list[list[str]]:
        assert run(["screen", str(folder), "--gap", "1.0:2.5", *options]) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    def told(folder: Path, again: Path) -> dict[str, str]:
        header, *rows = table(folder, "--refined", str(again))
        assert header[:3] == ["id", "from", "formula"]
        return {row[0]: row[1] for row in rows}

    assert "from" not in table(results)[0]
    shortlist = bandrt.screen(results, WANTED, refined=refined)
    assert told(results, refined) == {row["id"]: Path(row["out"]).name for row in shortlist}
    alike = shutil.copytree(refined, tmp_path / "out")  # of the name that the first folder has
    said = set(told(results, alike).values())
    assert len(said) == 2
    assert all(one.endswith("/out") for one in said)


def test_columns_that_were_kept_stand_in_the_refined_results_too(
    engines: tuple[Path, Path], rock_salt: Callable[..., str], tmp_path: Path
) -> None:
    """Word for word, whatever a spreadsheet would make of them, and empty where the first run has them empty."""
    phases = {"a": "=1+1", "b": "'quoted', \"twice\"", "c": "", "d": "a;b"}
    with (tmp_path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "cif", "measured gap", "phase"])
        table.writerows([name, rock_salt(a=3.9 + 0.1 * n), str(n), phase] for n, (name, phase) in enumerate(phases.items()))
    first, second = tmp_path / "out", tmp_path / "again"
    keep = ["phase", "measured gap"]
    infer(tmp_path / "table.csv", first, InferOptions(engine=engines[0], threads=1, workers=0, keep=keep))
    wanted, options = Criteria(gap=(0.0, 1000.0)), InferOptions(engine=engines[1], threads=1, workers=0)
    assert refine(first, wanted, second, options, top=4).lacking == []
    before, after = ({one.id: one.kept for one in bandrt.read(folder)} for folder in (first, second))
    assert after == before
    assert {id: kept["phase"] for id, kept in after.items()} == phases
    texts = [(folder / "summary.csv").read_text() for folder in (first, second)]
    rows = [{row["id"]: row for row in csv.DictReader(io.StringIO(text))} for text in texts]
    assert list(rows[1]["a"])[-2:] == list(rows[0]["a"])[-2:] == keep
    assert all(rows[1][id][name] == rows[0][id][name] for id in phases for name in keep)
    report = refine(first, wanted, second, replace(options, mode="resume"), top=4)
    assert (report.skipped, report.predicted) == (4, 0)


def test_columns_of_several_of_the_kept_ones_may_be_asked_for(engines: tuple[Path, Path], results: Path, tmp_path: Path) -> None:
    options = InferOptions(engine=engines[1], threads=1, workers=0, keep=["elsewhere", "phase"])
    assert refine(results, WANTED, tmp_path / "again", options, top=1).lacking == ["elsewhere"]
    [one] = bandrt.read(tmp_path / "again")
    assert one.kept == {"elsewhere": "", "phase": f"phase of {one.id}"}


def test_ids_and_warnings_of_reading_are_those_of_the_first_engine(
    engines: tuple[Path, Path], rock_salt: Callable[..., str], tmp_path: Path
) -> None:
    """Ids that a blank tells apart are two; a cell that was stored no longer tells that its symmetry was not stated."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / " salt.cif").write_text(rock_salt(a=3.9).replace("_symmetry_space_group_name_H-M 'P 1'\n", ""))
    (tmp_path / "in" / "salt.cif").write_text(rock_salt(a=4.4))
    first, second = tmp_path / "out", tmp_path / "again"
    infer(tmp_path / "in", first, InferOptions(engine=engines[0], threads=1, workers=0))
    refine(first, Criteria(gap=(0.0, 1000.0)), second, InferOptions(engine=engines[1], threads=1, workers=0), top=2)
    before, after = ({one.id: one for one in bandrt.read(folder)} for folder in (first, second))
    assert set(after) == {" salt", "salt"}
    for id, one in after.items():
        assert one.band_structure.crystal.volume == pytest.approx(before[id].band_structure.crystal.volume)
    assert "symmetry-not-stated" in after[" salt"].warnings
    assert "symmetry-not-stated" not in after["salt"].warnings
    wanted = Criteria(gap=(0.0, 1000.0), where="warnings != symmetry-not-stated")
    assert [row["id"] for row in bandrt.screen(first, wanted, refined=second)] == ["salt"]


def test_what_is_refined_must_be_of_these_results(results: Path, refined: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(refined, other)
    lines = (other / "summary.csv").read_text().splitlines()
    (other / "summary.csv").write_text("\n".join([lines[0], f"stranger{lines[1][lines[1].index(',') :]}", *lines[2:]]) + "\n")
    with pytest.raises(UsageError, match="its stranger") as caught:
        bandrt.screen(results, WANTED, refined=other)
    assert caught.value.code == "refined-differs"


def test_the_same_engine_and_no_crystal_are_refused(engines: tuple[Path, Path], results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was predicted with this engine") as caught:
        refine(results, WANTED, tmp_path / "out", InferOptions(engine=engines[0], threads=1, workers=0), top=2)
    assert caught.value.code == "same-engine"
    arguments = [
        "refine",
        str(results),
        "--gap",
        "1:2",
        "--elements",
        "Og",
        "--engine",
        str(engines[1]),
        "-o",
        str(tmp_path / "out"),
    ]
    assert run(arguments) == 1
    assert not (tmp_path / "out").exists()


def test_the_command_names_the_folder_and_goes_on(
    engines: tuple[Path, Path], results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["refine", str(results), "--gap", "1:2.5", "--top", "3", "--engine", str(engines[1]), "-o", str(tmp_path / "again")]
    options = ["--threads", "1", "--workers", "0", "-q"]
    assert run([*arguments, *options]) == 0
    printed, said = capsys.readouterr()
    assert printed.strip() == str(tmp_path / "again")
    assert "3 predicted, 0 failed" in said
    assert run([*arguments, *options]) == 2
    assert "output-not-empty" in capsys.readouterr().err
    assert run([*arguments, *options, "--resume"]) == 0
    assert "3 inputs were done by earlier runs" in capsys.readouterr().err
    assert json.loads((tmp_path / "again" / "run.json").read_text())["engine"]["checkpoint_sha256"] == "2" * 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gap", "1:2"], "say which crystals --refine takes"),
        (["--refine", "3"], "--refine needs --gap"),
        (["--refine", "3", "--gap", "1:2", "--engine", "accurate"], "predict with another one first: --engine fast"),
    ],
)
def test_both_stages_in_one_command_need_a_criterion_and_another_engine(
    options: list[str], said: str, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["infer", str(examples), "-o", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_both_stages_in_one_command(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the engines that ship: the fast one predicts all, the accurate one the two most promising."""
    (tmp_path / "in").mkdir()
    for name in ("AlAs_mp-2172", "GaN_mp-830", "Si_mp-149"):
        if (examples / f"{name}.cif").exists():
            shutil.copy(examples / f"{name}.cif", tmp_path / "in")
    arguments = ["infer", str(tmp_path / "in"), "-o", str(tmp_path / "bands"), "--engine", "fast", "--refine", "2", "--gap", "1:3"]
    assert run([*arguments, "--threads", "1", "--workers", "0", "-q"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "bands-refined")
    assert len(list(bandrt.read(tmp_path / "bands-refined"))) == 2
    found = bandrt.screen(tmp_path / "bands", Criteria(gap=(1.0, 3.0)), refined=tmp_path / "bands-refined")
    assert {row["out"] for row in found} >= {str(tmp_path / "bands-refined")}
