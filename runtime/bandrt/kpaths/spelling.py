"""Paths that people write as labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from bandrt.errors import UsageError
from bandrt.quoting import quoted

GAMMA = ("G", "gamma", "\\gamma")
"""What Γ is called beside its own name, the words in any case; ``g`` is it where no point has that letter."""


def parse_path(text: str, labels: Sequence[str]) -> list[list[str]]:
    """Understand a path such as ``G-X-W|U-L`` or ``GXW|UL`` by the labels that there are: lines of labels.

    A label is taken as it is written: ``F`` and ``f`` may be two points. Where none is written so, it may be in the other case:
    ``x`` for ``X``. Subscripts may be written without their line, ``X1`` for ``X_1``. ``G`` and ``Gamma`` always stand for Γ.

    Raises:
        UsageError: ``unknown-label``, with those that there are, also for what may be one of several; ``bad-path`` for a line of
            fewer than two labels, or two equal ones in a row.
    """
    spellings = _Spellings(labels)
    lines = []
    for part in re.split(r"[|,]", text):
        words = [word for word in re.split(r"[-–\s]+", part.strip()) if word]
        line = [label for word in words for label in spellings.labels_of(word, text)]
        if len(line) < 2 or any(a == b for a, b in pairwise(line)):
            raise UsageError("bad-path", f"path {quoted(text)}: a line goes from one label to another, such as G-X-W")
        lines.append(line)
    return lines


class _Spellings:
    """How the labels of one crystal may be written."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(dict.fromkeys(labels))
        self.exact = {label: label for label in self.labels}
        for label in self.labels:
            self.exact.setdefault(label.replace("_", ""), label)
        self.exact |= dict.fromkeys(GAMMA, "Γ")
        self.folded: dict[str, dict[str, None]] = {}  # those that differ in case alone, in order
        for name, label in self.exact.items():
            self.folded.setdefault(name.casefold(), {})[label] = None
        longest_first = sorted(self.exact, key=len, reverse=True)
        self.pattern = re.compile("|".join(re.escape(name) for name in longest_first), re.IGNORECASE)

    def labels_of(self, word: str, text: str) -> list[str]:
        """The labels of a word, which stand in it side by side.

        Args:
            word: of a path.
            text: the path.
        """
        found: list[str] = []
        while word:
            match = self.pattern.match(word)
            written = match[0] if match else ""
            known = self.exact.get(written)
            meant = [label for label in ([known] if known else self.folded.get(written.casefold(), ())) if label in self.labels]
            if len(meant) != 1:
                there = " ".join(self.labels)
                why = f"{quoted(written)} may be {' or '.join(meant)}" if meant else f"this crystal has {there}"
                raise UsageError("unknown-label", f"path {quoted(text)}: {quoted(word)}; {why}")
            found += meant
            word = word[len(written) :]
        return found
