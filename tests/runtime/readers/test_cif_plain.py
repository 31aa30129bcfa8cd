"""The short way through a CIF as pymatgen writes it: taken by such files only, and to the same end as the parser's."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from bandrt.errors import InputError
from bandrt.readers.cif import read_cif
from bandrt.readers.cif_plain import plain_cif

SLIPS = "aZ09.-+() \n\t\r\x0b\x1c'\"#;_$?é,"


@pytest.fixture(scope="module")
def texts(examples: Path) -> list[str]:
    """Files without symmetry."""
    every = [path.read_text(encoding="utf-8") for path in sorted(examples.glob("*.cif"))]
    return [text for text in every if "'P 1'" in text]


def outcome(text: str) -> tuple[object, ...]:
    try:
        crystal = read_cif(text, name="x.cif")
    except InputError as error:
        return error.code, error.message
    return crystal.lattice.tobytes(), crystal.atomic_numbers.tobytes(), crystal.frac_coords.tobytes()


def damaged(text: str, dice: random.Random) -> str:
    """The text with something in it lost, added, exchanged or repeated."""
    start = dice.randrange(len(text) // 2 if dice.random() < 0.6 else 0, len(text))
    match dice.randrange(5):
        case 0:
            return text[:start] or "x"
        case 1:
            return text[:start] + dice.choice(SLIPS) + text[start + 1 :]
        case 2:
            return text[:start] + dice.choice(SLIPS) + text[start:]
        case 3:
            return text[:start] + text[start + dice.randrange(1, 9) :]
        case _:
            lines = text.split("\n")
            lines[dice.randrange(len(lines))] = dice.choice(lines)
            return "\n".join(lines)


def test_it_takes_what_pymatgen_writes(texts: list[str]) -> None:
    assert len(texts) > 15
    assert all(plain_cif(text) for text in texts)


def test_it_leaves_a_file_with_symmetry_to_the_parser(examples: Path) -> None:
    assert plain_cif((examples / "LaB6_mp-2680.cif").read_text(encoding="utf-8")) is None


def test_it_says_what_the_file_says(examples: Path) -> None:
    plain = plain_cif((examples / "AlAs_mp-2172.cif").read_text(encoding="utf-8"))
    assert plain is not None
    assert plain.lengths == pytest.approx([4.0, 4.0, 4.0], abs=0.1)
    assert plain.angles == [60.0, 60.0, 60.0]
    assert (plain.formula, plain.units) == ("Al1 As1", "1")
    assert plain.columns["_atom_site_type_symbol"] == ["Al", "As"]
    assert len(plain.columns["_atom_site_fract_z"]) == 2


def test_it_leads_where_the_parser_leads(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(1)
    given = texts + [damaged(text, dice) for text in texts for _ in range(40)]
    taken = Counter(plain_cif(text) is not None for text in given)
    assert min(taken.values()) > 100
    quick = [outcome(text) for text in given]
    monkeypatch.setattr("bandrt.readers.cif.plain_cif", lambda text: None)
    for text, found in zip(given, quick, strict=True):
        assert found == outcome(text), text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'x, y, z'", "'-x, y, z'"),
        ("'P 1'", "'P -1'"),
        ("_atom_site_occupancy\n", "_atom_site_occupancy\n_atom_site_disorder_group\n"),
        ("\n", "\r\n"),
        ("\nloop_\n _atom", "\n_cell_measurement_temperature   300\nloop_\n _atom"),
    ],
)
def test_it_leaves_other_files_to_the_parser(texts: list[str], old: str, new: str) -> None:
    assert old in texts[0]
    assert plain_cif(texts[0].replace(old, new)) is None
