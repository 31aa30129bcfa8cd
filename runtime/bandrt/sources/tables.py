"""Rows of tables and frames of trajectories, one at a time: a table of millions of rows needs the memory of one."""

from __future__ import annotations

import csv
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import IO, Any, NamedTuple

from bandrt.errors import InputError
from bandrt.limits import MAX_CRYSTAL_BYTES, BoundedLines
from bandrt.outcomes import outcome_of
from bandrt.readers import Format
from bandrt.readers.documents import is_document
from bandrt.readers.extxyz import frames, info
from bandrt.readers.text import bare_name, unpacked
from bandrt.sources.csv_count import csv_lines
from bandrt.sources.kept import kept_of, require_single
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Candidate, Source, refused, row_candidate

ID_COLUMNS = ("material_id", "id", "name", "jid")
"""Columns a row takes its id from, the first that the table has."""
STRUCTURE_COLUMN = "cif"
"""Column or key that a crystal is read from if no other is asked for."""
OTHER_COLUMN = "structure"
"""The same, where that one is missing."""
Written = tuple[Format, str]
"""How a text is written, and the text."""
BROKEN_STREAM = (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error)
"""What reading a damaged file raises."""


class Row(NamedTuple):
    """A row of a table."""

    id: str
    """What it is called; may be empty."""
    crystal: Written | InputError
    kept: dict[str, str] | InputError
    """Its columns that were asked for."""


def text_stream(stream: IO[bytes], file_name: str) -> io.TextIOWrapper:
    """Text of a binary stream, decompressed if the name says that it is compressed."""
    return io.TextIOWrapper(unpacked(stream, file_name), encoding="utf-8-sig", errors="replace", newline="")


def rows(
    stream: IO[bytes],
    file_name: str,
    path: str,
    label: str,
    structure_column: str = STRUCTURE_COLUMN,
    keep: Sequence[str] = (),
) -> Iterator[Candidate]:
    """Crystals of a CSV or JSON-lines table; rows are counted from 1, the header aside.

    Args:
        stream: the table's bytes.
        file_name: its name, whose ending says how it is written.
        path: where it is, for people.
        label: the table, the same in every run.
        structure_column: the column with the crystals: the text of CIFs, or documents of JSON.
        keep: columns to carry through.
    """
    row_of = _csv_rows if bare_name(file_name).lower().endswith(".csv") else _json_rows
    stem, number = stem_of(file_name), 0
    try:
        with text_stream(stream, file_name) as text:
            for number, row in enumerate(row_of(text, structure_column, keep), start=1):
                name = row.id or f"{stem}:{number}"
                yield row_candidate(name, f"{path}:{number}", f"{label}:{number}", row.crystal, row.kept)
    except InputError as error:
        yield refused(stem, path, error.code, error.message)
    except BROKEN_STREAM as error:
        yield refused(
            f"{stem}:{number + 1}", f"{path}:{number + 1}", "unreadable", f"{error}; nothing after row {number} can be read"
        )


def csv_rows(table: IO[str]) -> Iterator[list[str]]:
    """The rows of a CSV table, the header first, whose fields may be as long as a crystal.

    Python's limit of a field is one for the whole process: it is raised for as long as a row is read, and then as it was.
    """
    lines = BoundedLines(table)
    reader = csv.reader(lines)
    while True:
        lines.restart()
        before = csv.field_size_limit(MAX_CRYSTAL_BYTES)
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(before)
        if row is None:
            return
        yield row


def csv_row_count(open_table: Callable[[], IO[bytes]], file_name: str, structure_column: str = STRUCTURE_COLUMN) -> int | None:
    """How many crystals `rows` finds in a CSV table, in a quarter of its time.

    Args:
        open_table: opens the table, which is read twice, its header first.
        file_name: its name.
        structure_column: the column with the crystals.

    Returns:
        None where only reading tells, as of a table that has no such column, or is damaged.
    """
    try:
        with open_table() as stream, text_stream(stream, file_name) as text:
            next(_csv_rows(text, structure_column, ()), None)
        with open_table() as stream, unpacked(stream, file_name) as table:
            lines = csv_lines(table)
    except (InputError, *BROKEN_STREAM):
        return None
    return None if lines is None else max(0, lines - 1)


def csv_records(table: IO[str]) -> tuple[list[str], Iterator[dict[str, str]]]:
    """The columns of a CSV table, and its rows by column, read one at a time.

    What a short row lacks is empty, blank lines are passed over.
    """
    lines = csv_rows(table)
    columns = next(lines, [])
    return columns, (dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for line in lines if line)


