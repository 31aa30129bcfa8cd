"""A document without a structure takes that of the file beside it, in any cell, where that can mean one thing only."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.computed.documents import DocumentText, parse_document
from bandrt.computed.structure_beside import read_structure
from bandrt.errors import InputError
from bandrt.recipe import KpathRecipe, Recipe
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.data.builder import make_entry
from bandrt_train.data.dataset import DatasetRecipe, Entry
from bandrt_train.data.sources.folders import find_documents

RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=64)))
SAME_ENERGY = 2e-3
"""eV: labels are rounded to 0.1 meV, and a cell that is symmetric to 0.01 Å moves k-points."""
TURN = np.array([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3.0
"""A rotation: orthogonal, determinant 1."""
OTHER_CELL = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 1]])


@pytest.fixture(scope="module")
def of_group(label_texts: list[DocumentText]) -> dict[int, DocumentText]:
    """The first label with enough bands of each space group, among the first so many."""
    first: dict[int, DocumentText] = {}
    for text in label_texts[:160]:
        crystal = parse_document(text).crystal
        assert crystal is not None
        if json.loads(text.text)["n_occupied"] >= 3:
            first.setdefault(standardize(crystal).space_group, text)
    return first


def separated(text: str, folder: Path, name: str = "mp-1.json", structure_name: str = "mp-1.vasp", *, scale: float = 1.0) -> None:
    """Write a document without its structure, and beside it the structure turned, in another cell."""
    values = json.loads(text)
    structure = values.pop("structure")
    packed = json.dumps(values).encode()
    (folder / name).write_bytes(gzip.compress(packed) if name.endswith(".gz") else packed)
    lattice = scale * OTHER_CELL @ np.array(structure["lattice"]["matrix"]) @ TURN
    coords = [np.array(site["abc"]) @ np.linalg.inv(OTHER_CELL) for site in structure["sites"]]
    species = [site["species"][0]["element"] for site in structure["sites"]]
    if structure_name.endswith(".vasp"):
        rows = [" ".join(map(str, row)) for row in [*lattice, *coords]]
        content = ["crystal", "1.0", *rows[:3], " ".join(species), " ".join("1" * len(species)), "Direct", *rows[3:]]
        (folder / structure_name).write_text("\n".join(content), encoding="utf-8")
    else:
        sites = [{"species": [{"element": s, "occu": 1}], "abc": list(c)} for s, c in zip(species, coords, strict=True)]
        other = json.dumps({"lattice": {"matrix": lattice.tolist()}, "sites": sites}).encode()
        (folder / structure_name).write_bytes(gzip.compress(other) if structure_name.endswith(".gz") else other)


@pytest.mark.parametrize("name", ["mp-1_structure.json", "mp-1_structure.json.gz", "mp-1.vasp"])
@pytest.mark.parametrize("document", ["mp-1.json.gz", "mp-1_bandstructure.json"])
def test_a_structure_is_found_by_its_name(name: str, document: str, tmp_path: Path, of_group: dict[int, DocumentText]) -> None:
    text = of_group[225]
    separated(text.text, tmp_path, document, name)
    [source] = find_documents([tmp_path])
    with_structure, stamp = source.read(), source.stamp()
    (tmp_path / name).unlink()
    [source] = find_documents([tmp_path])
    without, whole = source.read(), parse_document(text).crystal
    assert without.document.crystal is None
    assert with_structure.document.crystal is not None
    assert whole is not None
    assert sorted(with_structure.document.crystal.atomic_numbers) == sorted(whole.atomic_numbers)
    assert (stamp, with_structure.sha256) != (source.stamp(), without.sha256)


@pytest.mark.parametrize("group", [139, 166, 194, 216, 221, 225])
def test_bands_come_out_the_same_as_with_the_structure_inside(
    group: int, of_group: dict[int, DocumentText], tmp_path: Path
) -> None:
    separated(of_group[group].text, tmp_path)
    [source] = find_documents([tmp_path])
    made: Any = make_entry(source, RECIPE)
    whole: Any = make_entry(of_group[group], RECIPE)
    assert isinstance(made, Entry), made
    assert made.features.space_group == group
    assert (made.targets.mask == whole.targets.mask).all()
    np.testing.assert_allclose(made.targets.energies, whole.targets.energies, atol=SAME_ENERGY)


@pytest.mark.parametrize(("scale", "code"), [(1.0, "structure-ambiguous"), (1.1, "structure-conflict")])
def test_a_structure_that_fits_in_several_ways_or_not_at_all_is_refused(
    scale: float, code: str, of_group: dict[int, DocumentText], tmp_path: Path
) -> None:
    separated(of_group[164].text, tmp_path, scale=scale)  # half of the symmetries of its hexagonal lattice
    [source] = find_documents([tmp_path])
    with pytest.raises(InputError, match=r"mp-1\.vasp: ") as caught:
        source.read()
    assert caught.value.code == code


def test_the_short_axes_of_a_long_cell_are_compared_too(tmp_path: Path) -> None:
    poscar = tmp_path / "slab.vasp"
    poscar.write_text("slab\n1.0\n3 0 0\n0 3 0\n0 0 30\nPo\n1\nDirect\n0 0 0\n", encoding="utf-8")
    own = 2.0 * np.pi * np.diag([1 / 3.0, 1 / 3.0, 1 / 30.0])
    np.testing.assert_allclose(read_structure(poscar, own).lattice, np.diag([3.0, 3.0, 30.0]), atol=1e-9)
    with pytest.raises(InputError) as caught:
        read_structure(poscar, 2.0 * np.pi * np.diag([1 / 4.2, 1 / 4.2, 1 / 30.0]))
    assert caught.value.code == "structure-conflict"


def test_a_materials_project_document_and_its_structure_make_an_entry(shared: Path, tmp_path: Path) -> None:
    for name in ("CaO_2605_bandstructure.json.gz", "CaO_2605_structure.json.gz"):
        shutil.copy(shared / "data" / "mp-bands" / name, tmp_path / name)
    recipe = DatasetRecipe(Recipe(kpath=KpathRecipe(scheme="setyawan_curtarolo", n_kpoints=64)))
    [source] = find_documents([tmp_path])
    entry = make_entry(source, recipe)
    assert isinstance(entry, Entry), entry
    assert entry.formula == "CaO"
    assert entry.targets.report.mapped_fraction == 1.0
    assert entry.targets.band_gap == pytest.approx(3.635, abs=1e-3)
