"""What callers hand over, cut to what fits into a message or beside a prompt: a text may be a whole file, an array a gigabyte."""

from __future__ import annotations

import reprlib

MOST_CHARACTERS = 100
"""Of one value in a message or a `repr`."""
MOST_OF_MESSAGE = 1000
"""Characters; what is wrong stands at the beginning of a message, what to do at its end."""

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = MOST_CHARACTERS


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text, of which the middle is left out where it is longer than so many characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) * 2 // 5
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def quoted(value: object) -> str:
    """What Python calls a value, on one line of `MOST_CHARACTERS` at most."""
    written = shortened(_REPR.repr(value))
    return " ".join(written.split()) if "\n" in written else written
