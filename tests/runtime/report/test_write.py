"""Writing a page: where it goes, what is refused, and which crystals are drawn."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bandrt
from bandrt.cli import run
from bandrt.errors import BandrtError
from bandrt.report.write import WrittenReport
from bandrt.results.store import check_store
from bandrt.screening import shortlist
from bandrt.screening.criteria import Criteria
from tests.support.small_runs import small_run

pytest.importorskip("plotly")

Captured = pytest.CaptureFixture[str]
Carried = Callable[[Path, str], Any]


def test_the_command_names_the_page_and_says_what_it_holds(out: Path, tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "new" / "page.html"
    assert run(["report", str(out), "-o", str(page), "--top", "2"]) == 0
    printed, said = capsys.readouterr()
    assert printed.strip() == str(page)
    assert "7 crystals, 3 failures, 2 with bands" in said


def test_a_page_is_not_replaced_unasked(out: Path, tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert run(["report", str(out), "-o", str(page)]) == 2
    assert "error [output-exists]" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert run(["report", str(out), "-o", str(page), "--overwrite", "-q"]) == 0
    assert page.stat().st_size > 100_000


def test_a_page_in_the_folder_is_part_of_the_results(tmp_path: Path, capsys: Captured) -> None:
    out = small_run(tmp_path / "out")
    assert run(["report", str(out)]) == 0
    assert run(["report", str(out)]) == 2
    assert run(["report", str(out), "--overwrite"]) == 0
    assert capsys.readouterr().out.split() == [str(out / "report.html")] * 2
    check_store(out, "overwrite")
    (out / "report.html").write_text("<html>of somebody else</html>")
    assert run(["report", str(out), "--overwrite"]) == 2
    assert "error [output-foreign]" in capsys.readouterr().err
    with pytest.raises(BandrtError, match=r"report\.html"):
        check_store(out, "overwrite")


def test_equal_results_make_equal_pages(page: Path, out: Path, tmp_path: Path) -> None:
    bandrt.write_report(out, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ({"ids": ["salt-*"]}, ["salt-10", "salt-9"]),
        ({"ids": ["oxide", "a,b"]}, ["oxide", "a,b"]),
        ({"ids": iter(["oxide"])}, ["oxide"]),
        ({"ids": ["*"], "criteria": Criteria(where="band_gap_ev > 2.6")}, ["salt-10", "a,b"]),
        ({"ids": ["*"], "top": 1}, ["salt-10"]),
        ({"top": 2}, ["salt-10", "salt-9"]),
        ({"criteria": Criteria(elements=("O",))}, ["oxide", "close"]),
        ({"criteria": Criteria(gap=(1.0, 2.6)), "as_predicted": True}, ["salt-9", "oxide", "close"]),
    ],
)
def test_crystals_are_drawn_that_are_asked_for(
    out: Path, tmp_path: Path, carried: Carried, given: dict[str, Any], drawn: list[str]
) -> None:
    written = bandrt.write_report(out, tmp_path / "page.html", **given)
    assert written == WrittenReport(7, 3, len(drawn), (tmp_path / "page.html").stat().st_size)
    assert carried(tmp_path / "page.html", "data-table")["drawn"] == drawn


def test_a_summary_is_read_once_and_a_probability_computed_once(
    out: Path, tmp_path: Path, carried: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, computed = Path.read_bytes, shortlist.probability_of_gap
    files: list[str] = []
    calls: list[int] = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: [files.append(path.name), read(path)][1])
    monkeypatch.setattr(shortlist, "probability_of_gap", lambda *given: [calls.append(1), computed(*given)][1])
    bandrt.write_report(out, tmp_path / "page.html", criteria=Criteria(gap=(1.0, 3.0), where="warnings != magnetic"))
    assert (files.count("summary.csv"), len(calls)) == (1, 1)
    [column] = [one for one in carried(tmp_path / "page.html", "data-table")["columns"] if one["name"] == "p_match"]
    ids = carried(tmp_path / "page.html", "data-table")["columns"][0]["values"]
    ranked = {row["id"]: row["p_match"] for row in bandrt.screen(out, Criteria(gap=(1.0, 3.0), where="warnings != magnetic"))}
    assert {id: p for id, p in zip(ids, column["values"], strict=True) if p is not None} == ranked
    assert 0 < len(ranked) < len(ids)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ids": ["nosuch"]}, "unknown-id"),
        ({"ids": ["oxide"], "criteria": Criteria(gap=(1.0, 2.0))}, "bad-argument"),
        ({"ids": "oxide"}, "bad-argument"),
        ({"ids": None}, "bad-argument"),
        ({"ids": [1]}, "bad-argument"),
        ({"top": 0}, "bad-argument"),
        ({"criteria": Criteria(where="nosuch > 1")}, "query-column"),
        ({"criteria": {"gap": (1, 2)}}, "bad-argument"),
        ({"engine": "accurate.onnx"}, "engine-not-found"),
    ],
)
def test_what_cannot_be_drawn_is_refused(out: Path, tmp_path: Path, given: dict[str, Any], code: str) -> None:
    with pytest.raises(BandrtError) as caught:
        bandrt.write_report(out, tmp_path / "page.html", **given)
    assert caught.value.code == code
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_page_or_no_result_is_refused(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["report", str(out), "-o", str(tmp_path / "page.pdf")]) == 2
    assert "error [bad-argument]" in capsys.readouterr().err
    assert run(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 1
    assert "error [output-not-found]" in capsys.readouterr().err
    with pytest.raises(BandrtError, match=r"ends in \.html"):
        bandrt.write_report(out, tmp_path / "page.pdf")


def test_another_engine_is_refused(out: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["report", str(out), "-o", str(tmp_path / "page.html"), "--engine", "accurate"]) == 2
    assert "error [engine-differs]" in capsys.readouterr().err


def test_a_crystal_that_no_part_holds_is_damage(tmp_path: Path) -> None:
    out = small_run(tmp_path / "out", rows=1)
    with pytest.raises(BandrtError) as caught:
        bandrt.write_report(out, tmp_path / "page.html")
    assert caught.value.code == "part-damaged"


def test_a_run_without_a_prediction_has_a_page_too(tmp_path: Path, carried: Carried) -> None:
    out = small_run(tmp_path / "out")
    (out / "summary.csv").write_text((out / "summary.csv").read_text().splitlines()[0] + "\n")
    shutil.rmtree(out / "parts")
    (out / "parts").mkdir()
    assert bandrt.write_report(out, tmp_path / "page.html", criteria=Criteria(gap=(1.0, 2.0)))[:3] == (0, 3, 0)
    assert carried(tmp_path / "page.html", "data-drawings") == []


def test_a_place_that_is_taken_meanwhile_is_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BandrtError) as caught:
        bandrt.write_report(out, tmp_path / "new" / "page.html", top=1, on_progress=lambda done, total: (tmp_path / "new").touch())
    assert caught.value.code == "output-unwritable"


def test_without_plotly_the_extra_is_named(out: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert run(["report", str(out), "-o", str(tmp_path / "page.html")]) == 1
    assert "pip install 'bandrt[report]'" in capsys.readouterr().err


def test_a_hundred_thousand_crystals_take_less_than_ten_seconds_of_a_core(tmp_path: Path) -> None:
    out = small_run(tmp_path / "out", rows=100_000)
    started = time.process_time()
    written = bandrt.write_report(out, tmp_path / "page.html", ids=["salt-*"])
    assert time.process_time() - started < 10.0
    assert written.n_crystals == 100_007
    assert written.n_bytes < 10_000_000
