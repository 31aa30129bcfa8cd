"""A page as people use it, in a real browser: sorting, searching, exporting, opening a crystal, keys, narrow screens."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import bandrt
from bandrt.screening.criteria import Criteria
from tests.support.browser import chromium
from tests.support.predicted_crystals import METAL, predicted, write_results
from tests.support.small_runs import ATTACK, KEEP, kept, small_run, write_summary

pytest.importorskip("plotly")

N_MORE = 3000
"""Rows beside the seven crystals that are drawn."""
OF_PLOTLY = "WARN: unrecognized GUI edit: selections"
"""What plotly 6 says of its own selections."""
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Opened(NamedTuple):
    """A page in a tab of its own."""

    tab: Any
    complaints: list[str]
    """What the browser said of errors, and which other pages it asked for."""

    def find(self, what: str) -> Any:
        return self.tab.locator(what)

    def reset(self) -> None:
        """Close what is open, search nothing, and sort by nothing."""
        if self.find("#crystal").is_visible():
            self.find("#close").click()
        self.search("nothing-is-called-so", 0)
        self.find("#search").fill("")
        self.find("#found").filter(has_text=re.compile(rf"^{N_MORE + 7}$")).wait_for()
        while (sorting := self.find("#crystals th:is([aria-sort=ascending], [aria-sort=descending]) button")).count():
            sorting.click()

    def search(self, text: str, found: int) -> None:
        """Type into the search box, and wait until so many crystals are found."""
        self.find("#search").fill(text)
        self.find("#found").filter(has_text=f"{found} of {N_MORE + 7}").wait_for()

    def ids(self, n: int) -> list[str]:
        """Of the first rows that are in the document."""
        return [text.removeprefix("∿ ") for text in self.find("#crystals tbody button").all_inner_texts()[:n]]

    def sort(self, title: str) -> str | None:
        """Press the head of a column; how it says that it sorts."""
        head = self.find("#crystals").get_by_role("columnheader", name=title, exact=True)
        head.get_by_role("button").click()
        sorting = head.get_attribute("aria-sort")
        assert sorting is None or isinstance(sorting, str)
        return sorting

    def exported(self) -> list[dict[str, str]]:
        """The table as it is handed to the user."""
        with self.tab.expect_download() as waiting:
            self.find("#export").click()
        with open(waiting.value.path(), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven crystals with bands and three thousand without."""
    folder = tmp_path_factory.mktemp("browser")
    out = small_run(folder / "out", rows=N_MORE)
    bandrt.write_report(out, folder / "page.html", ids=["salt-*", "brass", "oxide", "close", ATTACK, "a,b"])
    return folder / "page.html"


@pytest.fixture(scope="module")
def wide(browser: Any, page: Path) -> Iterator[Opened]:
    """The page on a wide screen, opened once: a second of a processor."""
    with opened_in(browser, page, WIDE) as one:
        yield one


@pytest.fixture
def opened(wide: Opened) -> Iterator[Opened]:
    """The same as it is at first, before each test; nothing is complained of."""
    wide.reset()
    yield wide
    assert wide.complaints == []


@contextmanager
def opened_in(browser: Any, page: Path, viewport: dict[str, int]) -> Iterator[Opened]:
    tab = browser.new_page(viewport=viewport)
    tab.set_default_timeout(30_000)  # machines that test are busy
    complaints: list[str] = []
    tab.on("console", lambda message: message.text.startswith(OF_PLOTLY) or complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda asked: asked.url.startswith("file://") or complaints.append(asked.url))
    tab.goto(page.as_uri())
    tab.locator("html[data-reached=whole]").wait_for(state="attached")
    yield Opened(tab, complaints)
    tab.close()


