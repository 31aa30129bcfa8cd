"""Queries choose crystals by their summary, run no code, and say what is wrong with them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bandrt.results.query import QueryError, parse_query
from bandrt.results.summary import COLUMNS, KINDS, UNCERTAINTY_COLUMN

SALT: dict[str, Any] = {
    "id": "mp-22862", "path": "a b/NaCl.cif", "formula": "NaCl", "space_group": 225, "n_atoms": 2, "band_gap_ev": 5.0,
    "is_metal": False, "is_direct": True, "vbm_ev": -2.5, "cbm_ev": 2.5, "warnings": (), "uncertainty_ev": 0.4,
}  # fmt: skip
IRON: dict[str, Any] = SALT | {
    "id": "mp-13", "formula": "Fe", "n_atoms": 1, "band_gap_ev": 0.0, "is_metal": True, "vbm_ev": None, "cbm_ev": None,
    "warnings": ("magnetic:Fe", "more-atoms:9"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "salt", "iron"),
    [
        ("band_gap_ev > 1", True, False),
        ("band_gap_ev>=5e0 and band_gap_ev<=5.0", True, False),
        ("is_metal == False", True, False),
        ("is_metal != false", False, True),
        ("formula == 'NaCl'", True, False),
        ("formula == Fe or formula == NaCl", True, True),
        ('path == "a b/NaCl.cif"', True, True),
        ("warnings == magnetic", False, True),
        ("warnings == 'magnetic:Fe'", False, True),
        ("warnings != magnetic", True, False),
        ("warnings == none", True, False),
        ("vbm_ev == none", False, True),
        ("vbm_ev != none", True, False),
        ("vbm_ev < 100", True, False),
        ("vbm_ev != 3", True, False),
        ("n_atoms == 1 or n_atoms == 2 and is_metal == true", False, True),
        ("(n_atoms == 1 or n_atoms == 2) and is_metal == false", True, False),
        ("((n_atoms == 2))", True, False),
        ("n_atoms == 2 AND space_group > 200 and uncertainty_ev < 0.5", True, False),
    ],
)
def test_a_query_chooses_what_satisfies_it(query: str, salt: bool, iron: bool) -> None:
    parsed = parse_query(query, KINDS)
    assert (parsed.matches(SALT), parsed.matches(IRON)) == (salt, iron)


@pytest.mark.parametrize(
    ("query", "cell", "matches"),
    [
        ("gap > 1", "1.5", True),
        ("gap > 1", "-1.5", False),
        ("gap <= 1.50", "1.5", True),
        ("gap == 1.50", "1.5", True),
        ("gap == '1.50'", "1.5", False),
        ("gap == '1.5'", "1.5", True),
        ("gap != 1.5", "1.50", False),
        ("gap > 1", "high", False),
        ("gap < 1", "nan", False),
        ("gap != 1", "nan", False),
        ("gap != 1", "NaN", False),
        ("gap == 1", "high", False),
        ("gap != 1", "high", True),
        ("gap == high", "high", True),
        ("gap == nan", "nan", True),
        ("gap == 12", "1_2", False),
        ("gap == 1_2", "12", False),
        ("gap == 1_2", "1_2", True),
        ("gap == none", None, True),
        ("gap == none", "0", False),
        ("gap > -9", None, False),
        ("'gap' > 1", "2", True),
    ],
)
def test_a_cell_is_a_number_where_it_is_compared_with_one(query: str, cell: str | None, matches: bool) -> None:
    assert parse_query(query, {**KINDS, "gap": "cell"}).matches({**SALT, "gap": cell}) == matches


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("uncertainty_ev == none", True),
        ("uncertainty_ev != none", False),
        ("uncertainty_ev != 0.3", False),
        ("uncertainty_ev < 0.3", False),
    ],
)
def test_an_error_that_cannot_be_expected_is_missing(query: str, matches: bool) -> None:
    assert parse_query(query, KINDS).matches({**SALT, "uncertainty_ev": math.nan}) == matches


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
def test_none_is_none_however_it_is_written(word: str) -> None:
    clean, warned = SALT | {"warnings": ()}, SALT | {"warnings": ("magnetic:Fe",)}
    for query, wanted in ((f"warnings == {word}", clean), (f"warnings != {word}", warned)):
        parsed = parse_query(query, KINDS)
        assert [parsed.matches(row) for row in (clean, warned)] == [wanted is clean, wanted is warned]


@pytest.mark.parametrize("query", ["gap > high", "gap < '1'", "gap >= none"])
def test_a_cell_is_smaller_or_larger_than_numbers_only(query: str) -> None:
    with pytest.raises(QueryError, match="only numbers") as refused:
        parse_query(query, {**KINDS, "gap": "cell"})
    assert refused.value.code == "query-value"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "query-syntax"),
        ("band_gap_ev", "query-syntax"),
        ("band_gap_ev >", "query-syntax"),
        ("band_gap_ev = 1", "query-syntax"),
        ("band_gap_ev > 1 and", "query-syntax"),
        ("band_gap_ev > 1 is_metal == true", "query-syntax"),
        ("(band_gap_ev > 1", "query-syntax"),
        ("band_gap_ev > 1)", "query-syntax"),
        ("> 1", "query-syntax"),
        ("formula == 'Na", "query-syntax"),
        ("(" * 5000 + "n_atoms == 1" + ")" * 5000, "query-syntax"),
        ("gap > 1", "query-column"),
        ("__import__ == 1", "query-column"),
        ("band_gap_ev > high", "query-value"),
        ("is_metal == maybe", "query-value"),
        ("is_metal > false", "query-value"),
        ("formula < B", "query-value"),
        ("vbm_ev < none", "query-value"),
        ("band_gap_ev > nan", "query-value"),
        ("band_gap_ev > 1_0", "query-value"),
        ("n_atoms != 'NaN'", "query-value"),
    ],
)
def test_what_cannot_be_understood_is_refused(query: str, code: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse_query(query, KINDS)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("is_metal = false", "from '= false' on; write =="),
        ("n_atoms => 2", "; write >="),
        ("n_atoms =< 2", "; write <="),
        ("band_gap > 1", "there is no column 'band_gap'; did you mean band_gap_ev? There are id, "),
        ("gap > 1", "did you mean band_gap_ev?"),
        ("quite_another > 1", "there is no column 'quite_another'; there are id, "),
    ],
)
def test_a_likely_mistake_is_told_what_to_write(query: str, said: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse_query(query, KINDS)
    assert said in refused.value.message


@pytest.mark.parametrize(
    "query", ["(" * 9000, "band_gap_ev > 1 " + "x" * 9000, "formula < " + "x" * 9000, "n_atoms == " + "y" * 9000]
)
def test_a_query_of_any_length_fits_into_its_message(query: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse_query(query, KINDS)
    assert len(str(refused.value)) < 500


def test_an_unknown_column_is_answered_with_those_there_are() -> None:
    with pytest.raises(QueryError, match="band_gap_ev, direct_gap_ev, is_metal"):
        parse_query("gap > 1", KINDS)


def test_every_column_of_the_summary_can_be_asked_for() -> None:
    assert list(KINDS) == [*COLUMNS, UNCERTAINTY_COLUMN]
