"""``bandrt screen`` as it is typed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.cli.screen import _said
from bandrt.engine.calibration_file import calibration_path, write_calibration
from bandrt.run.infer import InferOptions, infer
from bandrt.screening.hits import ExpectedHits
from bandrt.screening.shortlist import Counts, Shortlist
from tests.support.calibrations import plain_calibration

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def out(make_engine: Callable[..., Path], examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen examples, and a file that is none."""
    folder, engine = tmp_path_factory.mktemp("screen"), make_engine()
    write_calibration(plain_calibration(), calibration_path(engine))
    (folder / "in").mkdir()
    for path in sorted(examples.glob("*.cif"))[:12]:
        shutil.copy(path, folder / "in")
    (folder / "in" / "damaged.cif").write_text("data_cut_short")
    infer(folder / "in", folder / "out", InferOptions(engine=engine, threads=1, workers=0))
    return folder / "out"


def test_a_table_is_printed_and_what_to_expect_is_said_beside_it(out: Path, capsys: Captured) -> None:
    assert run(["screen", str(out), "--gap", "1.0:3", "--top", "5"]) == 0
    printed, said = capsys.readouterr()
    assert printed.splitlines()[0].split()[:3] == ["id", "formula", "p_match"]
    assert len(printed.splitlines()) == 6
    assert "12 crystals are predicted, 1 input failed and has none; 12 of them are considered" in said
    of_all, of_these = said.splitlines()[-2:]
    assert re.fullmatch(r"of all 12, [0-9]+ hits? expected \(95 %: [0-9]+ to [0-9]+\)", of_all)
    assert re.fullmatch(r"of these 5, [0-9]+ hits? expected \(95 %: [0-9]+ to [0-9]+\)", of_these)


def test_one_of_a_kind_is_spoken_of_as_one() -> None:
    one = Shortlist((), (), ExpectedHits(1.2, 0, 1), ExpectedHits(1.2, 0, 1), Counts(1, 1, 1, 1, 1))
    assert _said(one)[0] == "1 crystal is predicted, 1 input failed and has none; 1 of them is considered"
    assert _said(one)[-1] == "of these 0, 1 hit expected (95 %: 0 to 1)"


def test_a_file_is_named_and_json_has_everything(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["screen", str(out), "--gap", ":3", "--exclude", "O", "-o", str(tmp_path / "hits.csv")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "hits.csv")
    assert run(["screen", str(out), "--gap", ":3", "--exclude", "O", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["counts"]["failed"] == 1
    assert values["counts"]["considered"] == len(values["crystals"]) == len((tmp_path / "hits.csv").read_text().splitlines()) - 1
    assert values["hits"]["low"] <= values["hits"]["expected"] <= values["hits"]["high"]


def test_as_predicted_needs_no_criterion_of_the_label(out: Path, capsys: Captured) -> None:
    assert run(["screen", str(out), "--as-predicted", "--max-atoms", "2"]) == 0
    said = capsys.readouterr().err
    assert (every := re.search(r"^([0-9]+) are predicted to be what is wanted; no probabilities$", said, re.MULTILINE))
    assert run(["screen", str(out), "--as-predicted", "--max-atoms", "2", "--top", "1"]) == 0
    assert (
        f"\n{every[1]} are predicted to be what is wanted, the first 1 of them given; no probabilities\n" in capsys.readouterr().err
    )


def test_a_list_without_a_crystal_prints_no_table(out: Path, capsys: Captured) -> None:
    assert run(["screen", str(out), "--gap", "1:2", "--elements", "Og"]) == 0
    printed, said = capsys.readouterr()
    assert not printed
    assert "of these 0, 0 hits expected (95 %: 0 to 0)" in said


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--gap", "2:1"], "bad-criterion"),
        (["--gap", "-1:1"], "bad-criterion"),
        (["--gap", "1:2", "--elements", "Xx"], "bad-criterion"),
        (["--gap", "1:2", "--space-group", "999"], "bad-criterion"),
        (["--elements", "O"], "no-criterion"),
        (["--direct"], "no-calibration"),
        (["--gap", "1:2", "--where", "nosuch > 1"], "query-column"),
        (["--gap", "1:2", "--where", "__import__('os')"], "query-"),
        (["--gap", "1:2", "-o", "hits.xlsx"], "bad-argument"),
    ],
)
def test_what_cannot_be_wanted_is_wrong_usage(out: Path, options: list[str], code: str, capsys: Captured) -> None:
    assert run(["screen", str(out), *options]) == 2
    assert f"error [{code}" in capsys.readouterr().err


def test_results_that_are_none_stop_it(tmp_path: Path, capsys: Captured) -> None:
    assert run(["screen", str(tmp_path), "--gap", "1:2"]) == 1
    assert "error [output-not-found]" in capsys.readouterr().err
