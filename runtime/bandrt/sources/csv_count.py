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
    found, length = 0, 0  # length: of the row that has begun
    is_inside, last = 0, _NEWLINE  # of a quoted field, 0 or 1; the byte before
    while block := stream.read(_BLOCK_BYTES):
        codes = np.frombuffer(block, np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        opening = quotes[is_inside::2]
        before = np.where(opening > 0, codes[opening - 1], last)
        if not _BEFORE_A_FIELD[before].all() or b"\0" in block:
            return None
        ends = np.flatnonzero((codes == _NEWLINE) | (codes == _RETURN))
        ends = ends[(np.searchsorted(quotes, ends) + is_inside) % 2 == 0]
        found += int((np.diff(ends, prepend=-2 if length else -1) > 1).sum())
        longest = int(np.diff(ends, prepend=-1 - length).max(initial=0))
        length = len(codes) - 1 - int(ends[-1]) if len(ends) else length + len(codes)
        if max(longest, length) >= MAX_CRYSTAL_BYTES:
            return None
        is_inside, last = (is_inside + len(quotes)) % 2, int(codes[-1])
    return found + bool(length)
