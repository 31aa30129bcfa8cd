"""The outside check: a document finds its structure only where the lattice agrees."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bandrt.computed.documents import DocumentText
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load_script(ROOT / "benchmarks" / "external_check.py")


def write(path: Path, values: dict[str, Any]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(values, file)


def turned(structure: dict[str, Any]) -> dict[str, Any]:
    """The same crystal in another orientation."""
    c, s = np.cos(0.4), np.sin(0.4)
    lattice = np.array(structure["lattice"]["matrix"]) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    sites = [{"species": site["species"], "abc": site["abc"], "label": "x"} for site in structure["sites"]]
    return {"@class": "Structure", "@module": "pymatgen.core.structure", "lattice": {"matrix": lattice.tolist()}, "sites": sites}


def test_a_structure_beside_a_document_is_turned_to_its_lattice(
    check: ModuleType, label_texts: list[DocumentText], tmp_path: Path
) -> None:
    documents = [json.loads(text.text) for text in label_texts[:40]]
    whole, other = next(
        (a, b) for a in documents for b in documents
        if a["formula"] != b["formula"] and abs(a["structure"]["lattice"]["a"] / b["structure"]["lattice"]["a"] - 1) > 0.05
    )  # fmt: skip
    bare = {name: value for name, value in whole.items() if name not in ("structure", "id")}
    write(tmp_path / "A_1_bandstructure.json.gz", bare)
    write(tmp_path / "A_1_structure.json.gz", turned(whole["structure"]))
    write(tmp_path / "B_2_bandstructure.json.gz", bare)
    write(tmp_path / "B_2_structure.json.gz", turned(other["structure"]))
    write(tmp_path / "C_3.json.gz", whole)
    out = tmp_path / "out.jsonl"
    result = CliRunner().invoke(check.main, [str(tmp_path), "-o", str(out)], catch_exceptions=False)
    assert [line.split(": structure ")[1] for line in result.stdout.splitlines()] == ["beside", "not found", "inside"]

    from bandrt_train.data.builder import make_entry
    from bandrt_train.data.dataset import DatasetRecipe, Entry, Refusal

    lines = out.read_text(encoding="utf-8").splitlines()
    completed, without, inside = (make_entry(DocumentText(f"{i}", f"{i}", line), DatasetRecipe()) for i, line in enumerate(lines))
    assert isinstance(completed, Entry)
    assert isinstance(inside, Entry)
    assert isinstance(without, Refusal)
    assert without.code == "no-structure"
    assert completed.features.space_group == inside.features.space_group
    np.testing.assert_allclose(completed.targets.energies, inside.targets.energies, atol=1e-4)
