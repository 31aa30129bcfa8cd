"""Crystals of Parquet tables, read with pyarrow, which is an extra: a table of any size needs the memory of a few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandrt.errors import InputError, MissingPackageError
from bandrt.limits import MAX_CRYSTAL_BYTES
from bandrt.readers.documents import INSIDE, OWN_KEYS
from bandrt.readers.text import decoded
from bandrt.sources.kept import kept_of, require_single
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Candidate, refused, row_candidate
from bandrt.sources.tables import ID_COLUMNS, STRUCTURE_COLUMN, Written, row_id, structure_of

_ROWS = 16
"""Read at a time."""
_BUFFER_BYTES = 1 << 20
"""Of each column that is read; without a buffer pyarrow takes whole row groups."""


def parquet_rows(path: Path, label: str, structure_column: str = STRUCTURE_COLUMN, keep: Sequence[str] = ()) -> Iterator[Candidate]:
    """Crystals of a Parquet table; rows are counted from 1.

    Args:
        path: the file.
        label: the table, the same in every run.
        structure_column: the column with the crystals: the text of CIFs, or documents as JSON or as structs.
        keep: columns to carry through.
    """
    stem, number = stem_of(path.name), 0
    try:
        for number, row in enumerate(_rows(path, structure_column, keep), start=1):
            place, wanted = f"{path}:{number}", row_id(row) or f"{stem}:{number}"
            yield row_candidate(wanted, place, f"{label}:{number}", _written(row, structure_column), kept_of(row, keep))
        if not number:
            yield refused(stem, str(path), "empty-file", "the table is empty")
    except (InputError, MissingPackageError) as error:
        yield refused(stem, str(path), error.code, error.message)
    except Exception as error:  # whatever pyarrow finds wrong with the file
        place = f"{path}:{number + 1}"
        yield refused(f"{stem}:{number + 1}", place, "unreadable", f"{error}; nothing after row {number} can be read")


def column_names(path: Path) -> list[str]:
    """The columns that a table says it has.

    Raises:
        MissingPackageError: pyarrow is not installed.
        Exception: what pyarrow raises for a file that is none.
    """
    try:
        from pyarrow.parquet import read_schema
    except ImportError:
        raise MissingPackageError("pyarrow", "parquet", f"reading {path.name}") from None
    return list(read_schema(path).names)


def _rows(path: Path, structure_column: str, keep: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows, by those columns that say something of the crystal or are kept.

    Raises:
        InputError: ``no-cif-column``.
        MissingPackageError: pyarrow is not installed.
    """
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingPackageError("pyarrow", "parquet", f"reading {path.name}") from None
    with ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as table:
        schema = table.schema_arrow
        columns = _wanted_columns(schema.names, structure_column, keep)
        single = [name for name in keep if name in schema.names and str(schema.field(name).type) == "float"]
        for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
            for place in range(batch.num_rows):
                [row] = batch.slice(place, 1).to_pylist()
                yield row | {name: np.float32(row[name]) for name in single if row[name] is not None}


def _wanted_columns(names: Sequence[str], structure_column: str, keep: Sequence[str]) -> list[str]:
    """The columns to read: the id, what may be a crystal, and what is kept.

    Raises:
        InputError: ``no-cif-column`` if none may, or several have one name; ``repeated-column`` if several of those to keep have.
    """
    may_be = {structure_column} | ({*INSIDE, *OWN_KEYS} if structure_column == STRUCTURE_COLUMN else set())
    crystals = [name for name in names if name in may_be]
    if not crystals:
        raise InputError("no-cif-column", f"the table has no column `{structure_column}`, only {', '.join(names)[:200]}")
    if len(set(crystals)) < len(crystals):
        raise InputError("no-cif-column", f"the table has several columns `{crystals[0]}`; rename all but one")
    require_single(names, keep)
    if set(crystals) & set(OWN_KEYS):
        return list(names)
    return [name for name in names if name in may_be or name in ID_COLUMNS or name in keep]


def _written(row: Mapping[str, Any], structure_column: str) -> Written | InputError:
    """How the crystal of a row is written, and its text."""
    try:
        found = structure_of({name: _as_json(value) for name, value in row.items()}, structure_column)
    except (TypeError, ValueError, RecursionError) as error:
        return InputError("not-a-crystal", f"a value is none that JSON has: {error}")
    if not isinstance(found, InputError) and len(found[1]) > MAX_CRYSTAL_BYTES:
        return InputError("too-large", f"a crystal of more than {MAX_CRYSTAL_BYTES // 2**20} MiB")
    return found


def _as_json(value: Any) -> Any:
    """A value as JSON has it: text for bytes, and no keys of a struct that this row does not have."""
    if isinstance(value, bytes):
        return decoded(value)
    if isinstance(value, Mapping):
        return {key: _as_json(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return value