def test_a_head_sorts_up_and_down_and_back_with_what_is_missing_last(opened: Opened) -> None:
    opened.search("salt-", 2)
    assert opened.ids(2) == ["salt-10", "salt-9"]
    assert opened.sort("id") == "ascending"
    assert opened.ids(2) == ["salt-9", "salt-10"], "numbers in texts are numbers"
    opened.search("-more", 7)
    assert opened.sort("gap (eV)") == "ascending"
    assert opened.ids(7) == [ATTACK, "salt-9", "close", "oxide", "a,b", "salt-10", "brass"]
    assert opened.sort("gap (eV)") == "descending"
    assert opened.ids(7) == ["salt-10", "a,b", "oxide", "close", "salt-9", ATTACK, "brass"]
    assert opened.sort("gap (eV)") == "none"
    assert opened.ids(3) == ["salt-10", "salt-9", "brass"]
    opened.sort("measured gap")
    assert opened.ids(7) == [ATTACK, "a,b", "oxide", "salt-10", "salt-9", "close", "brass"], "texts that are numbers sort as such"


def test_the_search_finds_words_elements_and_conditions(opened: Opened) -> None:
    opened.search("-more halite", 1)
    opened.search("-more HALITE Cs", 1)
    opened.search("-more Cs", 4)
    opened.search("-more C", 0)
    opened.search("-more gap>2 gap<=3", 2)
    opened.search("-more metal=yes", 1)
    opened.search("-more direct=no", 0)
    opened.search("-more warnings=magnetic", 2)
    opened.search('-more "measured gap">=12', 2)
    opened.search("-more warnings=Magnetic", 2)
    opened.search("-more warnings!=none warnings=magnetic", 2)
    opened.search("-more warnings=none warnings=magnetic", 0)
    opened.search("-more gap=none", 1)
    opened.search("-more phase=triclinic -magnetic", 0)
    opened.find("#search").fill("nosuch>1")
    opened.find("#found").filter(has_text="no column nosuch").wait_for()
    assert opened.find("#search").get_attribute("aria-invalid") == "true"


def test_what_is_found_is_exported_as_it_is_sorted(opened: Opened, page: Path) -> None:
    opened.search("-more", 7)
    opened.sort("gap (eV)")
    rows = opened.exported()
    assert [row["id"] for row in rows] == [ATTACK, "salt-9", "close", "oxide", "a,b", "salt-10", "brass"]
    header = (page.parent / "out" / "summary.csv").read_text().splitlines()[0].split(",")
    assert set(rows[0]) == set(header)
    metal = rows[-1]
    assert [metal[name] for name in ("band_gap_ev", "is_direct", "is_metal", "phase")] == ["", "", "true", "'=1+1"]
    assert rows[1]["warnings"] == "spin-orbit:Cs;magnetic:Fe"
    assert [row[KEEP[0]] for row in rows[4:5]] == ['say "so"']


def test_a_long_table_holds_the_rows_in_view_alone(opened: Opened) -> None:
    assert opened.find("#crystals tbody tr").count() < 60
    opened.find("#crystals").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    last = opened.find(f"#crystals tr[aria-rowindex='{N_MORE + 8}']")
    last.wait_for()
    assert last.get_by_role("button").inner_text() == f"more-{N_MORE - 1}"
    assert opened.find("#crystals tbody tr").count() < 60


def test_keys_go_through_the_table_and_open_a_crystal(opened: Opened) -> None:
    opened.find("#crystals tbody button[tabindex='0']").focus()
    focused = opened.find("#crystals button:focus")
    for key, row in (("ArrowDown", 3), ("End", N_MORE + 8), ("PageUp", None), ("Home", 2), ("ArrowDown", 3)):
        opened.tab.keyboard.press(key)
        focused.wait_for()
        if row is not None:
            assert focused.locator("xpath=ancestor::tr").get_attribute("aria-rowindex") == str(row)
    opened.tab.keyboard.press("Enter")
    opened.find("#structure[data-shown='salt-9']").wait_for()
    opened.tab.keyboard.press("ArrowRight")
    opened.find("#structure[data-shown='brass']").wait_for()
    assert "metal" in opened.find("#crystal-title").inner_text()
    opened.tab.keyboard.press("ArrowLeft")
    opened.find("#structure[data-shown='salt-9']").wait_for()
    opened.tab.keyboard.press("Escape")
    opened.find("#crystal").wait_for(state="hidden")
    assert focused.inner_text().endswith("salt-9"), "the focus comes back to where it was"


