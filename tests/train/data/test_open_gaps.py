"""The open gaps: every crystal is there once, and no formula of a held-out split is in the training split by another table."""

from __future__ import annotations

import csv
import gzip
import math
from collections import Counter
from pathlib import Path

import pytest
from pymatgen.core import Composition

from bandrt.readers import read_cif
from bandrt_train.data.dataset import SplitRule, share_of
from bandrt_train.data.gap_labels import GapLabel, find_gaps, parse_gap
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "train" / "gaps"
NEWER, OLDER = FOLDER / "materials-project.csv.gz", FOLDER / "materials-project-2018.csv.gz"
EVERY = 40
"""Of the older rows that are read."""


@pytest.fixture(scope="module")
def ids() -> dict[Path, list[str]]:
    return {table: [row.id for row in find_gaps(table)] for table in (NEWER, OLDER)}


@pytest.fixture(scope="module")
def some() -> dict[str, GapLabel]:
    rows = list(find_gaps(OLDER))[::EVERY]
    return {row.id: parse_gap(row) for row in rows}


def formulas(table: Path) -> dict[str, str]:
    """The formula that a table says of each id."""
    with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
        return {row["material_id"]: row["formula"] for row in csv.DictReader(stream)}


def reduced(formula: str) -> frozenset[tuple[str, int]]:
    """How many of each element, without a common divisor, as pymatgen reads what a table says."""
    amounts = {symbol: int(amount) for symbol, amount in Composition(formula).get_el_amt_dict().items()}
    divisor = math.gcd(*amounts.values())
    return frozenset((symbol, amount // divisor) for symbol, amount in amounts.items())


def test_every_crystal_is_in_one_of_the_tables_once(ids: dict[Path, list[str]]) -> None:
    assert [len(ids[table]) for table in (NEWER, OLDER)] == [15334, 5174]
    assert max(Counter([*ids[NEWER], *ids[OLDER]]).values()) == 1


def test_the_repository_stays_small() -> None:
    assert OLDER.stat().st_size < 1_500_000


def test_older_gaps_count_less_and_small_ones_least(some: dict[str, GapLabel]) -> None:
    weights = {(one.gap == 0.0, one.gap <= 0.3): one.weight for one in some.values()}
    assert weights == {(True, True): 0.8, (False, True): 0.3, (False, False): 0.8}
    assert {row.weight for row in map(parse_gap, list(find_gaps(NEWER))[::2000])} == {1.0}


def test_a_formula_goes_to_one_split_whichever_table_it_is_in(some: dict[str, GapLabel]) -> None:
    rules = [SplitRule(), HeldOut(fold=FoldRule(5, 1))]
    older, seen = formulas(OLDER), Counter[str]()
    for name, label in some.items():
        amounts = dict(reduced(older[name]))
        carbon = [symbol for symbol in ("C", "H") if "C" in amounts and symbol in amounts]  # Hill: carbon and hydrogen first
        order = [*carbon, *sorted(set(amounts) - set(carbon))]
        hill = "".join(f"{symbol}{amounts[symbol] if amounts[symbol] != 1 else ''}" for symbol in order)
        assert label.crystal.hill_formula == hill
        assert [rule.split(label.crystal.hill_formula) for rule in rules] == [rule.split(hill) for rule in rules]
        seen[SplitRule().split(hill)] += 1
        assert (share_of(hill, 0) < 0.1) == (SplitRule().split(hill) == "test")
    assert set(seen) == {"train", "validation", "test"}


def test_polymorphs_in_both_tables_are_of_one_split() -> None:
    newer, older = formulas(NEWER), formulas(OLDER)
    known = {reduced(formula): name for name, formula in newer.items()}
    both = {name: known[reduced(formula)] for name, formula in older.items() if reduced(formula) in known}
    assert len(both) > 100
    wanted = set(list(both)[::20])
    partners = {both[name] for name in wanted}
    read = {row.id: parse_gap(row).crystal.hill_formula for row in find_gaps(NEWER, OLDER) if row.id in wanted | partners}
    for name in wanted:
        assert read[name] == read[both[name]]


def test_a_shorter_cif_is_the_same_crystal_to_the_last_bit(shared: Path, some: dict[str, GapLabel]) -> None:
    script = load_script(ROOT / "tools" / "older_gaps.py")
    rows = [row for row in script.table_of(shared / "data" / "structures.csv.gz") if row["material_id"] in some]
    assert len(rows) == len(some)
    for row in rows:
        whole, kept = read_cif(row["cif"]), some[row["material_id"]].crystal
        for name in ("lattice", "atomic_numbers", "frac_coords"):
            assert getattr(whole, name).tobytes() == getattr(kept, name).tobytes()


def test_the_older_table_is_what_its_generator_writes(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script(ROOT / "tools" / "older_gaps.py")
    monkeypatch.setattr(script, "OUTPUT", tmp_path / "again.csv.gz")
    script.main(shared / "data" / "gaps-mp2018.csv.gz", shared / "data" / "structures.csv.gz")
    assert gzip.decompress((tmp_path / "again.csv.gz").read_bytes()) == gzip.decompress(OLDER.read_bytes())


def test_a_site_that_is_not_whole_is_not_shortened() -> None:
    script = load_script(ROOT / "tools" / "older_gaps.py")
    with pytest.raises(ValueError, match=r"once and whole: Na Na0 1 0\.5 0\.5 0\.5 0\.5"):
        script.short_cif("Na Na0 1 0.5 0.5 0.5 0.5")
