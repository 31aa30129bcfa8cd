"""Magnetic moments of a CIF, which bands here know nothing of: which sites have some."""

from __future__ import annotations

import re

from gemmi import cif

from bandrt.readers.cif_tags import cif_number, plain_tag, value_of

NAMED = 5
"""Sites that a warning names at most."""
_MOMENT = re.compile(r"_atom_site_(moment|magn\w*moment|rotation)_?(?P<item>\w+)")
_COMPONENT = re.compile(r"(crystalaxis|cartn|spherical|modulus|magnitude)\w*|[xyz]|m[xyz]")
_NOT_IN_WARNINGS = re.compile(r"[^A-Za-z0-9()'*+.-]")


def moments_dropped(block: cif.Block) -> tuple[str, ...]:
    """The warning that names the sites with moments, ``moments-dropped:Mn1/Mn2``; none if there are no moments."""
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
            _NOT_IN_WARNINGS.sub("_", value_of(label))
            for row, label in enumerate(named)
            if any(abs(cif_number(column[row])) > 0.0 for column in components)
        ]
    if not labels:
        return ()
    more = ["..."] if len(labels) > NAMED else []
    return ("moments-dropped:" + "/".join(labels[:NAMED] + more),)
