"""Which columns inputs have, as far as headers tell it before any row is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from bandrt.errors import BandrtError, UsageError
from bandrt.files import paths_of
from bandrt.quoting import printable, quoted, shortened
from bandrt.readers.text import bare_name, open_file
from bandrt.sources.folders import FoundFile, files
from bandrt.sources.parquet import column_names
from bandrt.sources.standard_input import Piped
from bandrt.sources.tables import csv_rows, text_stream

_LISTED = 300
"""Characters of the names of columns that there are."""


def check_keep(inputs: Path | str | Iterable[Path | str] | Piped, keep: Sequence[str], *, skip: Iterable[Path | str] = ()) -> None:
    """Refuse to keep a column that no input has, if all of them are tables with a header, or files that have no columns.

    Args:
        inputs: what crystals are read from.
        keep: the columns.
        skip: folders that are not searched.

    Raises:
        UsageError: ``keep-column``, with the columns that there are.
    """
    if not keep:
        return
    there: dict[str, None] = {}
    if isinstance(inputs, Piped):
        headers = iter([_of_piped(inputs)])
    else:
        headers = map(_of_file, files(paths_of(inputs), skip=paths_of(skip, what="skip")))
    for header in headers:
        if header is None:
            return
        there |= dict.fromkeys(header)
    for name in keep:
        if name not in there:
            listed = shortened(", ".join(map(printable, there)), _LISTED)
            has = f"there are {listed}" if there else "no input is a table"
            raise UsageError("keep-column", f"--keep {quoted(name)}: no input has this column; {has}")


def _of_file(file: FoundFile) -> Sequence[str] | None:
    """The columns of a file, which one that holds a crystal and nothing else has not; None where rows would have to be read."""
    name = bare_name(file.path.name).lower()
    if file.kind == "crystal":
        return ()
    try:
        if file.kind == "table" and name.endswith(".csv"):
            with open_file(file.path) as stream, text_stream(stream, file.path.name) as text:
                return next(csv_rows(text), None)
        return column_names(file.path) if file.kind == "parquet" else None
    except Exception:  # pyarrow raises of all kinds; what is wrong with a table is told when its crystals are read
        return None


def _of_piped(piped: Piped) -> Sequence[str] | None:
    """The columns of what was piped in."""
    if piped.kind == "csv":
        try:
            return next(csv_rows(io.StringIO(piped.text, newline="")), None)
        except (BandrtError, csv.Error):
            return None
    return None if piped.kind in ("jsonl", "json", "extxyz") else ()
