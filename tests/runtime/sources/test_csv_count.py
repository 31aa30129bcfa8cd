"""Rows are counted as Python's `csv` finds them, or not at all."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from bandrt.errors import BandrtError
from bandrt.sources import count, csv_count, find
from bandrt.sources.csv_count import csv_lines


def read_by_csv(text: str) -> int:
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row)


def counted(text: str) -> int | None:
    return csv_lines(io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "a,b\n1,2",
        "a,b\r\n1,2\r\n\r\n3,4\r\n",
        "a\rb\r\rc",
        "\n\na\n\n",
        'a,"b\nc"\n"d\r\n\r\n","e"\n',
        'a,"he said ""no"",\n"""\n"",b\n',
        '"""","\n"\n',
        '"ab"c,d\n',
        'é,"ü\n"\n',
        '"never closed\n\n',
        " \n,\n",
    ],
)
@pytest.mark.parametrize("block", [1, 2, 7, 1 << 18])
def test_rows_are_those_of_csv(text: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_count, "_BLOCK_BYTES", block)
    assert counted(text) == read_by_csv(text)


@pytest.mark.parametrize("text", ['a b"c\n', 'a, "b\n"\n', 'a\n5" pipe,"x\ny"\n', '"a"b"c\n', "a\0b\n", '\ufeff"a"\n'])
def test_where_quotes_do_not_tell_there_is_no_answer(text: str) -> None:
    assert counted(text) is None


def test_a_row_longer_than_a_crystal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_count, "MAX_CRYSTAL_BYTES", 10)
    assert counted("a\n12345\n12345678\n") == 3
    assert counted("a\n1234567890\n") is None
    assert counted('a\n"1234\n\n\n67890"\nb\n') is None
    assert counted("12345678901") is None


def test_whatever_is_written_an_answer_is_that_of_csv() -> None:
    pick = random.Random(5)
    answers = 0
    for _ in range(3000):
        text = "".join(pick.choices('",\n\rab', weights=(4, 2, 2, 1, 1, 1), k=pick.randint(0, 14)))
        if (found := counted(text)) is not None:
            answers += 1
            assert found == read_by_csv(text), repr(text)
    assert answers > 1000


CELL = '"data_a\n_cell_length_a 4\n"'


@pytest.mark.parametrize(
    "text",
    [
        f"id,cif\na,{CELL}\n\nb,{CELL}\nc\n",  # a row that is too short counts
        f"id,text\na,{CELL}\n",  # no column
        "cif\n",
        "\ncif\na\n",  # a header that is blank
        f'id,cif\n5" pipe,{CELL}\nb,{CELL}\n',
        f"id,cif\na\0,{CELL}\nb,{CELL}\n",
    ],
)
def test_tables_hold_as_many_as_are_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    assert count(tmp_path) == len(sources_in(tmp_path))


def sources_in(folder: Path) -> list[object]:
    try:
        return list(find(folder))
    except BandrtError as error:
        if error.code != "no-input":
            raise
        return []
