"""A shortlist in a file: a table, or a folder of CIF files with one."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from bandrt.arguments import not_allowed
from bandrt.errors import MissingPackageError, OutputError
from bandrt.files import check_file, check_folder, replaced
from bandrt.results.convert.provenance import UNITS
from bandrt.results.file_names import file_names
from bandrt.results.query import ColumnKind
from bandrt.results.store import check_no_record
from bandrt.results.summary import KINDS, cell_of, json_values, written
from bandrt.screening.cif import cif_text
from bandrt.screening.crystals import crystals_of
from bandrt.screening.shortlist import P_MATCH, Shortlist
from bandrt.screening.table import WHOLE

TABLE = "hits.csv"
"""The table in a folder of CIF files."""
FILE = "cif_file"
"""Its last column, which names the CIF file of a crystal."""


def check_target(target: Path, *, overwrite: bool = False) -> None:
    """Refuse, before the work, a place that a shortlist cannot be written to.

    Raises:
        OutputError: ``output-not-a-file``, ``output-exists``, ``output-record``, ``output-not-a-folder`` or
            ``output-unwritable``.
        MissingPackageError: pyarrow is needed and not installed.
        ArgumentError: ``bad-argument`` for a file of another kind.
    """
    if not target.suffix or target.is_dir():
        check_folder(target)
        check_file(target / TABLE, overwrite=overwrite)
        return
    if target.suffix.lower() not in _WRITERS:
        raise not_allowed("out", target.name, f"{', '.join(f'*{kind}' for kind in _WRITERS)}, or a folder, whose name has no dot")
    if target.suffix.lower() == ".parquet":
        _require_pyarrow()
    check_no_record(target)
    check_file(target, overwrite=overwrite)


def write(shortlist: Shortlist, target: Path, *, overwrite: bool = False) -> None:
    """Write a shortlist.

    Args:
        shortlist: what is written.
        target: ``*.csv``, ``*.jsonl`` or ``*.parquet``, a row a crystal; or a folder, for ``hits.csv`` and of each crystal a CIF
            of its standard primitive cell.
        overwrite: replace files that are there; of a folder, an earlier shortlist, whose CIF files are removed.

    Raises:
        OutputError: as `check_target`, and ``part-damaged``.
        MissingPackageError, ArgumentError: as `check_target`.
    """
    check_target(target, overwrite=overwrite)
    try:
        if not target.suffix or target.is_dir():
            _write_folder(shortlist, target, overwrite=overwrite)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target, "wb" if target.suffix.lower() == ".parquet" else "w") as file:
            _WRITERS[target.suffix.lower()](shortlist, file)
    except OSError as error:
        raise OutputError("output-unwritable", f"{target}: cannot be written ({error.strerror or error})") from error


def _write_folder(shortlist: Shortlist, folder: Path, *, overwrite: bool) -> None:
    names = file_names((row["id"] for row in shortlist), "cif")
    for name in names:
        check_file(folder / name, overwrite=overwrite)
    rows, crystals = [], crystals_of(shortlist)
    earlier = _earlier_files(folder / TABLE) - {*names} if overwrite else set()
    folder.mkdir(parents=True, exist_ok=True)
    for row, name, crystal in zip(shortlist, names, crystals, strict=True):
        with replaced(folder / name) as file:
            file.write(cif_text(crystal, name=row["id"]))
        rows.append({**row, FILE: name})
    with replaced(folder / TABLE) as file:
        _write_csv(dataclasses.replace(shortlist, rows=rows, columns=(*shortlist.columns, FILE)), file)
    for name in earlier:
        (folder / name).unlink(missing_ok=True)


def _earlier_files(table: Path) -> set[str]:
    """The CIF files that the table of an earlier shortlist names; none where it is none."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            names = {row[FILE] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error):
        return set()
    return {name for name in names if name and name == Path(name).name and name.endswith(".cif")}


def _write_csv(shortlist: Shortlist, file: IO[Any]) -> None:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(map(cell_of, shortlist.columns))
    table.writerows([written(row[name]) for name in shortlist.columns] for row in shortlist)


def _write_jsonl(shortlist: Shortlist, file: IO[Any]) -> None:
    for row in shortlist:
        file.write(json.dumps(json_values(row), ensure_ascii=False, allow_nan=False) + "\n")


def _write_parquet(shortlist: Shortlist, file: IO[Any]) -> None:
    pa = _require_pyarrow()
    from pyarrow import parquet

    types = {"number": pa.float64(), "truth": pa.bool_(), "words": pa.list_(pa.string())}
    rows = [json_values(row) for row in shortlist]
    fields = [
        pa.field(
            name,
            pa.int32() if name in WHOLE else types.get(_kind(name), pa.string()),
            metadata={"units": UNITS[name]} if name in UNITS else None,
        )
        for name in shortlist.columns
    ]
    parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), file, compression="zstd")


def _kind(name: str) -> ColumnKind:
    return "number" if name == P_MATCH else KINDS.get(name, "text")


def _require_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "parquet", "a shortlist as Parquet") from error
    return pyarrow


_WRITERS: Mapping[str, Callable[[Shortlist, IO[Any]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
"""By how the name of the file ends."""
