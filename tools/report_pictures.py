"""Draw the pictures of a report for the page about it: ``python tools/report_pictures.py``.

The example crystals, predicted by the engine `fast`, as a page, and one of them opened; as Chromium shows them.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import bandrt
from bandrt.engine import SHIPPED_ENGINES
from bandrt.run.infer import InferOptions, infer

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1180, "height": 860}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def main() -> None:
    """Draw both."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(ROOT):  # paths are shown as they are given
        out, page = Path(folder) / "bands", Path(folder) / "report.html"
        infer("examples/crystals", out, InferOptions(engine=SHIPPED_ENGINES["fast"], threads=1, workers=0))
        bandrt.write_report(out, page, criteria=bandrt.Criteria(gap=(1.0, 2.0)))
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            show(browser.new_page(viewport=SIZE, color_scheme="light"), page)
            browser.close()


def show(tab: Page, page: Path) -> None:
    """Open a page and take both pictures."""
    tab.goto(page.as_uri())
    tab.locator("html[data-reached=whole]").wait_for(state="attached")
    tab.screenshot(path=IMAGES / "report.png")
    tab.locator("#gallery button").first.click()
    tab.locator("#structure[data-shown]").wait_for()
    tab.screenshot(path=IMAGES / "report-crystal.png")


if __name__ == "__main__":
    main()
