"""What callers hand over, cut to what fits into a message or beside a prompt: a text may be a whole file, an array a gigabyte."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection

_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""What a terminal obeys, what ends a line or turns it round, and halves of characters, which no file of text can hold."""
MOST_CHARACTERS = 100
"""Of one value in a message or a `repr`."""
LEAST_HELD = 2
"""Letters of a name that others are looked for by that hold it."""
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


def printable(text: str) -> str:
    """Text of users, such as ids and file names, as it can be printed and stored anywhere: all else as ``\\x1b`` or ``\\udcff``."""
    return _UNPRINTABLE.sub(
        lambda found: found[0].encode("ascii", "backslashreplace").decode() if found[0] > "\x7f" else f"\\x{ord(found[0]):02x}",
        text,
    )


def one_line(text: str) -> str:
    """A text without line breaks, which become spaces, and `printable`; file names may hold any character."""
    return printable(" ".join(text.split()) if any(mark in text for mark in "\n\r\t\v\f") else text)


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text, of which the middle is left out where it is longer than so many characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) * 2 // 5
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def nearest(given: str, known: Collection[str], most: int = 1) -> list[str]:
    """Names that may be meant by one that is none of them: those that begin with it, hold it, or are spelt like it."""
    from difflib import get_close_matches

    part = given.lower()
    holding = [name for name in known if part in name.lower()] if len(part) >= LEAST_HELD else []
    found = sorted(holding, key=lambda name: not name.lower().startswith(part))
    if len(found) < most:
        found += [name for name in get_close_matches(given, known, n=most) if name not in found]
    return found[:most]


def did_you_mean(names: Collection[str]) -> str:
    """``did you mean a, b or c?``; empty without names."""
    if not names:
        return ""
    *others, last = map(shortened, names)
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def counted(number: int, noun: str) -> str:
    """``1 crystal``, ``2 crystals``: a number of things whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def with_article(noun: str) -> str:
    """``a Path``, ``an InputError``, ``an ndarray``: a noun, most often the name of a class, as it is spoken."""
    spoken_vowel = re.match(r"[aeio]|u(?!ni|s)|nd|[fhlmnrsx][A-Z0-9]", noun[:1].lower() + noun[1:])
    return f"{'an' if spoken_vowel else 'a'} {noun}"


def quoted(value: object) -> str:
    """What Python calls a value, on one line of `MOST_CHARACTERS` at most."""
    return shortened(one_line(_REPR.repr(value)))
