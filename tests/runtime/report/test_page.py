"""What stands in a page, and that nothing of it is run that we did not write."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.screening.criteria import Criteria
from tests.support.small_runs import ATTACK, KEEP

Carried = Callable[[Path, str], Any]


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.found or self.found[-1][0] not in ("script", "style"):
            self.text.append(data)


def parsed(page: Path) -> Elements:
    elements = Elements()
    elements.feed(page.read_text(encoding="utf-8"))
    return elements


def column(carried: Any, name: str) -> list[Any]:
    [found] = [one["values"] for one in carried["columns"] if one["name"] == name]
    assert isinstance(found, list)
    return found


def test_the_table_has_every_column_of_the_summary_and_metals_have_no_gap(page: Path, out: Path, carried: Carried) -> None:
    table = carried(page, "data-table")
    header = (out / "summary.csv").read_text().splitlines()[0].split(",")
    assert {one["name"] for one in table["columns"]} == set(header)
    assert column(table, "id")[5] == ATTACK
    assert column(table, "band_gap_ev")[:3] == pytest.approx([5.0, 1.25, None])
    metal = column(table, "is_metal").index(True)
    assert [column(table, name)[metal] for name in ("band_gap_ev", "direct_gap_ev", "is_direct", "vbm_ev")] == [None] * 4
    assert column(table, "uncertainty_ev")[4] is None
    assert column(table, "warnings")[1] == ["spin-orbit:Cs", "magnetic:Fe"]
    assert column(table, "phase")[2] == "=1+1"
    assert {one["name"]: one["numeric"] for one in table["columns"] if one["name"] in KEEP} == {
        "phase": False,
        "measured gap": True,
    }


def test_what_is_drawn_are_the_bands_of_the_results(page: Path, out: Path, carried: Carried) -> None:
    drawn, drawings = carried(page, "data-table")["drawn"], carried(page, "data-drawings")
    assert len(drawn) == len(drawings) == 7
    for prediction in bandrt.read(out):
        bands, one = prediction.band_structure, drawings[drawn.index(prediction.id)]
        assert np.min(one["energies"]) == pytest.approx(bands.energies.min() / 1e-4, abs=0.6)
        assert np.max(one["energies"]) == pytest.approx(bands.energies.max() / 1e-4, abs=0.6)
        assert {end for branch in one["branches"] for end in branch["ends"]} == set(bands.labels)
        assert one["branches"][-1]["last"] == len(one["x"]) - 1
        assert one["symbol"] == bands.space_group_symbol
        assert [edge["name"] for edge in one["edges"]] == ([] if bands.is_metal else ["VBM", "CBM"])
        assert {label for label, _ in one["zone"]["points"]} == set(bands.labels)
        for branch in one["branches"]:
            ends = [np.array(k) for k in branch["k"]]
            lengths = np.linalg.norm((ends[1] - ends[0]) @ bands.crystal.reciprocal)
            assert lengths == pytest.approx(one["x"][branch["last"]] - one["x"][branch["first"]], abs=1e-3)


def test_the_zone_of_a_cube_is_a_cube(page: Path, carried: Carried) -> None:
    zone = carried(page, "data-drawings")[0]["zone"]
    assert len(zone["edges"]) == 12
    assert np.abs(zone["edges"]).ravel() == pytest.approx(np.pi / 4.12, abs=1e-4)


def test_what_was_run_and_what_to_expect_is_said(page: Path) -> None:
    text = " ".join(" ".join(parsed(page).text).split())
    assert "engine fast.onnx, cpu, 2026-11-29 18:56:05 UTC, bandrt 0.1.0" in text
    assert "k-path latimer_munro, 64 points; symmetry to 0.01 Å; neighbours within 8.0 Å" in text
    assert "labels DFT-PBE" in text
    assert re.search(r"error of gaps to expect at most 0\.\d\d eV for half of the non-metals", text)
    assert "Of 1 crystals no error can be expected" in text
    assert "2 crystals magnetic The crystal holds an element that is often magnetic" in text
    assert "2 inputs cif-syntax" in text
    assert "d: it is cut short" in text
    assert "This version of bandrt does not know this code." in text


def test_failures_are_in_a_table_and_none_is_lost(page: Path, carried: Carried) -> None:
    failed = carried(page, "data-failed")
    assert [column(failed, name)[:2] for name in ("id", "code")] == [["d", "e"], ["cif-syntax"] * 2]
    assert column(failed, "message")[2] == ATTACK


def test_names_that_attack_the_page_stay_text(page: Path) -> None:
    elements = parsed(page)
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert "document.title='taken'" not in text
    assert ATTACK in "".join(elements.text)
    assert not [tag for tag, attributes in elements.found if any(name.startswith("on") for name in attributes)]
    assert "<i>" not in text


def test_a_browser_may_run_our_scripts_alone_and_load_nothing(page: Path) -> None:
    elements = parsed(page)
    [policy] = [
        attributes["content"] for tag, attributes in elements.found if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    script = page.read_text(encoding="utf-8").rpartition("<script>")[2].partition("</script>")[0]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert not [attributes for _, attributes in elements.found if "src" in attributes or attributes.get("href", "#")[:1] != "#"]  # type: ignore[index]


def test_wanted_crystals_are_ranked_and_hits_are_told(out: Path, tmp_path: Path, carried: Carried) -> None:
    pytest.importorskip("plotly")
    criteria = Criteria(gap=(1.0, 2.0))
    bandrt.write_report(out, tmp_path / "page.html", criteria=criteria, top=3)
    table, shortlist = carried(tmp_path / "page.html", "data-table"), bandrt.screen(out, criteria)
    assert table["drawn"] == [row["id"] for row in shortlist][:3]
    of = dict(zip(column(table, "id"), column(table, "p_match"), strict=True))
    assert of == {row["id"]: row["p_match"] for row in shortlist} | {"close": None}
    text = " ".join(parsed(tmp_path / "page.html").text)
    hits = bandrt.screen(out, criteria, top=3).hits
    assert hits is not None
    assert f"{hits.expected:.0f} ({hits.low} to {hits.high}) of these 3 are expected" in text
    assert "gap of 1 to 2 eV" in text
    assert "1 have no probability" in text


def test_what_is_excluded_has_no_probability(out: Path, tmp_path: Path, carried: Carried) -> None:
    pytest.importorskip("plotly")
    bandrt.write_report(out, tmp_path / "page.html", criteria=Criteria(gap=(1.0, 9.0), exclude=("O",), where="n_atoms < 3"))
    table = carried(tmp_path / "page.html", "data-table")
    has = [p is not None for p in column(table, "p_match")]
    assert has == ["O" not in formula for formula in column(table, "formula")]


def test_an_unknown_engine_leaves_its_accuracy_unknown(out: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    for name in ("summary.csv", "errors.jsonl"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    (tmp_path / "parts").symlink_to(out / "parts")
    bandrt.write_report(tmp_path, tmp_path / "page.html")
    text = " ".join(parsed(tmp_path / "page.html").text)
    assert "its run.json is not there" in text
    assert "The engine of this run is neither where it was nor one that comes with bandrt" in text
    assert "not known" in text
