"""A run with names that attack the page, and its page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bandrt
from tests.support.small_runs import small_run


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven predictions and three failures."""
    return small_run(tmp_path_factory.mktemp("report") / "<i>out</i>")


@pytest.fixture(scope="session")
def page(out: Path) -> Path:
    """Its page, in which nothing is wanted."""
    pytest.importorskip("plotly")
    bandrt.write_report(out, out.parent / "page.html")
    return out.parent / "page.html"


@pytest.fixture(scope="session")
def carried() -> Callable[[Path, str], Any]:
    """What a page carries for its scripts, by the id of the element."""

    def values(page: Path, id: str) -> Any:
        found = re.search(rf'<script type="text/plain" id="{id}">([A-Za-z0-9+/=]*)</script>', page.read_text(encoding="utf-8"))
        assert found is not None
        return json.loads(gzip.decompress(base64.b64decode(found[1])))

    return values
