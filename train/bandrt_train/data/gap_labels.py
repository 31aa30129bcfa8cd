"""Gap labels: tables of crystals of which the band gap is known and the bands are not.

A table (``.csv``, ``.csv.gz``) has columns ``material_id``, ``cif`` and ``band_gap_pbe_ev``: eV, 0 for metals, empty where the gap
is not known. Each row with a gap becomes one JSON text, so that tables and band documents are read the same way.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.sources.tables import csv_records
from bandrt_train.data.documents import DocumentText
from bandrt_train.data.targets import MappingReport, Targets

COLUMNS = ("material_id", "cif", "band_gap_pbe_ev")
METHOD = "gap, DFT-PBE"
"""How these labels were computed, as far as a table says."""


def find_gaps(table: Path) -> Iterator[DocumentText]:
    """Yield the rows of a table that have a gap, one at a time.

    Raises:
        InputError: ``not-a-gap-table`` when it cannot be read or has other columns.
    """
    try:
        with (
            gzip.open(table, "rt", encoding="utf-8", newline="")
            if table.suffix == ".gz"
            else table.open(encoding="utf-8", newline="") as stream
        ):
            columns, rows = csv_records(stream)
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                raise InputError("not-a-gap-table", f"{table}: has no column {missing[0]!r}; needed: {', '.join(COLUMNS)}")
            for number, row in enumerate(rows, start=1):
                if row["band_gap_pbe_ev"]:
                    text = json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False)
                    yield DocumentText(f"{table}:{number}", row["material_id"], text)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError("not-a-gap-table", f"{table}: cannot be read ({error})") from error


def parse_gap(source: DocumentText) -> tuple[Crystal, float]:
    """The crystal of a row and its gap in eV, 0 for a metal.

    Raises:
        InputError: ``malformed`` for a gap that is none, or what `read_cif` raises.
    """
    values = json.loads(source.text)
    try:
        gap = float(values["band_gap_pbe_ev"])
    except ValueError:
        gap = math.nan
    if not (math.isfinite(gap) and gap >= 0.0):
        raise InputError("malformed", f"{source.name}: band gap {values['band_gap_pbe_ev']!r}, allowed: 0 eV or more")
    return read_cif(values["cif"], name=source.id), gap


def gap_targets(gap: float, n_bands: int, n_kpoints: int) -> Targets:
    """Labels that know a gap in eV, and no band."""
    shape = (n_bands, n_kpoints)
    report = MappingReport(mapped_fraction=0.0, unmapped=(), max_distance=0.0, symmetry_spread_ev=0.0)
    return Targets(np.zeros(shape, np.float32), np.zeros(shape, np.bool_), gap == 0.0, gap, report)
