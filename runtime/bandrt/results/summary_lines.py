"""Lines of ``summary.csv``: a row as the bytes of its line, and what the line of an earlier run says of its input."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bandrt.results.parts import Restated
from bandrt.results.summary import COLUMNS, cell_of, kept_cells, text_of, words_of, written
from bandrt.results.texts import as_bytes
from bandrt.sources.tables import csv_rows

_PATH, _WARNINGS = COLUMNS.index("path"), COLUMNS.index("warnings")


def line_of(cells: Sequence[str]) -> bytes:
    """The line of a row, with its end; halves of characters, which UTF-8 has not, become ``\\udcff``."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return as_bytes(text.getvalue())


def cells_of(line: bytes) -> list[str]:
    """The row of a line that `line_of` has written."""
    return next(csv_rows(io.StringIO(line.decode("utf-8"), newline="")))


def path_in(cells: Sequence[str]) -> str:
    """Where the input of a row was read."""
    return text_of(cells[_PATH])


def warnings_in(cells: Sequence[str]) -> tuple[str, ...]:
    """The warnings of a row."""
    return words_of(cells[_WARNINGS])


def kept_in(cells: Sequence[str], keep: Sequence[str]) -> list[str]:
    """The cells of a row that hold the columns that are kept, which stand at its end.

    Args:
        cells: of the row.
        keep: the names of these columns.
    """
    return list(cells[len(cells) - len(keep) :])


def restated_line(line: bytes, restated: Restated, keep: Sequence[str]) -> bytes:
    """A line of which the input is told of as it is now.

    Args:
        line: that an earlier run has written.
        restated: what is otherwise now.
        keep: columns of the inputs that stand after ours.
    """
    cells, (path, kept, warnings) = cells_of(line), restated
    cells[_PATH], cells[_WARNINGS] = cell_of(path), written(warnings)
    cells[len(cells) - len(keep) :] = kept_cells(kept, keep)
    return line_of(cells)
