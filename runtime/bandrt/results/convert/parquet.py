"""Parquet: a table with one row a crystal, one row group a part.

The columns of ``summary.csv`` come first, typed, with band edges of metals null, ``warnings`` a list, and what was kept of the
inputs as text. After them stand ``space_group_symbol`` and ``scheme``, and as nested lists ``energies`` (n_bands, n_kpoints)
float32, NaN for bands that were asked for and that the crystal has not, ``frac_kpoints`` (n_kpoints, 3), ``kpoint_distance``
(n_kpoints), ``labels`` and ``label_indices`` (n_vertices), ``lattice`` (3, 3), ``atomic_numbers`` (n_atoms) and ``frac_coords``
(n_atoms, 3). Units are in the metadata of the fields (``units``), where the numbers come from in that of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.frame import in_frame
from bandrt.errors import MissingPackageError
from bandrt.results.convert.provenance import UNITS, Facts, rule_of
from bandrt.results.prediction import Prediction
from bandrt.results.summary import UNCERTAINTY_COLUMN, summary


def write(file: IO[bytes], parts: Iterable[Sequence[Prediction]], facts: Facts) -> None:
    """Write predictions as one Parquet file.

    Args:
        file: open for writing.
        parts: predictions, part by part; at least one.
        facts: what is true of all of them.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise MissingPackageError("pyarrow", "parquet", "converting to Parquet") from error

    parts = iter(parts)
    first_part = next(parts)
    kept = tuple(first_part[0].kept)
    first = _table(first_part, facts, kept)
    tables = (_table(part, facts, kept) for part in parts)
    with ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def summary_types(*, uncertainty: bool) -> dict[str, Any]:
    """The columns of a summary as types of pyarrow, in their order.

    Args:
        uncertainty: whether the engine estimates it.
    """
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int32(), pa.float64()
    return {
        "id": text,
        "path": text,
        "formula": text,
        "space_group": whole,
        "n_atoms": whole,
        "band_gap_ev": number,
        "direct_gap_ev": number,
        "is_metal": pa.bool_(),
        "is_direct": pa.bool_(),
        "vbm_ev": number,
        "cbm_ev": number,
        "warnings": pa.list_(text),
        **({UNCERTAINTY_COLUMN: number} if uncertainty else {}),
    }


def _table(predictions: Sequence[Prediction], facts: Facts, kept: Sequence[str]) -> Any:
    import pyarrow as pa

    text = pa.string()
    types = summary_types(uncertainty=predictions[0].uncertainty_ev is not None)
    rows = [summary(p) for p in predictions]
    bands = [p.band_structure for p in predictions]
    crystals = [b.crystal for b in bands]
    columns = {
        **{name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()},  # type: ignore[literal-required]
        **{name: pa.array([p.kept.get(name, "") for p in predictions], text) for name in kept},
        "space_group_symbol": pa.array([b.space_group_symbol for b in bands]),
        "scheme": pa.array([b.scheme for b in bands]),
        "energies": _lists([in_frame(b, rule_of(facts)) for b in bands], np.float32),
        "frac_kpoints": _lists([b.frac_kpoints for b in bands], np.float64),
        "kpoint_distance": _lists([b.kpoint_distance for b in bands], np.float64),
        "labels": pa.array([b.labels for b in bands], pa.list_(text)),
        "label_indices": _lists([b.label_indices for b in bands], np.int32),
        "lattice": _lists([c.lattice for c in crystals], np.float64),
        "atomic_numbers": _lists([c.atomic_numbers for c in crystals], np.int32),
        "frac_coords": _lists([c.frac_coords for c in crystals], np.float64),
    }
    fields = [
        pa.field(name, column.type, metadata={"units": UNITS[name]} if name in UNITS else None) for name, column in columns.items()
    ]
    about = {name: str(value) for name, value in facts.items()}
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields, metadata=about))


def _lists(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> Any:
    """A column of nested lists.

    Args:
        arrays: one a crystal, each (n,) or (n, m), where n may differ between crystals.
        dtype: of their values.
    """
    import pyarrow as pa

    rows = np.concatenate(arrays, dtype=dtype, casting="same_kind")  # (total, ...)
    column = pa.array(rows.reshape(-1))
    if rows.ndim == 2:
        column = pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1]), column)
    return pa.ListArray.from_arrays(np.cumsum([0, *map(len, arrays)], dtype=np.int32), column)
