"""Crystals with exchanged elements: the same from the same tables and seed, of the same kind as before, and readable."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bandrt.crystal import Crystal
from bandrt.readers.cif import read_cif
from bandrt.symmetry.standard_cell import standardize
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
GAPS_EV = {"AlAs_mp-2172": "1.5", "NiAl_mp-1487": "0", "GaAs_mp-8883": "0.0", "MgAl2O4_mp-3536": "5.1"}
"""Of the table, eV; that of GaAs is set to zero, so that the two that fit differ."""


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def table(examples: Path, tmp_path: Path) -> Path:
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("material_id", "band_gap_pbe_ev", "cif"))
        writer.writerows((name, GAPS_EV[name], (examples / f"{name}.cif").read_text(encoding="utf-8")) for name in GAPS_EV)
    return path


def test_elements_are_exchanged_and_symmetry_is_kept(table: Path, examples: Path, tmp_path: Path) -> None:
    script = load_script(ROOT / "tools" / "varied_crystals.py")
    for out, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        arguments = [str(table), "-o", str(tmp_path / f"{out}.csv.gz"), "--copies", "3", "--seed", seed]
        CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    first, again, other = ((tmp_path / f"{out}.csv.gz").read_bytes() for out in ("first", "again", "other"))
    assert first == again != other
    found = rows_of(tmp_path / "first.csv.gz")
    fitting = ("AlAs_mp-2172", "GaAs_mp-8883")  # nickel has no labelled bands to be exchanged, the spinel too many atoms
    assert [row["material_id"] for row in found] == [f"{name}-1.{copy}" for name in fitting for copy in range(3)]
    formulas = set()
    for row in found:
        before = read_cif((examples / f"{row['material_id'].rpartition('-')[0]}.cif").read_text(encoding="utf-8"), name="before")
        after = read_cif(row["cif"], name="after")
        formulas.add(after.formula)
        assert after.n_atoms == before.n_atoms
        assert standardize(after).space_group == standardize(before).space_group
    assert len(formulas) > 2


def test_different_elements_stay_different_and_the_cell_goes_with_the_radii() -> None:
    script = load_script(ROOT / "tools" / "varied_crystals.py")
    crystal = Crystal.checked(np.eye(3) * 4.0, [3, 11, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
    radii = dict.fromkeys(script.OTHERS, 1.0) | {"Cs": 3.0}
    draw = np.random.default_rng(0)
    for _ in range(50):
        made = script.varied(crystal, script.OTHERS, radii, draw)
        assert len(set(made.symbols)) == 3
        expected = 4.0 * (5 / 3 if "Cs" in made.symbols else 1.0)
        assert made.lattice[0, 0] == pytest.approx(expected, rel=0.06)


def test_any_element_takes_the_place_of_any(table: Path, tmp_path: Path) -> None:
    script = load_script(ROOT / "tools" / "varied_crystals.py")
    arguments = [str(table), "-o", str(tmp_path / "any.csv.gz"), "--copies", "20", "--any"]
    CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    made = [read_cif(row["cif"], name="made") for row in rows_of(tmp_path / "any.csv.gz")]
    others = [{column for column in script.COLUMNS for symbol in set(one.symbols) if symbol in column.split()} for one in made]
    assert len(made) == 40
    assert {one.n_atoms for one in made} == {2, 4}
    assert all(len(set(one.symbols)) == 2 for one in made)
    assert len(set().union(*others)) > len(script.COLUMNS) // 2


def test_crystals_without_a_gap_in_the_table_are_left_out_where_non_metals_are_wanted(table: Path, tmp_path: Path) -> None:
    script = load_script(ROOT / "tools" / "varied_crystals.py")
    arguments = [str(table), "-o", str(tmp_path / "non-metals.csv.gz"), "--copies", "2", "--non-metals", "--max-atoms", "60"]
    CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    found = [row["material_id"].rpartition("-")[0] for row in rows_of(tmp_path / "non-metals.csv.gz")]
    assert found == ["AlAs_mp-2172"] * 2 + ["MgAl2O4_mp-3536"] * 2


def test_a_cell_that_became_too_small_is_left_out(tmp_path: Path) -> None:
    script = load_script(ROOT / "tools" / "varied_crystals.py")
    crystal = Crystal.checked(np.eye(3) * 2.0, [55] * 1 + [37] * 1, [[0, 0, 0], [0.5, 0.5, 0.5]])
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows((("material_id", "cif"), ("a", script.cif_text(crystal, name="a"))))
    arguments = [str(path), "-o", str(tmp_path / "any.csv.gz"), "--copies", "200", "--any"]
    assert CliRunner().invoke(script.main, arguments, catch_exceptions=False).exit_code == 0
    assert 0 < len(rows_of(tmp_path / "any.csv.gz")) < 200
