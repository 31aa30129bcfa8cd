"""Shortlists in files: each kind holds the same, and a folder of CIF files the crystals."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import bandrt
from bandrt import Criteria, Shortlist
from bandrt.errors import ArgumentError, BandrtError, OutputInTheWayError
from bandrt.readers import read_cif
from bandrt.screening.write import write


@pytest.fixture(scope="module")
def shortlist(results: Path) -> Shortlist:
    return bandrt.screen(results, Criteria(gap=(1.0, 2.5)), top=9)


def test_a_table_has_a_row_for_each_crystal_in_the_order_of_the_list(shortlist: Shortlist, tmp_path: Path) -> None:
    write(shortlist, tmp_path / "new" / "hits.csv")
    with (tmp_path / "new" / "hits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0])[:3] == ("id", "p_match", "out")
    assert [row["id"] for row in rows] == [row["id"] for row in shortlist]
    assert [float(row["p_match"]) for row in rows] == [row["p_match"] for row in shortlist]
    assert {row["is_metal"] for row in rows} <= {"true", "false"}


def test_json_lines_and_parquet_hold_the_values(shortlist: Shortlist, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(shortlist, tmp_path / "hits.jsonl")
    write(shortlist, tmp_path / "hits.parquet")
    lines = [json.loads(line) for line in (tmp_path / "hits.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = [{name: list(value) if isinstance(value, tuple) else value for name, value in row.items()} for row in shortlist]
    assert lines == expected
    table = parquet.read_table(tmp_path / "hits.parquet")
    assert table.to_pylist() == expected
    assert table.schema.field("band_gap_ev").metadata == {b"units": b"eV"}


def test_a_list_without_a_crystal_has_a_header(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    empty = bandrt.screen(results, Criteria(gap=(1.0, 2.5), elements=("Og",)))
    assert (len(empty), empty.hits) == (0, (0.0, 0, 0))
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        write(empty, tmp_path / name)
    write(empty, tmp_path / "folder")
    assert (tmp_path / "a.csv").read_text().startswith("id,p_match,out,path")
    assert (tmp_path / "folder" / "hits.csv").read_text().count("\n") == 1


def test_a_folder_has_the_crystals_as_cif_files_and_a_table_that_names_them(
    shortlist: Shortlist, results: Path, tmp_path: Path
) -> None:
    write(shortlist, tmp_path / "hits")
    with (tmp_path / "hits" / "hits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {one.id: one.crystal for one in bandrt.read(results)}
    assert len(rows) == 9 == len(list((tmp_path / "hits").glob("*.cif")))
    for row in rows:
        crystal = read_cif((tmp_path / "hits" / row["cif_file"]).read_text(encoding="utf-8"))
        assert crystal.hill_formula == cells[row["id"]].hill_formula
        assert crystal.volume == pytest.approx(cells[row["id"]].volume, rel=1e-8)
        assert bandrt.featurize(crystal).space_group == int(row["space_group"])


def test_nothing_is_replaced_unasked(shortlist: Shortlist, tmp_path: Path) -> None:
    for target in (tmp_path / "hits.csv", tmp_path / "folder"):
        write(shortlist, target)
        with pytest.raises(OutputInTheWayError) as caught:
            write(shortlist, target)
        assert caught.value.code == "output-exists"
        write(shortlist, target, overwrite=True)
    (tmp_path / "folder" / "hits.csv").unlink()
    with pytest.raises(OutputInTheWayError, match=r"\.cif: is there already"):
        write(shortlist, tmp_path / "folder")


def test_a_folder_holds_the_files_of_its_list_alone(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hits"
    first, second = (bandrt.screen(results, Criteria(gap=gap), top=top) for gap, top in (((1.0, 2.5), 5), ((4.0, 9.0), 2)))
    write(first, folder)
    (folder / "mine.cif").write_text("not of a list", encoding="utf-8")
    write(second, folder, overwrite=True)
    with (folder / "hits.csv").open(newline="") as file:
        named = {row["cif_file"] for row in csv.DictReader(file)}
    assert len(named) == 2
    assert {path.name for path in folder.glob("*.cif")} == {"mine.cif", *named}


def test_a_list_does_not_take_the_place_of_the_summary(shortlist: Shortlist, results: Path) -> None:
    before = (results / "summary.csv").read_bytes()
    with pytest.raises(OutputInTheWayError) as caught:
        write(shortlist, results / "summary.csv", overwrite=True)
    assert caught.value.code == "output-record"
    assert (results / "summary.csv").read_bytes() == before


def test_another_kind_of_file_and_lost_parts_are_refused(shortlist: Shortlist, results: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"\*\.csv, \*\.jsonl, \*\.parquet, or a folder"):
        write(shortlist, tmp_path / "hits.xlsx")
    shutil.copytree(results, tmp_path / "out")
    found = bandrt.screen(tmp_path / "out", Criteria(gap=(1.0, 2.5)), top=3)
    for part in (tmp_path / "out" / "parts").iterdir():
        part.unlink()
    with pytest.raises(BandrtError, match="no part holds") as caught:
        write(found, tmp_path / "folder")
    assert caught.value.code == "part-damaged"
