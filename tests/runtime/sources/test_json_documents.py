"""JSON documents of many crystals: lists, tables and databases as people have them, one entry at a time."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.outcomes import outcome_of
from bandrt.readers import to_crystal
from bandrt.sources import Source, count, find
from bandrt.sources.json_documents import entries

SIDE = 4.1
MEMORY_FOR_A_LIST = 3 * 2**20
"""Bytes above the start while a list of 30 MB is read."""


def pymatgen_dict(first: str = "Cs", second: str = "Cl") -> dict[str, Any]:
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": [at] * 3, "label": symbol}
        for symbol, at in ((first, 0.0), (second, 0.5))
    ]
    return {"@class": "Structure", "lattice": {"matrix": (SIDE * np.eye(3)).tolist(), "pbc": [True] * 3}, "sites": sites}


def jarvis_atoms(*, cartesian: bool = False) -> dict[str, Any]:
    coords = np.array([[0.0] * 3, [0.5] * 3]) * (SIDE if cartesian else 1.0)
    return {
        "lattice_mat": (SIDE * np.eye(3)).tolist(),
        "coords": coords.tolist(),
        "elements": ["Cs", "Cl"],
        "cartesian": cartesian,
        "abc": [SIDE] * 3,
    }


def optimade_attributes(**changes: Any) -> dict[str, Any]:
    return {
        "lattice_vectors": (SIDE * np.eye(3)).tolist(),
        "dimension_types": [1, 1, 1],
        "cartesian_site_positions": [[0.0] * 3, [SIDE / 2] * 3],
        "species": [{"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Cs", "Cl")],
        "species_at_sites": ["Cs", "Cl"],
        **changes,
    }


def found_in(path: Path, document: Any) -> list[Source]:
    raw = json.dumps(document).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return list(find(path))


MANY = {
    "a list of structures": [pymatgen_dict(), pymatgen_dict()],
    "a list of documents": [{"material_id": f"mp-{i}", "structure": pymatgen_dict()} for i in (1, 2)],
    "matbench": {
        "columns": ["structure", "gap pbe"],
        "data": [[pymatgen_dict(), 0.5], [pymatgen_dict(), 0.0]],
        "index": ["mb-1", "mb-2"],
    },
    "matbench, index first": {
        "index": ["mb-1", "mb-2"],
        "columns": ["structure", "gap pbe"],
        "data": [[pymatgen_dict(), 0.5], [pymatgen_dict(), 0.0]],
    },
    "JARVIS": [{"jid": f"JVASP-{i}", "atoms": jarvis_atoms(cartesian=i == 2), "optb88vdw_bandgap": 1.0} for i in (1, 2)],
    "OPTIMADE": {
        "meta": {"data_returned": 2},
        "data": [{"type": "structures", "id": f"odbx/{i}", "attributes": optimade_attributes()} for i in (1, 2)],
        "links": {"next": None},
    },
    "a dictionary by id": {"mp-1": pymatgen_dict(), "mp-2": {"structure": pymatgen_dict()}},
}
IDS = {
    "a list of structures": ["many:1", "many:2"],
    "a list of documents": ["mp-1", "mp-2"],
    "matbench": ["many:1", "many:2"],
    "matbench, index first": ["mb-1", "mb-2"],
    "JARVIS": ["JVASP-1", "JVASP-2"],
    "OPTIMADE": ["odbx/1", "odbx/2"],
    "a dictionary by id": ["mp-1", "mp-2"],
}


@pytest.mark.parametrize("layout", MANY)
@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_every_crystal_of_a_document_is_read(layout: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"many{ending}"
    sources = found_in(path, MANY[layout])
    assert [source.id for source in sources] == IDS[layout]
    assert [source.path for source in sources] == [f"{path}:1", f"{path}:2"]
    assert count(path) == 2
    for source in sources:
        crystal = source.read()
        assert crystal.formula == "CsCl"
        assert np.allclose(crystal.lattice, SIDE * np.eye(3))
        assert np.allclose(crystal.frac_coords, [[0] * 3, [0.5] * 3])


@pytest.mark.parametrize(
    "document",
    [
        pymatgen_dict(),
        {"structure": pymatgen_dict()},
        jarvis_atoms(),
        {"atoms": jarvis_atoms()},
        {"attributes": optimade_attributes()},
    ],
)
def test_a_document_of_one_crystal_is_called_by_its_file(document: Any, tmp_path: Path) -> None:
    (source,) = found_in(tmp_path / "one.json", document)
    assert source.id == "one"
    assert source.read().formula == to_crystal(tmp_path / "one.json").formula == "CsCl"


@pytest.mark.parametrize("layout", ["a list of structures", "matbench", "JARVIS"])
def test_a_list_is_no_single_crystal(layout: str, tmp_path: Path) -> None:
    found_in(tmp_path / "many.json", MANY[layout])
    with pytest.raises(InputError) as caught:
        to_crystal(tmp_path / "many.json")
    assert caught.value.code in ("several-structures", "not-a-crystal")


def test_documents_in_an_archive_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("many.json", json.dumps(MANY["JARVIS"]))
        archive.writestr("one.json", json.dumps(pymatgen_dict()))
        archive.writestr("two.json.gz", gzip.compress(json.dumps(MANY["OPTIMADE"]).encode()))
    sources = list(find(tmp_path))
    assert [source.id for source in sources] == ["JVASP-1", "JVASP-2", "one", "odbx/1", "odbx/2"]
    assert {source.read().formula for source in sources} == {"CsCl"}


@pytest.mark.parametrize(
    "row", [{"structure": pymatgen_dict()}, {"structure": json.dumps(pymatgen_dict())}, {"atoms": jarvis_atoms()}]
)
def test_lines_of_json_may_hold_structures(row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"id": name} | row) + "\n" for name in "ab"))
    assert [(source.id, source.read().formula) for source in find(tmp_path)] == [("a", "CsCl"), ("b", "CsCl")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dimension_types": [1, 1, 0]}, "not-periodic"),
        ({"species_at_sites": ["Cs", "Br"]}, "not-a-crystal"),
        (
            {"species": [{"name": n, "chemical_symbols": [n, "vacancy"], "concentration": [0.8, 0.2]} for n in ("Cs", "Cl")]},
            "partial-occupancy",
        ),
        ({"species": [{"name": n, "chemical_symbols": ["X"], "concentration": [1.0]} for n in ("Cs", "Cl")]}, "unknown-species"),
        (
            {"species": [{"name": n, "chemical_symbols": [n], "concentration": [1], "nattached": [2]} for n in ("Cs", "Cl")]},
            "not-a-crystal",
        ),
        ({"cartesian_site_positions": [[0, 0, 0], [None, None, None]]}, "bad-coordinates"),
        ({"lattice_vectors": None}, "bad-lattice"),
    ],
)
def test_what_an_entry_of_optimade_lacks_is_told(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError) as caught:
        to_crystal({"attributes": optimade_attributes(**changes)}, name="odbx/1")
    assert caught.value.code == code


def test_a_bad_entry_costs_only_itself_and_a_cut_file_what_follows(tmp_path: Path) -> None:
    listed = [pymatgen_dict(), {"energy": 1.0}, pymatgen_dict("X"), pymatgen_dict()]
    assert [code_of(source) for source in found_in(tmp_path / "a.json", listed)] == ["ok", "no-cif-column", "unknown-species", "ok"]
    text = json.dumps(listed[:1] * 3)
    (tmp_path / "b.json").write_text(text[: len(text) * 3 // 4])
    assert [code_of(source) for source in find(tmp_path / "b.json")] == ["ok", "ok", "json-syntax"]
    for broken in ("", "{", "[", "nonsense", '{"a": 1'):
        (tmp_path / "c.json").write_text(broken)
        (source,) = find(tmp_path / "c.json")
        assert source.id == "c"
        assert code_of(source) in ("empty-file", "json-syntax")


@pytest.mark.parametrize("layout", MANY)
def test_a_second_document_in_a_file_is_not_passed_over(layout: str, tmp_path: Path) -> None:
    text = json.dumps(MANY[layout])
    (tmp_path / "many.json").write_text(f"{text}\n{text}\n")
    assert [code_of(source) for source in find(tmp_path / "many.json")] == ["ok", "ok", "json-syntax"]
    (tmp_path / "many.json").write_text(f"{text}\n \n")
    assert [code_of(source) for source in find(tmp_path / "many.json")] == ["ok", "ok"]


def test_a_second_crystal_of_one_key_is_not_passed_over(tmp_path: Path) -> None:
    one = json.dumps(pymatgen_dict())
    (tmp_path / "many.json").write_text(f'{{"a": {one}, "b": {one}, "a": {one}}}')
    assert [code_of(source) for source in find(tmp_path / "many.json")] == ["ok", "ok", "json-syntax"]


def code_of(source: Source) -> str:
    found = outcome_of(source.read)
    if not isinstance(found, InputError):
        return "ok"
    assert source.path in found.message
    return found.code


def test_a_list_is_read_in_the_memory_of_its_entries() -> None:
    entry = json.dumps({"jid": "a", "atoms": jarvis_atoms(), "note": "x" * 3000})

    class Endless(io.StringIO):
        rest = 10_000

        def read(self, size: int | None = -1, /) -> str:
            self.rest -= 1
            return "" if self.rest < 0 else ("[" if self.rest == 9_999 else ", ") + entry + ("]" if self.rest == 0 else "")

    tracemalloc.start()
    try:
        assert sum(1 for _ in entries(Endless())) == 10_000
        assert tracemalloc.get_traced_memory()[1] < MEMORY_FOR_A_LIST
    finally:
        tracemalloc.stop()
