"""Gaps of a table, as a learned Hamiltonian learns them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from bandrt_train.data.hamiltonian.gaps import KnownGap, gaps_sha256, read_gaps
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.small_hamiltonians import SALT


@pytest.fixture
def table(tmp_path: Path) -> Path:
    def salt(first: str, second: str, a: float) -> str:
        return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(fmt="cif")

    rows = [
        ("salt", salt("Na", "Cl", 5.64), "5.0"),
        ("metal", salt("Ca", "Mg", 5.5), "0"),
        ("magnetic", salt("Ni", "O", 4.2), "2.4"),
        ("odd", salt("Na", "O", 5.0), "0"),
        ("damaged", "data_nothing", "1.0"),
        ("unknown", salt("Mg", "O", 4.2), ""),
        ("iodide", salt("K", "I", 7.1), "4.0"),
    ]
    path = tmp_path / "gaps.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("material_id", "cif", "band_gap_pbe_ev"))
        writer.writerows(rows)
    return path


EVERYTHING = frozenset(range(1, 84))


def test_crystals_that_can_have_the_gap_are_kept(table: Path) -> None:
    gaps = read_gaps([table], elements=EVERYTHING, max_atoms=8)
    assert [(one.id, one.formula, one.gap) for one in gaps] == [
        ("salt", "ClNa", 5.0),
        ("metal", "CaMg", 0.0),
        ("iodide", "IK", 4.0),
    ]
    assert gaps[0].pairs.n_atoms == 2  # the primitive cell
    np.testing.assert_allclose(np.sort(gaps[0].pairs.distance), np.sort(find_pairs(SALT).distance), atol=1e-4)
    assert gaps[0].kpoints.shape == (32, 3)


def test_elements_sizes_formulas_and_numbers_can_be_chosen(table: Path) -> None:
    def ids(**options: object) -> list[str]:
        chosen = {"elements": EVERYTHING, "max_atoms": 8} | options
        return [one.id for one in read_gaps([table], **chosen)]  # type: ignore[arg-type]

    assert ids(elements={11, 17}) == ["salt"]
    assert ids(max_atoms=7) == []  # as the table has them
    assert ids(limit=2) == ["salt", "metal"]
    assert ids(wanted=lambda formula: formula != "ClNa") == ["metal", "iodide"]


def test_several_tables_are_read_each_crystal_once_with_its_weight(table: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        salt, *_, iodide = csv.DictReader(stream)
    with more.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ("material_id", "band_gap_pbe_ev", "weight", "cif"))
        writer.writeheader()
        writer.writerow(salt | {"band_gap_pbe_ev": "4.0", "weight": "0.5"})
        writer.writerow(iodide | {"material_id": "other", "weight": "0.5"})
        writer.writerow(iodide | {"material_id": "whole", "weight": ""})
        writer.writerow(iodide | {"material_id": "nothing", "weight": "0"})

    def read(*tables: Path) -> dict[str, tuple[float, float]]:
        return {one.id: (one.gap, one.weight) for one in read_gaps(tables, elements=EVERYTHING, max_atoms=8)}

    alone = {"salt": (5.0, 1.0), "metal": (0.0, 1.0), "iodide": (4.0, 1.0)}
    assert read(table, more) == alone | {"other": (4.0, 0.5), "whole": (4.0, 1.0)}
    assert read(more, table)["salt"] == (4.0, 0.5)  # of two rows the first

    def of_other(weight: str) -> tuple[KnownGap, ...]:
        text = more.read_text(encoding="utf-8").replace("other,4.0,0.5", f"other,4.0,{weight}")
        (tmp_path / "again.csv").write_text(text, encoding="utf-8")
        return read_gaps([tmp_path / "again.csv"], elements=EVERYTHING, max_atoms=8)

    assert gaps_sha256(of_other("0.5")) != gaps_sha256(of_other("0.6"))  # a run with other weights is another run


def test_other_gaps_have_another_checksum(table: Path) -> None:
    gaps = read_gaps([table], elements=EVERYTHING, max_atoms=8)
    assert gaps_sha256(gaps) != gaps_sha256(gaps[:2])
    assert gaps_sha256(gaps) == gaps_sha256(tuple(reversed(gaps)))
    assert gaps_sha256(()) == ""
