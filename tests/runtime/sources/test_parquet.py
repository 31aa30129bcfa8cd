"""Parquet tables, with pyarrow as the writer."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.outcomes import outcome_of
from bandrt.sources import count, find
from bandrt.sources.textbook import TEXTBOOK, cif

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

CIFS = [cif(one) for one in TEXTBOOK[:3]]
NAMES = ["Cu", "NaCl", "GaAs"]
STRUCTURE = {
    "lattice": {"matrix": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]], "pbc": None},
    "sites": [
        {"species": [{"element": "Cs", "occu": 1.0, "oxidation_state": 1.0}], "abc": [0.0, 0.0, 0.0]},
        {"species": [{"element": "Cl", "occu": 1.0, "oxidation_state": None}], "abc": [0.5, 0.5, 0.5]},
    ],
}


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def outcomes(path: Path, **options: str) -> list[str]:
    """The formula or error code of each source."""
    found = [outcome_of(source.read) for source in find(path, **options)]
    return [one.code if isinstance(one, InputError) else one.formula for one in found]


@pytest.mark.parametrize(
    ("values", "formulas"),
    [
        (CIFS, NAMES),
        ([text.encode() for text in CIFS], NAMES),
        (pa.array(CIFS).dictionary_encode(), NAMES),
        ([json.dumps(STRUCTURE).replace(', "pbc": null', "")], ["CsCl"]),
        ([STRUCTURE], ["CsCl"]),
        ([None, ""], ["no-cif-column", "empty-file"]),
        ([3], ["no-cif-column"]),
    ],
)
@pytest.mark.parametrize("column", ["cif", "structure", "final"])
def test_crystals_are_texts_or_structs(tmp_path: Path, column: str, values: Any, formulas: list[str]) -> None:
    path = written(tmp_path / "t.parquet", {"other": list(range(len(values))), column: values})
    options = {"structure_column": column} if column == "final" else {}
    assert outcomes(path, **options) == formulas
    assert [source.id for source in find(path, **options)] == [f"t:{row + 1}" for row in range(len(formulas))]
    assert count(path, **options) == len(formulas)


def test_rows_take_their_ids_from_the_table_and_a_named_column_goes_before_others(tmp_path: Path) -> None:
    path = written(tmp_path / "t.PARQUET", {"material_id": ["a", "b", "a"], "cif": ["no", "no", "no"], "final": CIFS})
    sources = list(find(path, structure_column="final"))
    assert [source.id for source in sources] == ["a", "b", "t.PARQUET:3"]
    assert [source.path for source in sources] == [f"{path}:{row}" for row in (1, 2, 3)]
    assert outcomes(path, structure_column="final") == NAMES


def test_a_table_of_columns_may_itself_hold_structures(tmp_path: Path) -> None:
    atoms = {
        "lattice_mat": (4.1 * np.eye(3)).tolist(),
        "coords": [[0] * 3, [0.5] * 3],
        "elements": ["Cs", "Cl"],
        "cartesian": False,
    }
    assert outcomes(written(tmp_path / "a.parquet", {"jid": ["x"], "atoms": [atoms]})) == ["CsCl"]
    assert outcomes(written(tmp_path / "b.parquet", {key: [value] for key, value in atoms.items()})) == ["CsCl"]


def test_tables_without_crystals_damaged_ones_and_those_in_archives_are_reported(tmp_path: Path) -> None:
    assert outcomes(written(tmp_path / "a.parquet", {"formula": NAMES})) == ["no-cif-column"]
    assert outcomes(written(tmp_path / "b.parquet", {"cif": pa.array([], pa.string())})) == ["empty-file"]
    path = written(tmp_path / "c.parquet", {"cif": CIFS})
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, path.name)
    assert outcomes(tmp_path / "all.zip") == ["unsupported-format"]
    path.write_bytes(path.read_bytes()[:-20])
    assert outcomes(path) == ["unreadable"]
    twice = pa.Table.from_arrays([pa.array(CIFS), pa.array(CIFS)], names=["cif", "cif"])
    pq.write_table(twice, tmp_path / "d.parquet")
    assert outcomes(tmp_path / "d.parquet") == ["no-cif-column"]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.parquet", {"cif": CIFS})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    [source] = find(path)
    assert isinstance(source.content, InputError)
    assert source.content.code == "missing-package"
    assert "bandrt[parquet]" in source.content.message


def test_a_table_of_one_large_row_group_is_read_in_the_memory_of_a_few_rows(tmp_path: Path) -> None:
    rows = 8000
    texts = [f"{CIFS[0]}# {row:08d} {np.random.default_rng(row).bytes(4000).hex()}\n" for row in range(rows)]
    path = written(tmp_path / "t.parquet", {"cif": texts}, row_group_size=rows, compression="zstd", use_dictionary=False)
    del texts
    pool = pa.default_memory_pool()
    before, most, n_read = pool.bytes_allocated(), 0, 0
    sources = find(path)
    while next(sources, None) is not None:
        n_read += 1
        most = max(most, pool.bytes_allocated() - before)
    assert n_read == rows
    assert most < 20 * 2**20  # of 67 MB
