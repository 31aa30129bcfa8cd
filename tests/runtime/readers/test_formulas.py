"""Formulas in every spelling: their amounts, and atoms that contradict them."""

from __future__ import annotations

import pytest

from bandrt.readers.formulas import amounts_of, contradiction_of

PORTLANDITE = {20: 1, 8: 2, 1: 2}


@pytest.mark.parametrize(
    "formula",
    [
        *("Ca1 O2 H2", "CaO2H2", "Ca(OH)2", "Ca (O H)2", "Ca[OH]2", "Ca1.0 (O1H1)2.0", "((Ca)(OH)2)1", "Ca 1 O 2 H 2"),
        *("H2 Ca O2,", "CaO*H2O", "CaO · H2O", "Ca, 2OH", "2(Ca0.5 O H)", "Ca O2 H2 2+", "Ca O2 H2 +", "Ca(OH)2 (2+)"),
        *("CA1 O2 H2", "Ca1(0) O2(1) H2", "Ca O D D O", "Ca O2 H2 N0"),
    ],
)
def test_amounts_are_read_in_every_spelling(formula: str) -> None:
    assert amounts_of(formula) == PORTLANDITE
    assert not contradiction_of(formula, PORTLANDITE)
    assert contradiction_of(formula, {20: 1, 8: 2})


@pytest.mark.parametrize(
    "formula",
    [
        *("Ca O2 2(H)", "Ca O2 H2 (2)", "Ca1 O2 Hx", "CaO2H22+", "Ca O2 Hx 2+", "CaO2H2-x", "Ca(O,H)2", "Ca O2 (H", "Ca O2] H"),
        *("Ca O 2 H2 O", "Ca(OH)2-", "CaO . H2O", "Ca1.0.0 O H", "CA1(OH)2", f"{'(' * 20}CaOH{')' * 20}"),
    ],
)
def test_elements_are_compared_where_amounts_cannot_be_read(formula: str) -> None:
    assert amounts_of(formula) == {}
    assert not contradiction_of(formula, {20: 7, 8: 1, 1: 5})
    assert "other elements" in contradiction_of(formula, {20: 1, 8: 2})


@pytest.mark.parametrize(
    "phrase", ["", "?", "rock salt", "Unknown", "N/A", "NA", "Na.", "NaCl structure", "alpha-SiO2", "see text", "1 2 3", "x", "()"]
)
def test_a_phrase_says_nothing(phrase: str) -> None:
    assert not contradiction_of(phrase, {26: 1})


@pytest.mark.parametrize(
    ("formula", "found", "agrees"),
    [
        ("(Fe0.5Ni0.5)S", {26: 1, 16: 1}, False),
        ("(Fe0.5Ni0.5)S", {26: 1, 28: 1, 16: 2}, True),
        ("(Fe0.5Ni0.5)2 S2", {26: 1, 28: 1, 16: 2}, True),
        ("Na0.90(2) Cl1", {11: 1, 17: 1}, False),
        ("Na0.33 Na0.33 Cl0.67", {11: 1, 17: 1}, True),
        ("Na0.33 Na0.33 Cl0.75", {11: 1, 17: 1}, False),
        ("(Na0.333)3 Cl", {11: 1, 17: 1}, True),
        ("Fe(1-x) Ni(x) S", {26: 1, 16: 1}, False),
        ("Fe(1-x) Ni(x) S", {26: 1, 28: 1, 16: 2}, True),
        ("Fe2 O3 Fe O Ni0.5", {11: 1, 17: 1}, False),
    ],
)
def test_mixtures_have_to_be_there_in_their_ratios(formula: str, found: dict[int, int], agrees: bool) -> None:
    assert bool(contradiction_of(formula, found)) is not agrees


def test_a_stated_number_of_units_is_the_one_that_is_held() -> None:
    assert not contradiction_of("Ca(OH)2", PORTLANDITE, 1)
    assert contradiction_of("Ca(OH)2", PORTLANDITE, 2).startswith("the cell holds H2 O2 Ca1, the file states 2 x 'Ca(OH)2'")


def test_a_very_long_or_deep_text_is_soon_read() -> None:
    for text in ("(" * 10**5, "Na1" * 10**5, "9" * 10**5 + ".5.5", "(Na)" * 2000, "Dy" * 10**5 + "?", "9(" * 5000 + ")" * 5000):
        contradiction_of(text, {11: 1})
