"""Damage: what happens to files on their way, and what somebody does to them on purpose; all from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

ODD_NUMBERS = (
    *("0", "-0.0", "1", "-1", "1e7", "-1e7", "1e10", "1e308", "-1e308", "1e-308", "nan", "inf", "-inf", "1e999", "0x1p3", "1_0"),
    *("9" * 20, "9" * 5000, "0.3333333", "1/3", "1.5(2)", "?", ".", "", "1d3", "١٢", "−1", "1,5", "2147483648", "99999999"),
)
ODD_WORDS = (
    *("Xx", "D", "T1", "O2-", "Fe3+", "NH4", "CO", "P 1", "F m -3 m", "P 21/c", "x,y,z", "-x,y+1/2,-z", "x+9999999999/3,y,z"),
    *("x/0,y,z", "loop_", "data_", "save_", "_cell_length_a", ";", "'", '"', "{", "}", "[", "]", "null", "true", "{}", "[]"),
    *("\\ud800", "\x00", "\ufb00"),
)
NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[^\s,]+")


def mutated(raw: bytes, random_: random.Random) -> bytes:
    """Damage bytes once or a few times."""
    for _ in range(random_.choice((1, 1, 1, 2, 3, 8))):
        raw = random_.choice(MUTATIONS)(raw, random_)
    return raw


def _flip(raw: bytes, random_: random.Random) -> bytes:
    if not raw:
        return raw
    place = random_.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ (1 << random_.randrange(8))]) + raw[place + 1 :]


def _cut(raw: bytes, random_: random.Random) -> bytes:
    return raw[: random_.randrange(len(raw) + 1)]


def _drop(raw: bytes, random_: random.Random) -> bytes:
    start = random_.randrange(len(raw) + 1)
    return raw[:start] + raw[start + random_.choice((1, 2, 10, 100)) :]


def _double(raw: bytes, random_: random.Random) -> bytes:
    start = random_.randrange(len(raw) + 1)
    return raw[:start] + raw[start : start + random_.choice((1, 10, 100))] * 2 + raw[start:]


def _odd_number(raw: bytes, random_: random.Random) -> bytes:
    return _replaced(raw, NUMBER, random_.choice(ODD_NUMBERS), random_)


def _odd_word(raw: bytes, random_: random.Random) -> bytes:
    return _replaced(raw, WORD, random_.choice(ODD_WORDS), random_)


def _lost_point(raw: bytes, random_: random.Random) -> bytes:
    points = [match.start() for match in re.finditer(rb"(?<=\d)\.(?=\d)", raw)]
    if not points:
        return raw
    place = random_.choice(points)
    return raw[:place] + raw[place + 1 :]


def _swapped_lines(raw: bytes, random_: random.Random) -> bytes:
    lines = raw.split(b"\n")
    one, other = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _lost_line(raw: bytes, random_: random.Random) -> bytes:
    lines = raw.split(b"\n")
    del lines[random_.randrange(len(lines))]
    return b"\n".join(lines)


def _repeated_line(raw: bytes, random_: random.Random) -> bytes:
    lines = raw.split(b"\n")
    place = random_.randrange(len(lines))
    return b"\n".join(lines[:place] + lines[place : place + 1] * random_.choice((2, 3, 50)) + lines[place:])


def _other_ends(raw: bytes, random_: random.Random) -> bytes:
    return raw.replace(b"\n", random_.choice((b"\r\n", b"\r", b"\n\n", b" ", "\u2028".encode())))


def _other_coding(raw: bytes, random_: random.Random) -> bytes:
    return raw.decode("latin-1").encode(random_.choice(("utf-16", "utf-8-sig", "utf-32")))


def _nested(raw: bytes, random_: random.Random) -> bytes:
    return _replaced(raw, WORD, random_.choice("[{(") * random_.choice((10, 100_000)), random_)


def _replaced(raw: bytes, pattern: re.Pattern[bytes], by: str, random_: random.Random) -> bytes:
    found = list(pattern.finditer(raw))
    if not found:
        return raw
    match = random_.choice(found)
    return raw[: match.start()] + by.encode("utf-8", "surrogatepass") + raw[match.end() :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _cut, _drop, _double, _odd_number, _odd_number, _odd_number, _odd_word, _odd_word, _lost_point, _lost_point),
    *(_swapped_lines, _lost_line, _repeated_line, _other_ends, _other_coding, _nested),
)
"""Those that find most are there more than once."""