def test_a_crystal_opens_large_with_labels_energies_and_its_zone(opened: Opened) -> None:
    opened.find("#gallery button").nth(3).click()
    opened.find("#structure[data-shown='oxide']").wait_for()
    assert "TiO₂ · P1 · 2.50 eV direct gap · oxide" in opened.find("#crystal-title").inner_text().replace("\u0305", "")
    labels = opened.find("#structure .xtick text").all_text_contents()
    assert labels[0] == "Γ"
    point = opened.tab.evaluate(
        """() => {
            const plot = document.getElementById('structure'), layout = plot._fullLayout, area = plot.getBoundingClientRect();
            const edge = plot.data.find((trace) => trace.name === 'band 4');
            return [area.x + layout._size.l + layout.xaxis.d2p(edge.x[5]), area.y + layout._size.t + layout.yaxis.d2p(edge.y[5])];
        }"""
    )
    opened.tab.mouse.move(*point, steps=3)
    hover = opened.find("#structure .hovertext").first
    hover.wait_for()
    assert "Γ" in (hover.text_content() or "")
    assert "eV" in (hover.text_content() or "")
    lines = opened.find("#zone line.path").count()
    assert lines >= 3
    assert opened.find("#zone line.edge").count() > 12
    assert "Γ" in opened.find("#zone text").all_text_contents()
    before = opened.find("#zone circle").last.get_attribute("cx")
    opened.find("#zone svg").focus()
    opened.tab.keyboard.press("ArrowRight")
    assert opened.find("#zone circle").last.get_attribute("cx") != before
    assert opened.find("#structure[data-shown='oxide']").count() == 1, "keys on the zone turn it, and go to no other crystal"
    low, high = opened.tab.evaluate("() => document.getElementById('structure')._fullLayout.xaxis.range")
    opened.find("#structure .nsewdrag").hover()
    opened.tab.mouse.wheel(0, -300)
    opened.tab.wait_for_timeout(200)
    zoomed = opened.tab.evaluate("() => document.getElementById('structure')._fullLayout.xaxis.range")
    assert zoomed[1] - zoomed[0] < high - low


def test_a_crystal_without_bands_says_how_to_draw_it(opened: Opened) -> None:
    opened.search("more-12", 111)
    opened.find("#crystals tbody button").first.click()
    opened.find("#not-drawn").wait_for()
    assert "bandrt plot OUT more-12" in opened.find("#not-drawn").inner_text()
    opened.find("#close").click()
    opened.find("#crystal").wait_for(state="hidden")


def test_figures_follow_the_search(opened: Opened) -> None:
    assert opened.find("#gallery li").count() == 7
    opened.search("-more Cs gap>1", 3)
    assert opened.find("#gallery li").count() == 3
    assert opened.find("#gallery path.valence").first.get_attribute("d")
    opened.find("#histogram-said").filter(has_text="3 with a gap, 0 metals").wait_for()


def test_a_range_of_the_histogram_is_searched(opened: Opened) -> None:
    opened.find("#histogram").scroll_into_view_if_needed()
    area = opened.find("#histogram .nsewdrag").bounding_box()
    opened.tab.mouse.move(area["x"] + 0.42 * area["width"], area["y"] + 50)
    opened.tab.mouse.down()
    opened.tab.mouse.move(area["x"] + 0.7 * area["width"], area["y"] + 60, steps=4)
    opened.tab.mouse.up()
    opened.find("#found").filter(has_text=f" of {N_MORE + 7}").wait_for()
    assert re.fullmatch(r"band_gap_ev>=[\d.]+ band_gap_ev<=[\d.]+", opened.find("#search").input_value())
    gaps = opened.find("#crystals tbody td:nth-child(3)").all_inner_texts()
    assert set(gaps) == {"2.500", "3.000"}


