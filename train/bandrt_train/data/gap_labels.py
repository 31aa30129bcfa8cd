"""Gap labels: tables of crystals of which the band gap is known and the bands are not.

A table (``.csv``, ``.csv.gz``) has columns ``material_id``, ``cif`` and ``band_gap_pbe_ev``: eV, 0 for metals, empty where the gap
is not known. A column ``weight`` may say how much a row counts in the loss beside one that is trusted in full: 1 where there is no
such column or it is empty, less for labels with more noise. Each row with a gap becomes one JSON text, so that tables and band
documents are read the same way.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bandrt.computed.documents import DocumentText
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.readers.text import real_number
from bandrt.sources.tables import csv_records
from bandrt_train.data.dataset import Split, SplitRule
from bandrt_train.data.targets import MappingReport, Targets

COLUMNS = ("material_id", "cif", "band_gap_pbe_ev")
WEIGHT = "weight"
"""A column that a table may have."""
METHOD = "gap, DFT-PBE"
"""How these labels were computed, as far as a table says."""


class GapLabel(NamedTuple):
    """What a row says."""

    crystal: Crystal
    gap: float
    """eV, 0 for a metal."""
    weight: float
    """What it counts in the loss, 1 for a label that is trusted in full."""


def find_gaps(*tables: Path) -> Iterator[DocumentText]:
    """Yield the rows of tables that have a gap, one at a time, one table after the other.

    Raises:
        InputError: ``not-a-gap-table`` when one cannot be read or has other columns.
    """
    for table in tables:
        yield from _rows_of(table)


def _rows_of(table: Path) -> Iterator[DocumentText]:
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
            said = (*COLUMNS, WEIGHT) if WEIGHT in columns else COLUMNS
            for number, row in enumerate(rows, start=1):
                if row["band_gap_pbe_ev"]:
                    text = json.dumps({name: row[name] for name in said}, ensure_ascii=False)
                    yield DocumentText(f"{table}:{number}", row["material_id"], text)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError("not-a-gap-table", f"{table}: cannot be read ({error})") from error


def parse_gap(source: DocumentText) -> GapLabel:
    """The crystal of a row, its gap, and what it counts.

    Raises:
        InputError: ``malformed`` for a gap or a weight that is none, or what `read_cif` raises.
    """
    values = json.loads(source.text)
    gap, weight = _number(values["band_gap_pbe_ev"]), _number(values.get(WEIGHT) or "1")
    if not (math.isfinite(gap) and gap >= 0.0):
        raise InputError("malformed", f"{source.name}: band gap {values['band_gap_pbe_ev']!r}, allowed: 0 eV or more")
    if not 0.0 < weight <= 1.0:
        raise InputError("malformed", f"{source.name}: weight {values[WEIGHT]!r}, allowed: more than 0, at most 1")
    return GapLabel(read_cif(values["cif"], name=source.id), gap, weight)


def _number(text: str) -> float:
    try:
        return real_number(text)
    except ValueError:
        return math.nan


def crystals_of_split(
    sources: Iterable[DocumentText],
    split: Split,
    *,
    rule: SplitRule = SplitRule(),  # noqa: B008
    max_atoms: int | None = None,
) -> Iterator[tuple[str, Crystal, float]]:
    """Ids, crystals and gaps, eV, of the rows that are of a split.

    Rows that cannot be read are passed over.

    Args:
        sources: of `find_gaps`.
        split: of formulas.
        rule: by which they are dealt; by default that of all trainings of this project.
        max_atoms: of a crystal as it is written; None: any.
    """
    for source in sources:
        try:
            crystal, gap, _ = parse_gap(source)
        except InputError:
            continue
        if (max_atoms is None or crystal.n_atoms <= max_atoms) and rule.split(crystal.hill_formula) == split:
            yield source.id, crystal, gap


def gap_targets(gap: float, n_bands: int, n_kpoints: int, weight: float = 1.0) -> Targets:
    """Labels that know a gap in eV, which counts so much, and no band."""
    shape = (n_bands, n_kpoints)
    report = MappingReport(mapped_fraction=0.0, unmapped=(), max_distance=0.0, symmetry_spread_ev=0.0)
    return Targets(np.zeros(shape, np.float32), np.zeros(shape, np.bool_), gap == 0.0, gap, report, weight)
