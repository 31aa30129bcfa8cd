"""Rows of tables and frames of trajectories, one at a time: a table of millions of rows needs the memory of one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import IO, Any

from bandrt.errors import InputError
from bandrt.readers.extxyz import frames
from bandrt.readers.text import MAX_CRYSTAL_BYTES
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Candidate, Source, refused

ID_COLUMNS = ("material_id", "id", "name")
"""Columns a row takes its id from, the first that the table has."""
BROKEN_STREAM = (OSError, EOFError, zlib.error, csv.Error)
"""What reading a damaged file raises."""


def text_stream(stream: IO[bytes], file_name: str) -> io.TextIOWrapper:
    """Text of a binary stream, decompressed if the name ends in ``.gz``."""
    unpacked = gzip.GzipFile(fileobj=stream) if file_name.lower().endswith(".gz") else stream
    return io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="replace", newline="")


def rows(stream: IO[bytes], file_name: str, path: str, label: str) -> Iterator[Candidate]:
    """Crystals of a CSV or JSON-lines table with a ``cif`` column; rows are counted from 1, the header aside.

    Args:
        stream: the table's bytes.
        file_name: its name, whose ending says how it is written.
        path: where it is, for people.
        label: the table, the same in every run.
    """
    row_of = _csv_rows if file_name.lower().removesuffix(".gz").endswith(".csv") else _json_rows
    stem, number = stem_of(file_name), 0
    try:
        with text_stream(stream, file_name) as text:
            for number, (row_id, cif) in enumerate(row_of(text), start=1):
                place = f"{path}:{number}"
                row_id = row_id or f"{stem}:{number}"
                if isinstance(cif, InputError):
                    yield refused(row_id, place, cif.code, cif.message)
                else:
                    yield Candidate(Source(row_id, place, "cif", cif), f"{label}:{number}")
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
    reader = csv.reader(table)
    while True:
        before = csv.field_size_limit(MAX_CRYSTAL_BYTES)
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(before)
        if row is None:
            return
        yield row


def csv_records(table: IO[str]) -> tuple[list[str], Iterator[dict[str, str]]]:
    """The columns of a CSV table, and its rows by column, read one at a time.

    What a short row lacks is empty, blank lines are passed over.
    """
    lines = csv_rows(table)
    columns = next(lines, [])
    return columns, (dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for line in lines if line)


def _csv_rows(table: IO[str]) -> Iterator[tuple[str, str | InputError]]:
    """Id (may be empty) and CIF of each row."""
    reader = csv_rows(table)
    header = next(reader, None)
    if header is None:
        raise InputError("empty-file", "the table is empty")
    if "cif" not in header:
        raise InputError("no-cif-column", f"the table has no column `cif`, only {', '.join(header)[:200]}")
    cif_column = header.index("cif")
    id_column = next((header.index(column) for column in ID_COLUMNS if column in header), None)
    for row in filter(None, reader):  # blank lines
        row_id = row[id_column].strip() if id_column is not None and id_column < len(row) else ""
        if len(row) != len(header):
            yield row_id, InputError("bad-row", f"{len(row)} values in a table of {len(header)} columns")
        else:
            yield row_id, row[cif_column]


def _json_rows(table: IO[str]) -> Iterator[tuple[str, str | InputError]]:
    """Id (may be empty) and CIF of each line."""
    while line := table.readline(MAX_CRYSTAL_BYTES):
        if len(line) == MAX_CRYSTAL_BYTES:
            raise InputError("too-large", f"a line is longer than {MAX_CRYSTAL_BYTES // 2**20} MiB")
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield "", InputError("json-syntax", f"{error}")
            continue
        if not isinstance(row, Mapping) or not isinstance(row.get("cif"), str):
            yield _row_id(row), InputError("no-cif-column", "no text under the key `cif` in this line")
        else:
            yield _row_id(row), row["cif"]


def _row_id(row: Any) -> str:
    values = [row[column] for column in ID_COLUMNS if column in row] if isinstance(row, Mapping) else []
    return str(values[0]).strip() if values and values[0] is not None else ""


def trajectory(stream: IO[bytes], file_name: str, path: str, label: str) -> Iterator[Candidate]:
    """Frames of an extended XYZ file, counted from 0.

    Args:
        stream: the file's bytes.
        file_name: its name.
        path: where it is, for people.
        label: the file, the same in every run.
    """
    stem, index = stem_of(file_name), -1
    try:
        with text_stream(stream, file_name) as text:
            for index, frame in enumerate(frames(text, name=path)):
                yield Candidate(Source(f"{stem}:{index}", f"{path}:{index}", "extxyz", frame), f"{label}:{index}")
        if index < 0:
            yield refused(stem, path, "empty-file", "the file is empty")
    except InputError as error:
        yield Candidate(Source(f"{stem}:{index + 1}", f"{path}:{index + 1}", "extxyz", error), f"{label}:{index + 1}")
    except BROKEN_STREAM as error:
        yield refused(f"{stem}:{index + 1}", f"{path}:{index + 1}", "unreadable", str(error))
