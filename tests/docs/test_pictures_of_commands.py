"""Every command is shown on a how-to page that has a picture; every picture is there and says what it shows."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from bandrt.cli import COMMANDS
from tests.support.code_blocks import blocks, command_lines
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "how-to").glob("*.md"))
PICTURE = re.compile(r"!\[(?P<said>[^\]]*)\]\((?P<file>[^)\s]+)\)")
MOST_BYTES = 300_000
"""Of a picture."""


def pictures(page: Path) -> list[tuple[str, Path]]:
    """What is said of each picture of a page, and its file."""
    return [(found["said"], page.parent / found["file"]) for found in PICTURE.finditer(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> set[str]:
    """The commands that a page says to type."""
    lines = [words for block in blocks(page) if block.language == "bash" for words in command_lines(block.text)]
    return {word for words in lines for word in words[1:2]}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_on_a_page_with_a_picture(command: str) -> None:
    assert [page.name for page in PAGES if command in commands(page) and pictures(page)], f"no page shows bandrt {command}"


@pytest.mark.parametrize("page", [page for page in sorted(DOCS.rglob("*.md")) if pictures(page)], ids=lambda page: page.name)
def test_pictures_are_there_and_say_what_they_show(page: Path) -> None:
    for said, file in pictures(page):
        assert file.is_file(), file
        assert len(said.split()) >= 4, f"{file}: {said}"
        assert file.stat().st_size <= MOST_BYTES, file


def test_no_picture_lies_about_unused() -> None:
    shown = {file.resolve() for page in [*DOCS.rglob("*.md"), ROOT / "README.md"] for _, file in pictures(page)}
    assert {file.resolve() for file in (DOCS / "images").iterdir()} - shown == set()


def test_pictures_of_terminals_show_the_commands_that_the_script_runs() -> None:
    script = load_script(ROOT / "tools" / "terminal_pictures.py")
    for name, run in script.PICTURES.items():
        drawn = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8")
        typed = [unescape(line) for line in re.findall(r">\$ ([^<]*)</text>", drawn)]
        assert typed == list(run), f"draw it again: python tools/terminal_pictures.py {name}"


def test_a_terminal_shows_what_is_printed_and_no_more() -> None:
    script = load_script(ROOT / "tools" / "terminal_pictures.py")
    drawn = script.terminal(["bandrt infer a"], [f"1 < 2\n3.1 crystals/s\n{'x' * 200}\n"])
    assert re.findall(r"<text[^>]*>([^<]*)</text>", drawn) == ["$ bandrt infer a", "1 &lt; 2", "x" * (script.WIDTH - 1) + "…"]