def test_a_warning_leads_to_its_crystals_and_a_failure_to_its_row(opened: Opened) -> None:
    opened.find("#warnings summary").first.click()
    opened.find("#warnings details[open] button").click()
    opened.find("#found").filter(has_text=f" of {N_MORE + 7}").wait_for()
    assert opened.find("#search").input_value() == "magnetic"
    opened.find("#failures summary").nth(1).click()
    opened.find("#failures details[open] button").click()
    opened.find("#failed-found").filter(has_text="1 of 3").wait_for()
    assert ATTACK in opened.find("#failed tbody tr:not(.space)").inner_text()


def test_names_that_attack_the_page_do_nothing(opened: Opened) -> None:
    opened.find("#gallery button").nth(5).click()
    opened.find("#structure[data-shown]").wait_for()
    assert ATTACK in opened.find("#crystal-title").inner_text()
    assert opened.tab.title() == "out: band structures"
    assert opened.find("body img").count() == 0


def test_a_narrow_screen_shows_all_of_it(browser: Any, page: Path) -> None:
    def too_wide() -> int:
        return int(one.tab.evaluate("() => document.documentElement.scrollWidth - window.innerWidth"))

    with opened_in(browser, page, NARROW) as one:
        assert too_wide() <= 0
        one.find("#gallery button").first.click()
        one.find("#structure[data-shown]").wait_for()
        assert one.find("#crystal").bounding_box()["width"] == NARROW["width"]
        assert one.find("#structure").bounding_box()["width"] <= NARROW["width"]
        one.find("#zone svg").scroll_into_view_if_needed()
        assert one.find("#zone svg").bounding_box()["width"] <= NARROW["width"]
        assert too_wide() <= 0
        assert one.complaints == []


def test_wanted_crystals_stand_first(browser: Any, page: Path, tmp_path: Path) -> None:
    criteria = Criteria(gap=(2.0, 3.0), where="id == oxide or id == brass or id == salt-9 or id == salt-10")
    bandrt.write_report(page.parent / "out", tmp_path / "page.html", criteria=criteria, top=1)
    with opened_in(browser, tmp_path / "page.html", WIDE) as one:
        assert one.tab.get_by_role("columnheader", name="p_match").get_attribute("aria-sort") == "descending"
        texts = one.find("#crystals tbody tr td:nth-child(2)").all_inner_texts()
        values = [float(text) for text in texts[:4]]  # the others are not asked for, and have none
        assert values == sorted(values, reverse=True)
        assert one.complaints == []


def test_a_run_of_one_metal_takes_no_more_room_than_it_needs(browser: Any, tmp_path: Path) -> None:
    metal = predicted("brass", METAL, gap=-0.5)
    write_results(tmp_path / "out", [[metal]])
    write_summary(tmp_path / "out", [kept(metal, phase="", gap="")])
    bandrt.write_report(tmp_path / "out", tmp_path / "page.html")
    with opened_in(browser, tmp_path / "page.html", WIDE) as one:
        assert not one.find("#histogram").is_visible()
        assert one.find("#crystals").bounding_box()["height"] < 120
        assert one.find("#bands .note").first.inner_text() == "The first crystal."
        assert one.complaints == []


@pytest.mark.slow
def test_a_hundred_thousand_crystals_open_in_three_seconds_of_a_processor(browser: Any, tmp_path: Path) -> None:
    out = small_run(tmp_path / "out", rows=100_000)
    bandrt.write_report(out, tmp_path / "page.html", ids=["salt-*"])
    tab = browser.new_page(viewport=WIDE)
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto((tmp_path / "page.html").as_uri())
    tab.locator("html[data-reached=whole]").wait_for(state="attached")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    assert metrics["TaskDuration"] < 3.0
    assert tab.locator("#found").inner_text() == "100007"
    tab.close()
