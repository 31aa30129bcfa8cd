"""The page on screening names every kind of file that is read."""

from __future__ import annotations

import re
from pathlib import Path

from bandrt.readers import FORMATS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "screen.md"


def test_every_ending_that_is_read_is_named() -> None:
    endings = set(re.findall(r"\.[a-z]\w+", FORMATS))
    assert endings >= {".mcif", ".pwi", ".zst"}
    text = PAGE.read_text(encoding="utf-8")
    assert [ending for ending in sorted(endings) if ending not in text] == []
