"""Shortlists of real crystals: ranked by probability, counted, and chosen by what is known of them."""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt import Criteria, Shortlist
from bandrt.engine.calibration_file import calibration_path, write_calibration
from bandrt.errors import ArgumentError, BandrtError, ManifestError, UsageError
from bandrt.results.query import QueryError
from bandrt.results.summary import summary
from bandrt.run.infer import InferOptions, infer
from bandrt.screening.probability import probability_of_gap
from bandrt.screening.table import read_summary
from tests.support.calibrations import plain_calibration

WINDOW = Criteria(gap=(1.0, 2.5))


def test_crystals_are_ranked_by_the_probability_of_their_labels_and_equal_ones_by_id(results: Path) -> None:
    found = bandrt.screen(results, WINDOW)
    p = [row["p_match"] for row in found]
    assert len(found) == 42
    assert p == sorted(p, reverse=True)
    assert len(set(p)) > 5
    for one, other in zip(found, found.rows[1:], strict=False):
        assert one["p_match"] > other["p_match"] or one["id"] < other["id"]
    table = read_summary(results)
    expected = dict(zip(table.columns["id"], probability_of_gap(plain_calibration(), table.predicted, 1.0, 2.5), strict=True))
    assert {row["id"]: row["p_match"] for row in found} == {id: pytest.approx(one, abs=1e-6) for id, one in expected.items()}


def test_a_row_has_the_columns_of_the_summary_with_their_values(results: Path) -> None:
    predictions = {one.id: one for one in bandrt.read(results)}
    for row in bandrt.screen(results, WINDOW, top=7):
        own = {name: value for name, value in row.items() if name not in ("p_match", "out")}
        for name, value in summary(predictions[row["id"]]).items():
            assert own.pop(name) == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)
        assert not own
        assert row["out"] == str(results)


def test_the_expected_number_of_hits_is_the_sum_of_the_probabilities_and_within_its_range(results: Path) -> None:
    found = bandrt.screen(results, WINDOW, top=10)
    assert found.hits is not None
    assert found.all_hits is not None
    assert found.hits.expected == pytest.approx(sum(row["p_match"] for row in found), abs=1e-4)
    assert found.hits.low <= found.hits.expected <= found.hits.high <= 10
    assert found.all_hits.expected > found.hits.expected
    assert found.counts == (42, 1, 42, 0, 42)
    assert repr(found).startswith("Shortlist(10 of 42 crystals, ")


@pytest.mark.parametrize(
    ("criteria", "admits"),
    [
        ({"elements": ("O",)}, lambda one: 8 in one.crystal.atomic_numbers),
        ({"elements": ("Ga", "N")}, lambda one: {7, 31} <= set(one.crystal.atomic_numbers.tolist())),
        ({"exclude": ("O", "S")}, lambda one: not {8, 16} & set(one.crystal.atomic_numbers.tolist())),
        ({"max_atoms": 3}, lambda one: one.crystal.n_atoms <= 3),
        ({"space_groups": ((216, 216), (1, 15))}, lambda one: one.band_structure.space_group in (216, *range(1, 16))),
        ({"where": "warnings == magnetic or n_atoms > 6"}, lambda one: "magnetic" in one.warning_codes or one.crystal.n_atoms > 6),
        ({"where": "is_metal == true", "max_atoms": 4}, lambda one: one.band_structure.is_metal and one.crystal.n_atoms <= 4),
    ],
)
def test_what_is_known_of_a_crystal_chooses_which_are_ranked(
    results: Path, criteria: dict[str, Any], admits: Callable[[bandrt.Prediction], bool]
) -> None:
    expected = {one.id for one in bandrt.read(results) if admits(one)}
    found = bandrt.screen(results, Criteria(gap=(0.0, 5.0), **criteria))
    assert {row["id"] for row in found} == expected
    assert found.counts.considered == len(expected) < 42


def test_as_predicted_there_are_no_probabilities_and_what_is_predicted_is_chosen(results: Path) -> None:
    found = bandrt.screen(results, Criteria(gap=(1.0, 2.5), direct=True), as_predicted=True)
    bands = {one.id: one.band_structure for one in bandrt.read(results)}
    assert [row["id"] for row in found] == [id for id, one in bands.items() if 1.0 <= one.band_gap <= 2.5 and one.is_direct]
    assert "p_match" not in found.columns
    assert found.hits is None
    assert len(bandrt.screen(results, Criteria(gap=(0.0, 0.0)), as_predicted=True)) == sum(one.is_metal for one in bands.values())


def test_of_a_list_that_is_cut_it_is_known_how_long_it_would_be(results: Path) -> None:
    wanted = Criteria(gap=(1.0, 2.5))
    whole = bandrt.screen(results, wanted, as_predicted=True)
    assert len(whole) == whole.counts.listed > 2
    assert bandrt.screen(results, wanted, as_predicted=True, top=2).counts.listed == len(whole)
    assert bandrt.screen(results, wanted, top=2).counts.listed == 42


