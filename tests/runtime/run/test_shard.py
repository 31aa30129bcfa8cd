"""Shares of the inputs: each input is in one of them, by its text alone."""

from __future__ import annotations

import csv
import gzip
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from bandrt.cli import run as bandrt
from bandrt.errors import ArgumentError
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions
from bandrt.run.shard import Shard
from bandrt.sources import Source, find
from bandrt.sources.textbook import TEXTBOOK, cif, sources


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """The textbook crystals in a folder, a table and an archive, with names that collide, and what cannot be read."""
    folder, table, archive = tmp_path / "in", tmp_path / "table.csv", tmp_path / "more.zip"
    folder.mkdir()
    for crystal in TEXTBOOK[:4]:
        (folder / f"{crystal.name}.cif").write_text(cif(crystal))
    (folder / "broken.cif").write_text("no crystal")
    (folder / "gone.cif").symlink_to(tmp_path / "nowhere")
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "cif"], *([one.name, cif(one)] for one in TEXTBOOK[2:7]), ["empty", ""]])
    with zipfile.ZipFile(archive, "w") as file_:
        for crystal in TEXTBOOK[6:]:
            file_.writestr(f"cells/{crystal.name}.cif", cif(crystal))
    return [folder, table, archive]


@pytest.mark.parametrize("of", range(1, 8))
def test_every_input_is_in_one_share(inputs: list[Path], of: int) -> None:
    everything = [source.id for source in find(inputs)]
    shares = [[source.id for source in find(inputs) if Shard(number, of).has(source)] for number in range(1, of + 1)]
    assert sorted(id for share in shares for id in share) == sorted(everything)
    assert len(set(everything)) == 15
    assert of == 1 or max(map(len, shares)) < 15


def test_the_text_alone_decides(tmp_path: Path) -> None:
    for n, source in enumerate(sources()):
        text = source.text()
        plain, packed = tmp_path / f"z{n}.cif", tmp_path / f"a{n}.cif.gz"
        plain.write_text(text)
        packed.write_bytes(gzip.compress(text.encode()))
        others = [Source("x", "nowhere", "cif", text), Source("y", "", "cif", plain), Source("z", "", "cif", packed)]
        for number in range(1, 6):
            assert {Shard(number, 5).has(one) for one in others} == {Shard(number, 5).has(source)}


def test_shares_of_many_inputs_are_about_equal() -> None:
    texts = [Source(str(n), "", "cif", f"crystal {n}") for n in range(2000)]
    sizes = Counter(number for source in texts for number in range(1, 5) if Shard(number, 4).has(source))
    assert sizes.total() == 2000
    assert 430 < min(sizes.values()) <= max(sizes.values()) < 570  # three standard deviations are 58


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1/0", "0/0", "-1/3", "1", "1/", "/3", "1/3/5", "a/b", "1.0/3", "", "1/9999999", "²/3"]
)
def test_what_is_no_share_is_wrong_usage(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bandrt(["infer", str(tmp_path), "-o", str(tmp_path / "out"), f"--shard={text}"]) == 2
    error = capsys.readouterr().err
    assert "[bad-shard]" in error
    assert "NUMBER is from 1 to OF" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "of"), [(0, 3), (4, 3), (1, 0), ("1", 3), (True, 1)])
def test_a_share_that_there_is_not_is_refused_in_python(number: int, of: int) -> None:
    with pytest.raises(ArgumentError):
        Shard(number, of)


def test_a_dry_run_counts_its_own_share(inputs: list[Path], tmp_path: Path, tiny_engine: Path) -> None:
    said = [dry_run(inputs, tmp_path / "out", InferOptions(engine=tiny_engine, shard=Shard(number, 3))) for number in (1, 2, 3)]
    assert sum(one["inputs"] for one in said) == 15
    assert [one["shard"] for one in said] == ["1/3", "2/3", "3/3"]
