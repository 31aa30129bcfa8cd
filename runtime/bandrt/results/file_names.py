"""Files that are called by the ids of crystals, which may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 200
"""Bytes of an id that the name of its file keeps; file systems allow 255, with the ending."""


def file_names(ids: Iterable[str], kind: str) -> list[str]:
    """A name for the file of each id, with this ending; ids that differ only in what cannot be in a file name are numbered."""
    names: dict[str, None] = {}
    for id in ids:
        name, number = _file_name(id), 1
        while (numbered := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        names[numbered] = None
    return [f"{name}.{kind}" for name in names]


def _file_name(id: str) -> str:
    """An id without what cannot be in a file name."""
    cleaned = re.sub(r"[/\\:\0]", "_", id).lstrip(".") or "_"
    return cleaned.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")