def test_a_folder_that_is_named_twice_counts_once(results: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(results)
    once = bandrt.screen(results, WINDOW)
    for folders in ([results, results], [results, results / ".." / results.name, tmp_path / "again"]):
        twice = bandrt.screen(folders, WINDOW)
        assert twice.counts == once.counts
        assert twice.all_hits == once.all_hits
        assert list(twice) == list(once)
        assert not twice.notes


def test_a_crystal_that_several_folders_hold_is_told(
    results: Path, calibrated_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]
) -> None:
    again = shutil.copytree(results, tmp_path / "again")
    [note] = bandrt.screen([results, again], WINDOW).notes
    assert note.startswith("42 crystals are in several of these folders and count in each, such as ")
    assert bandrt.screen([results, again], WINDOW, as_predicted=True).notes == (note,)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "MgO_mp-1265.cif").write_text(rock_salt())  # another crystal of that name
    infer(tmp_path / "in", tmp_path / "out", InferOptions(engine=calibrated_engine, threads=1, workers=0))
    assert not bandrt.screen([results, tmp_path / "out"], WINDOW).notes


def test_that_a_run_has_not_finished_is_told(results: Path, tmp_path: Path) -> None:
    stopped = shutil.copytree(results, tmp_path / "stopped")
    record = json.loads((stopped / "run.json").read_text(encoding="utf-8")) | {"status": "interrupted"}
    (stopped / "run.json").write_text(json.dumps(record), encoding="utf-8")
    note = f"{stopped}: not finished (interrupted): more crystals may follow"
    assert bandrt.screen(stopped, WINDOW).notes == (note,)
    assert bandrt.screen(stopped, WINDOW, as_predicted=True).notes == (note,)
    assert note in bandrt.screen([results, stopped], WINDOW).notes


def test_several_folders_make_one_list(
    results: Path, calibrated_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]
) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"salt-{i}.cif").write_text(rock_salt(a=4.0 + 0.2 * i))
    infer(tmp_path / "in", tmp_path / "out", InferOptions(engine=calibrated_engine, threads=1, workers=0))
    found = bandrt.screen([results, tmp_path / "out"], WINDOW)
    assert found.counts == (45, 1, 45, 0, 45)
    assert {row["out"] for row in found} == {str(results), str(tmp_path / "out")}
    assert [row["p_match"] for row in found] == sorted((row["p_match"] for row in found), reverse=True)


def test_kept_columns_come_along_and_can_be_asked_for(
    calibrated_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]
) -> None:
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "cif", "E, eV"], *([f"s{i}", rock_salt(a=4.0 + 0.1 * i), f"{i}.5"] for i in range(4))])
    infer(tmp_path / "table.csv", tmp_path / "out", InferOptions(engine=calibrated_engine, threads=1, workers=0, keep=["E, eV"]))
    found = bandrt.screen(tmp_path / "out", Criteria(gap=(0.0, 9.0), where="'E, eV' > 1"))
    assert sorted((row["id"], row["E, eV"]) for row in found) == [("s1", "1.5"), ("s2", "2.5"), ("s3", "3.5")]


