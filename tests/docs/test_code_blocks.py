"""Every code block of every page runs, in order, in a folder of its own; what cannot run here says why, and is counted."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.code_blocks import Block, blocks, check_command, command_lines

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*(page for page in DOCS.rglob("*.md") if not page.relative_to(DOCS).parts[0].startswith("_")), ROOT / "README.md"])
RUN, READ = ("python", "bash"), ("toml", "json", "text")
DIRECTIVES = {
    *("toctree", "eval-rst", "raw", "include"),
    *("error-codes", "graph-contract", "dimensions", "fields", "about", "public-api", "predicted"),
}
NOT_RUN = Counter(
    {
        "installs packages": 3,
        "changes the start files of your shell": 1,
        "takes minutes of a whole machine": 6,
        "needs trained runs": 2,
        "trains for hours": 4,
        "trains for a quarter of an hour": 1,
        "needs a GPU": 8,
        "needs a cluster": 3,
        "needs a container": 2,
        "needs the headers of ONNX Runtime": 1,
        "needs a key of the Materials Project": 1,
        "needs a checkpoint of the released code": 1,
    }
)
"""Blocks that are not run, by reason: another one belongs here only if it truly cannot run on a machine without a GPU."""
README_NOT_RUN = {"python3 -m venv .venv": "installs packages", "bandrt train dataset mp": "trains for hours"}
"""The same by how a block of the README begins, which has no comments; its first command is run by `tests/test_readme.py`."""
SHARED = ("examples", "train")
"""Folders of the repository that the pages use."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BANDRT = "#!/bin/sh\nexec {python} -c 'from bandrt.__main__ import main; main()' \"$@\"\n"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    found = blocks(page)
    if page.name != "README.md":
        return found
    reasons = [next((why for start, why in README_NOT_RUN.items() if block.text.startswith(start)), None) for block in found]
    return [block if why is None else block._replace(note=f"not run: {why}") for block, why in zip(found, reasons, strict=True)]


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


def with_code() -> list[Any]:
    """Pages that have code to run; slow ones marked."""
    found = []
    for page in PAGES:
        to_run = [block for block in blocks_of(page) if block.language in RUN and block.why_not_run is None]
        slow = [pytest.mark.slow] if any(block.is_slow for block in to_run) else []
        if to_run:
            found.append(pytest.param(page, id=name(page), marks=slow))
    return found


class Reader:
    """Someone who types what a page says, top to bottom."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.namespace: dict[str, Any] = {"__name__": "page"}
        for shared in SHARED:
            (folder / shared).symlink_to(ROOT / shared)
        (folder / ".bin").mkdir()
        (folder / ".bin" / "bandrt").write_text(BANDRT.format(python=sys.executable), encoding="utf-8")
        (folder / ".bin" / "bandrt").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / '.bin'}:{os.environ['PATH']}")
        monkeypatch.chdir(folder)

    def types(self, block: Block) -> str:
        """Run a block and give back what it prints."""
        if block.language == "bash":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], capture_output=True, text=True)
            assert done.returncode == 0, f"{block.page}:{block.line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            return done.stdout
        printed = io.StringIO()
        code = compile(
            "\n" * (block.line - 1) + block.text, str(block.page), "exec"
        )  # so that a traceback names the line of the page
        with contextlib.redirect_stdout(printed):
            exec(code, self.namespace)
        return printed.getvalue()


@pytest.mark.parametrize("page", with_code())
def test_what_a_page_says_to_type_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, printed = Reader(tmp_path, monkeypatch), ""
    for block in blocks_of(page):
        if block.language in RUN and block.why_not_run is None:
            printed = reader.types(block)
        elif block.file_name is not None:
            (tmp_path / block.file_name).write_text(block.text, encoding="utf-8")
        elif block.is_output:
            assert doctest.OutputChecker().check_output(block.text, printed, FLAGS), f"{page}:{block.line}: it prints\n{printed}"


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    for block in all_blocks():
        directive = re.match(r"\{([\w-]+)\}", block.language)
        kind = directive[1] if directive else block.language
        assert kind in (DIRECTIVES if directive else {*RUN, *READ}), f"{block.page}:{block.line}: {block.language}"
        known = block.note in ("", "slow", "output") or block.why_not_run or block.file_name
        assert known, f"{block.page}:{block.line}: {block.note}"


def test_only_these_blocks_are_not_run() -> None:
    assert Counter(block.why_not_run for block in all_blocks() if block.why_not_run is not None) == NOT_RUN


@pytest.mark.parametrize("block", [pytest.param(b, id=f"{name(b.page)}:{b.line}") for b in all_blocks() if b.language == "bash"])
def test_every_command_line_is_one_that_bandrt_takes(block: Block) -> None:
    for words in command_lines(block.text):
        check_command(words)


def test_every_extra_that_is_to_be_installed_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        extra.strip()
        for page in PAGES
        for found in re.findall(r"(?:bandrt|\.)\[([a-z0-9, -]+)\]['`]", page.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert named
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=f"{name(b.page)}:{b.line}") for b in all_blocks() if b.language in ("toml", "json")]
)
def test_configurations_and_records_can_be_read(block: Block, tmp_path: Path) -> None:
    if block.language == "json":
        json.loads(block.text)
        return
    from bandrt_train.fit.config import read_config

    path = tmp_path / "config.toml"
    path.write_text(block.text, encoding="utf-8")
    read_config(path)


def test_a_page_cannot_name_a_command_or_an_option_that_does_not_exist() -> None:
    import click

    for line in ("bandrt infre a -o b", "bandrt infer a -o b --bath-size 3", "bandrt convert OUT --to excel", "bandrt infer -o b"):
        [words] = command_lines(line)
        with pytest.raises(click.UsageError):
            check_command(words)


LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=name)
def test_every_link_and_file_of_the_repository_is_there(page: Path) -> None:
    text = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        assert (page.parent / target).exists(), f"{page}: {target}"
    for target in re.findall(r"\{repo\}`([^`]+)`", text):
        assert (ROOT / target).exists(), f"{page}: {target}"


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        inside = page.relative_to(DOCS).with_suffix("").as_posix()
        assert inside == "index" or inside.startswith("_") or re.search(rf"^{re.escape(inside)}$", index, re.MULTILINE), inside
