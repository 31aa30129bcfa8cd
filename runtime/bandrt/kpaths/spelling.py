"""Paths that people write as labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from bandrt.errors import UsageError
from bandrt.quoting import quoted

GAMMA = ("Γ", "G", "GAMMA", "\\GAMMA")


def parse_path(text: str, labels: Sequence[str]) -> list[list[str]]:
    """Understand a path such as ``G-X-W|U-L`` or ``GXW|UL`` by the labels that there are: lines of labels.

    ``G`` and ``Gamma`` stand for Γ; subscripts may be written without their line, ``X1`` for ``X_1``.

    Raises:
        UsageError: ``unknown-label``, with those that there are; ``bad-path`` for a line of fewer than two labels, or two
            equal ones in a row.
    """
    known: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        known[label.upper()] = label
        known.setdefault(label.replace("_", "").upper(), label)
    if "Γ" in labels:
        known |= {name: "Γ" for name in GAMMA if name not in known}
    spelled = re.compile("|".join(re.escape(name) for name in sorted(known, key=len, reverse=True)))
    lines = []
    for part in re.split(r"[|,]", text):
        words = [word for word in re.split(r"[-–\s]+", part.strip()) if word]
        line: list[str] = []
        for word in words:
            rest = word.upper()
            while rest:
                found = spelled.match(rest)
                if found is None:
                    raise UsageError(
                        "unknown-label",
                        f"path {quoted(text)}: {quoted(word)}; this crystal has {' '.join(dict.fromkeys(labels))}",
                    )
                line.append(known[found[0]])
                rest = rest[found.end() :]
        if len(line) < 2 or any(a == b for a, b in pairwise(line)):
            raise UsageError("bad-path", f"path {quoted(text)}: a line goes from one label to another, such as G-X-W")
        lines.append(line)
    return lines