def test_crystals_of_which_nothing_can_be_expected_are_counted_and_left_out(
    make_engine: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    (folder / "parts").mkdir(parents=True)
    columns = (
        "id,path,formula,space_group,n_atoms,band_gap_ev,direct_gap_ev,is_metal,is_direct,vbm_ev,cbm_ev,warnings,uncertainty_ev"
    )
    rows = [
        "a,a.cif,NaCl,225,2,1.5,1.5,false,true,-0.7,0.7,,0.3",
        "b,b.cif,H2,225,2,1.5,1.5,false,true,-0.7,0.7,close-atoms:H-H,nan",
    ]
    (folder / "summary.csv").write_text("\n".join([columns, *rows, "c,c.cif,KCl,225,2,1"]))  # the last line is not finished
    engine = make_engine(calibration=plain_calibration(uncertainty_range_ev=(0.1, 1.0)))
    record = {"engine": {"path": str(engine), "checkpoint_sha256": "0" * 64, "hand_over": "none"}}
    (folder / "run.json").write_text(json.dumps(record))
    found = bandrt.screen(folder, WINDOW)
    assert [row["id"] for row in found] == ["a"]
    assert found.counts == (2, 0, 2, 1, 1)


def test_without_a_calibration_of_these_weights_and_this_hand_over_there_are_no_probabilities(
    results: Path, tmp_path: Path
) -> None:
    def refused(change: dict[str, Any], **options: Any) -> UsageError:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(results, folder)
        run = json.loads((folder / "run.json").read_text())
        run["engine"] |= change
        (folder / "run.json").write_text(json.dumps(run))
        with pytest.raises(UsageError) as caught:
            bandrt.screen(folder, WINDOW, **options)
        return caught.value

    for change in ({"checkpoint_sha256": "d" * 64}, {"checkpoint_sha256": None}, {"hand_over": {"checkpoint_sha256": "e" * 64}}):
        error = refused(change)
        assert (error.code, error.exit_code) == ("no-calibration", 2)
        assert "--as-predicted" in error.message
    engine = json.loads((results / "run.json").read_text())["engine"]["path"]
    assert refused({"checkpoint_sha256": "d" * 64}, engine=engine).code == "engine-differs"
    assert refused({"path": "nowhere/else.onnx"}).code == "no-calibration"


def test_an_engine_that_has_moved_is_named(results: Path, calibrated_engine: Path, tmp_path: Path) -> None:
    folder, engine = tmp_path / "out", tmp_path / "moved.onnx"
    shutil.copytree(results, folder)
    run = json.loads((folder / "run.json").read_text())
    run["engine"]["path"] = "nowhere/else.onnx"
    (folder / "run.json").write_text(json.dumps(run))
    shutil.copy(calibrated_engine, engine)
    shutil.copy(calibration_path(calibrated_engine), calibration_path(engine))
    assert len(bandrt.screen(folder, WINDOW, engine=engine)) == 42


def test_what_is_wrong_with_the_calibration_of_its_engine_is_said_and_no_other_takes_its_place(
    make_engine: Callable[..., Path], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, own = make_engine(), make_engine()
    for engine in (shipped, own):
        write_calibration(plain_calibration(), calibration_path(engine))
    monkeypatch.setattr("bandrt.screening.calibrations.SHIPPED_ENGINES", {"shipped": shipped})
    folder = tmp_path / "out"
    shutil.copytree(results, folder)
    run = json.loads((folder / "run.json").read_text())
    run["engine"]["path"] = str(own)
    (folder / "run.json").write_text(json.dumps(run))
    calibration_path(own).write_text(calibration_path(own).read_text().replace('"n_crystals": 100', '"n_crystals": 101'))
    with pytest.raises(ManifestError, match=r"tiny\.onnx\.calibration\.json: the calibration is damaged"):
        bandrt.screen(folder, WINDOW)
    own.unlink()
    assert len(bandrt.screen(folder, WINDOW)) == 42


def test_what_is_wrong_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is wanted of the label") as caught:
        bandrt.screen(results, Criteria(elements=("O",)))
    assert caught.value.code == "no-criterion"
    with pytest.raises(QueryError):
        bandrt.screen(results, Criteria(gap=(0.0, 1.0), where="nosuch > 1"))
    with pytest.raises(ArgumentError, match="folders"):
        bandrt.screen([], WINDOW)
    with pytest.raises(BandrtError, match="there is no such folder") as missing:
        bandrt.screen(tmp_path / "nosuch", WINDOW)
    assert missing.value.code == "output-not-found"


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "id\nx\n", b"\xff\xfe\x00"])
def test_a_summary_that_is_none_is_refused(results: Path, tmp_path: Path, content: str | bytes | None) -> None:
    shutil.copytree(results, tmp_path / "out")
    path = tmp_path / "out" / "summary.csv"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BandrtError, match=r"summary\.csv: cannot be read") as caught:
        bandrt.screen(tmp_path / "out", WINDOW)
    assert caught.value.code == "summary-damaged"


def test_a_cell_that_is_no_number_is_named(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "out")
    path = tmp_path / "out" / "summary.csv"
    lines = path.read_text().splitlines()
    lines[3] = ",".join("wide" if place == 5 else cell for place, cell in enumerate(lines[3].split(",")))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BandrtError, match="column band_gap_ev") as caught:
        bandrt.screen(tmp_path / "out", WINDOW)
    assert caught.value.code == "summary-damaged"


def test_an_engine_without_skill_says_so(results: Path, make_engine: Callable[..., Path]) -> None:
    assert bandrt.screen(results, Criteria(direct=True)).notes == ()


def test_a_hundred_thousand_crystals_take_less_than_three_seconds_of_a_core(results: Path, tmp_path: Path) -> None:
    """Or, on a slower core, less than twelve times what Python's own reader of such tables takes."""
    folder = tmp_path / "out"
    (folder / "parts").mkdir(parents=True)
    record = json.loads((results / "run.json").read_text())
    record["counts"] |= {"total_predicted": 100_000, "total_failed": 0}
    (folder / "run.json").write_text(json.dumps(record))
    header, *lines = (results / "summary.csv").read_text().splitlines()
    generator = np.random.default_rng(0)
    places = generator.integers(len(lines), size=100_000)
    rows = (f"m-{number},{lines[place].partition(',')[2]}" for number, place in enumerate(places))
    (folder / "summary.csv").write_text("\n".join([header, *rows]) + "\n")
    start = time.process_time()
    with open(folder / "summary.csv", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 100_000
    reading = time.process_time() - start
    wanted, times = Criteria(gap=(1.0, 1.6), exclude=("Pb",), where="n_atoms < 10"), [time.process_time()]
    found: Shortlist = bandrt.screen(folder, wanted, top=200)
    times.append(time.process_time())
    whole = bandrt.screen(folder, wanted)
    times.append(time.process_time())
    assert min(np.diff(times)) < max(3.0, 12.0 * reading)  # of both, since neighbours on a shared processor make either slower
    assert len(found) == 200
    assert found.all_hits is not None
    assert math.isclose(found.all_hits.expected, sum(row["p_match"] for row in whole), rel_tol=1e-6)
