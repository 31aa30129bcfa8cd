"""Magnetic moments of a CIF: which sites have some."""

from __future__ import annotations

import re

from gemmi import cif

from bandrt.readers.cif_tags import cif_number, plain_tag, value_of
from bandrt.readers.moments import NO_MOMENT, moments_dropped

_MOMENT = re.compile(r"_atom_site_(moment|magn\w*moment|rotation)_?(?P<item>\w+)")
_COMPONENT = re.compile(r"(crystalaxis|cartn|spherical|modulus|magnitude)\w*|[xyz]|m[xyz]")


def moments_of_cif(block: cif.Block) -> tuple[str, ...]:
    """The warning that names the sites with moments by their labels; none if there are no moments."""
    labels: list[str] = []
    for item in block:
        loop = item.loop
        if loop is None or not any(tag.lower().startswith("_atom_site") and "mom" in tag.lower() for tag in loop.tags):
            continue
        tags, values = [plain_tag(tag) for tag in loop.tags], loop.values
        columns = {match["item"]: values[i :: len(tags)] for i, tag in enumerate(tags) if (match := _MOMENT.fullmatch(tag))}
        components = [column for item_name, column in columns.items() if _COMPONENT.fullmatch(item_name)]
        named = columns.get("label") or columns.get("atom_site_label") or [str(row + 1) for row in range(loop.length())]
        labels += [
            value_of(label)
            for row, label in enumerate(named)
            if any(abs(cif_number(column[row])) > NO_MOMENT for column in components)
        ]
    return moments_dropped(labels)
