"""Elements in the structures of elements: the same from the same seed, of the symmetry that is meant, no atoms too close."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Structure
from pymatgen.symmetry.groups import SpaceGroup
from tools import elemental_crystals as script

from bandrt.crystal import Crystal
from bandrt.readers.cif import read_cif
from bandrt.symmetry.standard_cell import standardize
from bandrt_train.tables import element_properties

ATOMS = {"fcc": 1, "diamond": 2, "graphite": 4, "omega": 3, "arsenic": 2, "white-tin": 2, "gallium": 4, "selenium": 3}
RADII = {row["symbol"]: float(row["covalent_radius"]) for row in element_properties() if row["covalent_radius"]}


def test_pure_ones_have_the_symmetry_that_is_meant_and_bonds_as_long_as_radii_say() -> None:
    draw = np.random.default_rng(0)
    for prototype in script.PROTOTYPES:
        crystal = script.pure(prototype, "Si", RADII, draw)
        assert standardize(crystal).space_group == SpaceGroup(prototype.space_group).int_number, prototype.name
        assert crystal.n_atoms == ATOMS.get(prototype.name, crystal.n_atoms)
        shortest = min(n.nn_distance for n in all_neighbors(crystal))
        assert shortest == pytest.approx(2 * RADII["Si"], rel=4 * script.STRETCH)


def test_mixed_ones_keep_at_least_half_of_the_element_and_none_is_too_small() -> None:
    draw = np.random.default_rng(1)
    sizes = Counter[int]()
    for prototype in script.PROTOTYPES:
        for _ in range(10):
            crystal = script.mixed(prototype, "C", RADII, draw)
            shares = Counter(crystal.symbols)
            assert 2 * shares["C"] >= crystal.n_atoms > shares["C"]
            assert crystal.n_atoms <= script.MAX_ATOMS
            assert all(RADII[one] < script.ALIKE * RADII["C"] for one in shares)
            sizes[crystal.n_atoms] += 1
    assert sizes[8] > 10
    assert sizes[2] > 2


def test_isoelectronic_ones_have_as_many_electrons() -> None:
    electrons = {symbol: number for number, column in enumerate(script.BY_ELECTRONS) for symbol in column.split()}
    draw, formulas = np.random.default_rng(2), set[str]()
    for _ in range(60):
        crystal = script.mixed(script.PROTOTYPES[3], "C", RADII, draw, isoelectronic=True)
        assert sum(electrons[one] for one in crystal.symbols) == electrons["C"] * crystal.n_atoms
        formulas.add(crystal.formula)
    assert {"SiC", "BC2N"} & formulas
    assert any("N" in formula for formula in formulas)
    assert any("Si" in formula for formula in formulas)


def test_the_table_is_decided_by_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PROTOTYPES", script.PROTOTYPES[3:5])
    for out, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        arguments = ["-o", str(tmp_path / f"{out}.csv.gz"), "--copies", "1", "--seed", seed]
        CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    first, again, other = ((tmp_path / f"{out}.csv.gz").read_bytes() for out in ("first", "again", "other"))
    assert first == again != other
    with gzip.open(tmp_path / "first.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["material_id"] for row in rows}) == len(rows)
    made = [read_cif(row["cif"], name=row["material_id"]) for row in rows]
    pure = Counter(next(iter(set(one.symbols))) for one in made if len(set(one.symbols)) == 1)
    assert pure == dict.fromkeys(script.HOSTS, 2)
    mixed = Counter(row["material_id"].split("-")[1] for row in rows)
    assert mixed["C"] - 2 == script.HELD_OUT_COPIES * (mixed["Si"] - 2), "the formula C is held out, Si is not"


def all_neighbors(crystal: Crystal) -> list[Any]:
    """Atoms beside those of a crystal, as pymatgen finds them."""
    structure = Structure(crystal.lattice, crystal.symbols, crystal.frac_coords)
    return [one for found in structure.get_all_neighbors(2.0 * max(RADII[s] for s in crystal.symbols) * 1.2) for one in found]
