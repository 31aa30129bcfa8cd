"""The page of the labels says what they cover, and stays right when shards are added."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from pymatgen.core import Composition

from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
coverage = load_script(ROOT / "tools" / "label_coverage.py")
TEXT = (ROOT / "train" / "labels" / "README.md").read_text(encoding="utf-8")
SMALL = "bd9e441ada87"
"""A shard of few labels."""


@pytest.fixture
def rows() -> dict[str, list[str]]:
    return {cells[0]: cells[1:] for line in TEXT.splitlines() if line.startswith("| ") and (cells := line.strip("| ").split(" | "))}


@pytest.fixture(scope="module")
def documents() -> list[dict[str, object]]:
    """The labels of the shards that the page counts, as they are written."""
    lines = []
    for shard in coverage.shards_named(TEXT):
        lines += gzip.decompress((coverage.LABELS / f"dft-pbe-{shard}.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def test_the_page_says_what_its_shards_and_the_gaps_hold() -> None:
    shards = coverage.shards_named(TEXT)
    assert shards
    assert coverage.page(shards) == TEXT, "run python tools/label_coverage.py"


def test_labels_metals_and_elements_are_counted_as_the_labels_say(
    rows: dict[str, list[str]], documents: list[dict[str, object]]
) -> None:
    metals = sum(one["is_metal_label"] is True for one in documents)
    assert rows["all"] == [str(len(documents)), str(metals), str(len(documents) - metals)]
    assert rows["metals"][0] == rows["metals"][1] == str(metals)
    counts = Counter(str(element) for one in documents for element in Composition(str(one["formula"])).elements)
    [said] = re.findall(r"^Labels of each of the (\d+) elements: (.*)\.$", TEXT, re.MULTILINE)
    assert int(said[0]) == len(counts)
    assert dict(one.split() for one in said[1].split(", ")) == {symbol: str(n) for symbol, n in counts.items()}
    magnetic = {"V", "Cr", "Mn", "Fe", "Co", "Ni"}
    with_magnetic = sum(not magnetic.isdisjoint(map(str, Composition(str(one["formula"])).elements)) for one in documents)
    assert rows["with V to Ni"][0] == str(with_magnetic)


def test_gaps_are_counted_as_the_tables_say(rows: dict[str, list[str]]) -> None:
    counts = {name: [int(cell) for cell in rows[f"`{name}`"][:2]] for name in coverage.GAP_TABLES}
    assert {name: n for name, (n, _) in counts.items()} == dict(zip(coverage.GAP_TABLES, (15334, 5174), strict=True))
    for name, (_, n_metals) in counts.items():
        text = gzip.decompress((coverage.GAPS / name).read_bytes()).decode()
        assert len(re.findall(r"^[^,\n]+,[^,\n]+,0\.0,", text, re.MULTILINE)) == n_metals


def shard_of(folder: Path, documents: list[dict[str, object]]) -> None:
    text = "\n".join(json.dumps(one) for one in documents)
    (folder / "dft-pbe-0123456789ab.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def test_a_shard_that_is_added_is_counted_when_the_page_is_made_again_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: list[dict[str, object]]
) -> None:
    page = tmp_path / "README.md"
    empty = coverage.replace_block(TEXT, coverage.BLOCK, "")
    page.write_text(empty, encoding="utf-8")
    (tmp_path / f"dft-pbe-{SMALL}.jsonl.gz").write_bytes((coverage.LABELS / f"dft-pbe-{SMALL}.jsonl.gz").read_bytes())
    for name, value in (("LABELS", tmp_path), ("PAGE", page), ("ROOT", tmp_path), ("GAP_TABLES", coverage.GAP_TABLES[1:])):
        monkeypatch.setattr(coverage, name, value)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(coverage.sys, "argv", ["label_coverage.py", *arguments])
        return int(coverage.main())

    assert run("--check") == 1
    assert page.read_text(encoding="utf-8") == empty
    assert run() == 0
    n_before = int(re.findall(r"^(\d+) labels in 1 shard,", page.read_text(encoding="utf-8"), re.MULTILINE)[0])
    assert run("--check") == 0
    shard_of(tmp_path, documents[:1])
    assert run("--check") == 0
    assert run() == 0
    assert f"{n_before + 1} labels in 2 shards" in page.read_text(encoding="utf-8")
    assert run("--check") == 0
    assert coverage.shards_named(page.read_text(encoding="utf-8")) == ["0123456789ab", SMALL]
