"""What callers hand over, cut to what fits into a message or beside a prompt: a text may be a whole file, an array a gigabyte."""

from __future__ import annotations

import reprlib

MOST_CHARACTERS = 100
"""Of one value in a message or a `repr`."""
MOST_OF_MESSAGE = 1000
"""Characters; what is wrong stands at the beginning of a message, what to do at its end."""


class _Repr(reprlib.Repr):
    """Of long containers and texts a piece; of other objects, such as arrays and tables, one line."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MOST_CHARACTERS

    def repr_instance(self, x: object, level: int) -> str:
        """Of anything that is no container and no text."""
        try:
            return shortened(one_line(repr(x)), self.maxother)
        except Exception:  # of somebody's class
            return f"<{type(x).__name__}>"


_REPR = _Repr()


def one_line(text: str) -> str:
    """A text without line breaks and control characters, as it can be printed anywhere; file names may hold any."""
    if text.isprintable():
        return text
    words = " ".join(text.split()) if any(mark in text for mark in "\n\r\t\v\f") else text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text, of which the middle is left out where it is longer than so many characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) * 2 // 5
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def quoted(value: object) -> str:
    """What Python calls a value, on one line of `MOST_CHARACTERS` at most."""
    return shortened(one_line(_REPR.repr(value)))
