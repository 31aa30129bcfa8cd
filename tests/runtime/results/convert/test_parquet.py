"""Parquet: a typed row for each crystal, a row group for each part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.results.convert import convert
from bandrt.results.prediction import Prediction
from bandrt.results.summary import summary

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def file(out: Path) -> Any:
    convert(out, out / "bands.parquet", "parquet")
    return pq.ParquetFile(out / "bands.parquet")


def test_every_crystal_is_a_row(file: Any, predictions: list[Prediction]) -> None:
    for row, prediction in zip(file.read().to_pylist(), predictions, strict=True):
        bands, crystal = prediction.band_structure, prediction.crystal
        for name in ("energies", "frac_kpoints", "kpoint_distance", "label_indices"):
            np.testing.assert_array_equal(np.array(row[name]), getattr(bands, name))
        for name in ("lattice", "atomic_numbers", "frac_coords"):
            np.testing.assert_array_equal(np.array(row[name]), getattr(crystal, name))
        assert tuple(row["labels"]) == bands.labels
        assert (row["scheme"], row["space_group_symbol"]) == (bands.scheme, bands.space_group_symbol)


def test_the_summary_comes_first_and_typed(file: Any, predictions: list[Prediction]) -> None:
    for row, prediction in zip(file.read().to_pylist(), predictions, strict=True):
        expected = summary(prediction) | {"path": prediction.path.replace("\udce9", "\\udce9")}
        assert {name: row[name] for name in expected} == expected | {"warnings": list(prediction.warnings)}
        assert list(row)[: len(expected)] == list(expected)
    types = {field.name: str(field.type) for field in file.schema_arrow}
    assert (types["band_gap_ev"], types["is_metal"], types["n_atoms"]) == ("double", "bool", "int32")
    assert types["energies"].count("list") == 2
    assert "float" in types["energies"]


def test_units_and_origin_are_in_the_file(file: Any) -> None:
    schema = file.schema_arrow
    assert schema.field("energies").metadata[b"units"].startswith(b"eV")
    assert schema.field("lattice").metadata[b"units"].decode().startswith("Å")
    assert schema.metadata[b"engine_sha256"] == b"e" * 64
    assert schema.metadata[b"metal_tolerance_ev"] == b"0.1"
    assert json.loads(schema.metadata[b"engine"])["variant"] == "paper"


def test_a_part_is_a_row_group(file: Any) -> None:
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 1]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
