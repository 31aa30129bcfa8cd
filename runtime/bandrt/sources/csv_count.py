"""How many rows a CSV table has, by its quotes and ends of lines alone: for a bar of progress, before the rows are read.

That takes a quarter of the time of reading them. Where the rules of CSV are bent, so that quotes alone do not tell, there is no
answer.
"""

from __future__ import annotations

from typing import IO

import numpy as np

from bandrt.limits import MAX_CRYSTAL_BYTES

_BLOCK_BYTES = 1 << 18
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
_BEFORE_A_FIELD = np.zeros(256, np.bool_)
_BEFORE_A_FIELD[list(b',\n\r"')] = True
"""What stands before the quote that a field begins with; a quote does in the middle of one, where two stand for one."""


def csv_lines(stream: IO[bytes]) -> int | None:
    """Count the rows that Python's `csv` finds, the header included and blank lines left out.

    Args:
        stream: the table in UTF-8 or any code page that shares ASCII, decompressed.

    Returns:
        None where a quote stands within a field that does not begin with one, where there is a NUL, and where a row is as long as a
        crystal may be.
    """
    found, length = 0, 0
    is_inside, is_at_end, last = False, True, _NEWLINE  # of a quoted field; of a row; the byte before
    while block := stream.read(_BLOCK_BYTES):
        codes = np.frombuffer(block, np.uint8)
        quotes = codes == _QUOTE
        inside = np.logical_xor.accumulate(quotes) ^ is_inside  # after each byte
        before = np.concatenate([np.array([last], np.uint8), codes[:-1]])
        if not _BEFORE_A_FIELD[before[quotes & inside]].all() or not codes.all():
            return None
        ends = ((codes == _NEWLINE) | (codes == _RETURN)) & ~inside
        found += int((ends & ~np.concatenate([[is_at_end], ends[:-1]])).sum())
        places = np.flatnonzero(ends)
        longest = max(length + int(places[0]) + 1, int(np.diff(places).max(initial=0))) if len(places) else length
        length = len(codes) - 1 - int(places[-1]) if len(places) else length + len(codes)
        if max(longest, length) >= MAX_CRYSTAL_BYTES:
            return None
        is_inside, is_at_end, last = bool(inside[-1]), bool(ends[-1]), int(codes[-1])
    return found + (not is_at_end)