def _csv_rows(table: IO[str], structure_column: str, keep: Sequence[str]) -> Iterator[Row]:
    reader = csv_rows(table)
    header = next(reader, None)
    if header is None:
        raise InputError("empty-file", "the table is empty")
    if structure_column == STRUCTURE_COLUMN and structure_column not in header and OTHER_COLUMN in header:
        structure_column = OTHER_COLUMN
    if structure_column not in header:
        raise InputError("no-cif-column", f"the table has no column `{structure_column}`, only {', '.join(header)[:200]}")
    if header.count(structure_column) > 1:
        raise InputError("no-cif-column", f"the table has several columns `{structure_column}`; rename all but one")
    require_single(header, keep)
    place = header.index(structure_column)
    id_column = next((header.index(column) for column in ID_COLUMNS if column in header), None)
    kept = {name: header.index(name) for name in keep if name in header}
    for row in filter(None, reader):  # blank lines
        wanted = row[id_column].strip() if id_column is not None and id_column < len(row) else ""
        if len(row) != len(header):
            yield Row(
                wanted, InputError("bad-row", f"{len(row)} values in a table of {len(header)} columns"), dict.fromkeys(kept, "")
            )
        else:
            yield Row(wanted, _of_text(row[place]), kept_of({name: row[column] for name, column in kept.items()}, keep))


def _json_rows(table: IO[str], structure_column: str, keep: Sequence[str]) -> Iterator[Row]:
    lines = BoundedLines(table)
    for line in lines:
        lines.restart()
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row("", InputError("json-syntax", f"{error}"), {})
            continue
        yield Row(row_id(row), structure_of(row, structure_column), kept_of(row, keep))


def structure_of(row: Any, structure_column: str = STRUCTURE_COLUMN) -> Written | InputError:
    """The crystal of a row or entry of JSON: what stands under the key, else the row itself if it is, or holds, a structure.

    Returns:
        How it is written, and its text; or ``no-cif-column``, or ``empty-file``.
    """
    columns = row if isinstance(row, Mapping) else {structure_column: row}
    named = columns.get(structure_column)
    document = named if is_document(named) else columns
    if structure_column == STRUCTURE_COLUMN and not isinstance(named, str):
        named = columns.get(OTHER_COLUMN)
    if isinstance(named, str):
        return _of_text(named)
    if is_document(document) and (document is not columns or structure_column == STRUCTURE_COLUMN):
        return "json", json.dumps(document)
    return InputError("no-cif-column", f"no text under the key `{structure_column}` and no structure here")


def _of_text(text: str) -> Written | InputError:
    """How a text of a table is written: JSON begins with a brace, else it is a CIF; ``empty-file`` if there is none."""
    if not text or text.isspace():
        return InputError("empty-file", "this row has no text where its crystal should be")
    return "json" if text.lstrip()[:1] == "{" else "cif", text


def source_of_text(text: Any, *, source_id: str, place: str) -> Source:
    """A text that a program hands over as a crystal: a CIF, or a document in JSON, never a path. What is none is refused when read.

    Args:
        text: the value.
        source_id: what the crystal is called.
        place: where it is, for messages.
    """
    written = structure_of({STRUCTURE_COLUMN: text})
    if isinstance(written, InputError):
        return Source(source_id, place, "cif", InputError(written.code, f"{place}: has no text of a crystal"))
    return Source(source_id, place, *written)


def row_id(row: Any) -> str:
    """What a row or entry of JSON is called; empty if it does not say."""
    values = [row[column] for column in ID_COLUMNS if column in row] if isinstance(row, Mapping) else []
    return str(values[0]).strip() if values and isinstance(values[0], str | int | float) else ""


def trajectory(stream: IO[bytes], file_name: str, path: str, label: str, keep: Sequence[str] = ()) -> Iterator[Candidate]:
    """Frames of an extended XYZ file, counted from 0.

    Args:
        stream: the file's bytes.
        file_name: its name.
        path: where it is, for people.
        label: the file, the same in every run.
        keep: keys of the comment line to carry through.
    """
    stem, index = stem_of(file_name), -1
    try:
        with text_stream(stream, file_name) as text:
            lines = BoundedLines(text)
            for index, frame in enumerate(frames(lines, name=path)):
                lines.restart()
                said = outcome_of(partial(info, frame)) if keep else {}  # what is wrong with it is told when it is read
                kept = {} if isinstance(said, InputError) else kept_of(said, keep)
                yield row_candidate(f"{stem}:{index}", f"{path}:{index}", f"{label}:{index}", ("extxyz", frame), kept)
        if index < 0:
            yield refused(stem, path, "empty-file", "the file is empty")
    except InputError as error:
        yield Candidate(Source(f"{stem}:{index + 1}", f"{path}:{index + 1}", "extxyz", error), f"{label}:{index + 1}")
    except BROKEN_STREAM as error:
        yield refused(f"{stem}:{index + 1}", f"{path}:{index + 1}", "unreadable", str(error))
