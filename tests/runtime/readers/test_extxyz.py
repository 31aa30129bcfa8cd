"""Extended XYZ, with ASE as the oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import read_extxyz, to_crystal
from bandrt.readers.extxyz import frames

FRAME = """2
Lattice="4 0 0 0 4 0 0.5 0 4" Properties=species:S:1:pos:R:3 energy=-3.2 pbc="T T T"
Cs 0 0 0
Cl 2.25 2 2
"""


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_extxyz(text, name="run.xyz")
    assert caught.value.stage == "read"
    assert caught.value.message.startswith("run.xyz:")
    return caught.value.code


def test_a_frame_is_read() -> None:
    crystal = read_extxyz(FRAME)
    assert crystal.symbols == ("Cs", "Cl")
    assert np.allclose(crystal.lattice, [[4, 0, 0], [0, 4, 0], [0.5, 0, 4]])
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('pbc="T T T"', ""),
        ('pbc="T T T"', "pbc='1 1 1'"),
        ("Properties=species:S:1:pos:R:3 ", ""),
        ("Lattice", "lattice"),
        ("Cl 2.25 2 2\n", "Cl 2.25 2 2 \n\n"),
        ('"4 0 0 0 4 0 0.5 0 4"', "[4, 0, 0, 0, 4, 0, 0.5, 0, 4]"),
        ('"4 0 0 0 4 0 0.5 0 4"', "{4 0 0 0 4 0 0.5 0 4}"),
        ('"4 0 0 0 4 0 0.5 0 4"', "'4,0,0,0,4,0,0.5,0,4'"),
        ('"4 0 0 0 4 0 0.5 0 4"', '" 4 0 0  0 4 0  0.5 0 4 "'),
        ("Lattice=", "Lattice = "),
        ("energy=-3.2", 'lattice="9 0 0 0 9 0 0 0 9"'),
        ("energy=-3.2", 'LATTICE="9 0 0 0 9 0 0 0 9" lattice=5 PBC="F F F" properties=x'),
        ("energy=-3.2", 'config_type=bulk flag \'a = b\' note="Lattice=\\"9 0 0 0 9 0 0 0 9\\""'),
        ('pbc="T T T"', "pbc=T"),
        ('pbc="T T T"', "pbc=[T, T, T]"),
        ('pbc="T T T"', 'occupancy="_JSON {\\"0\\": {\\"Cs\\": 1}, \\"1\\": {\\"Cl\\": 1.0, \\"Br\\": 0.0}}"'),
    ],
)
def test_frames_of_other_programs_are_read(old: str, new: str) -> None:
    assert np.allclose(read_extxyz(FRAME.replace(old, new)).frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_columns_are_found_by_their_names() -> None:
    text = (
        FRAME.replace("species:S:1:pos:R:3", "forces:R:3:Z:I:1:pos:R:3").replace("Cs 0", "1 1 1 55 0").replace("Cl 2", "1 1 1 17 2")
    )
    assert read_extxyz(text).symbols == ("Cs", "Cl")
    assert code_of(text.replace("1 1 1 17", "1 1 1 1_7")) == "extxyz-syntax"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (FRAME, "", "empty-file"),
        ('Lattice="4 0 0 0 4 0 0.5 0 4"', "", "not-periodic"),
        ('pbc="T T T"', 'pbc="T T F"', "not-periodic"),
        ("2\n", "3\n", "extxyz-syntax"),
        ("2\n", "two\n", "extxyz-syntax"),
        ("Cl 2.25", "Cl x", "extxyz-syntax"),
        ("Cl 2.25 2 2", "Cl 2.25 2", "extxyz-syntax"),
        ("0.5 0 4", "0.5 0", "extxyz-syntax"),
        ("0.5 0 4", "0 4 0", "bad-lattice"),
        ("pos:R:3", "place:R:3", "extxyz-syntax"),
        ("pos:R:3", "pos:R", "extxyz-syntax"),
        ("pos:R:3", "pos:R:0_3", "extxyz-syntax"),
        ("Cl", "X", "unknown-species"),
        ('pbc="T T T"', 'pbc="T T"', "extxyz-syntax"),
        ('pbc="T T T"', "pbc=F", "not-periodic"),
        ('pbc="T T T"', 'pbc="T T T" pbc="T T F"', "extxyz-syntax"),
        ('pbc="T T T"', 'Lattice="5 0 0 0 5 0 0 0 5"', "extxyz-syntax"),
        ('"4 0 0 0 4 0 0.5 0 4"', '"4 0 0 0 4 0 0.5 0 4', "extxyz-syntax"),
        ('"4 0 0 0 4 0 0.5 0 4"', "[[4, 0, 0], [0, 4, 0], [0.5, 0, 4]]", "extxyz-syntax"),
        ("pos:R:3", "pos:R:2", "extxyz-syntax"),
        ("pos:R:3", "pos:R:3:Z:I:1", "extxyz-syntax"),
        ('pbc="T T T"', 'occupancy="_JSON {\\"0\\": {\\"Cs\\": 0.7}}"', "partial-occupancy"),
        ('pbc="T T T"', 'occupancy="_JSON {\\"0\\": {\\"Cs\\": 0.5, \\"Rb\\": 0.5}}"', "partial-occupancy"),
        ('pbc="T T T"', 'Occupancy="_JSON {\\"0\\": {\\"Cs\\": 0.7}}"', "partial-occupancy"),
        ('pbc="T T T"', 'occupancy="_JSON {\\"0\\": "', "extxyz-syntax"),
        ('pbc="T T T"', 'occupancy="see the paper"', "extxyz-syntax"),
        ('pbc="T T T"', "occupancy=0.5", "partial-occupancy"),
        ('pbc="T T T"', 'occupancies="1.0 0.5"', "partial-occupancy"),
        ("Cl", "Cl1", "unknown-species"),
        ("Cl 2.25 2 2", "Cl 0 0 0.1", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    assert code_of(FRAME.replace(old, new, 1)) == code


def test_isotopes_of_hydrogen_are_hydrogen() -> None:
    for isotope in ("D", "T"):
        assert read_extxyz(FRAME.replace("Cl", isotope)).symbols == ("Cs", "H")


def test_a_nested_lattice_is_read_where_rows_and_columns_are_the_same() -> None:
    text = FRAME.replace('"4 0 0 0 4 0 0.5 0 4"', "[[0, 2, 2], [2, 0, 2], [2, 2, 0]]").replace("Cl 2.25 2 2", "Cl 2 2 2")
    assert np.allclose(read_extxyz(text).lattice, [[0, 2, 2], [2, 0, 2], [2, 2, 0]])


def test_symbols_and_atomic_numbers_have_to_agree() -> None:
    both = FRAME.replace("pos:R:3", "pos:R:3:Z:I:1").replace("Cs 0 0 0", "Cs 0 0 0 55")
    assert read_extxyz(both.replace("2.25 2 2", "2.25 2 2 17")).symbols == ("Cs", "Cl")
    assert code_of(both.replace("2.25 2 2", "2.25 2 2 35")) == "species-mismatch"
    height = FRAME.replace("pos:R:3", "pos:R:3:z:R:1").replace("Cs 0 0 0", "Cs 0 0 0 0.0").replace("2.25 2 2", "2.25 2 2 2.0")
    assert read_extxyz(height).symbols == ("Cs", "Cl"), "z beside species is a height"


@pytest.mark.parametrize("column", ["occupancy", "Occupancies"])
def test_a_column_of_occupancies_is_looked_at(column: str) -> None:
    text = FRAME.replace("pos:R:3", f"pos:R:3:{column}:R:1").replace("Cs 0 0 0", "Cs 0 0 0 1.0")
    assert read_extxyz(text.replace("2.25 2 2", "2.25 2 2 1.0")).symbols == ("Cs", "Cl")
    assert code_of(text.replace("2.25 2 2", "2.25 2 2 0.8")) == "partial-occupancy"


def test_several_frames_are_not_one_crystal() -> None:
    assert code_of(FRAME + FRAME) == "several-frames"


def test_frames_come_one_at_a_time() -> None:
    def lines() -> object:
        yield from FRAME.splitlines(keepends=True)
        raise AssertionError("the next frame was not asked for")

    assert next(frames(lines(), name="run.xyz")) == FRAME  # type: ignore[arg-type]


def test_ase_writes_what_we_read(tmp_path: Path, examples: Path) -> None:
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    for example in sorted(examples.glob("*.vasp")):
        crystal = to_crystal(example)
        atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
        io.write(tmp_path / "run.extxyz", atoms, format="extxyz")
        again = to_crystal(tmp_path / "run.extxyz")
        assert again.symbols == crystal.symbols
        assert np.allclose(again.lattice, crystal.lattice, rtol=0.0, atol=1e-6)
        assert np.allclose(again.frac_coords, crystal.frac_coords, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_line_ends_at_its_end_only(mark: str) -> None:
    assert read_extxyz(FRAME.replace("energy=-3.2", f'note="one{mark}two"')).symbols == ("Cs", "Cl")


@pytest.mark.parametrize("title", ["occupancy", "Occupancies", "occ", "site_occupancy"])
def test_a_column_of_occupancies_may_have_any_of_its_names(title: str) -> None:
    columns = FRAME.replace("pos:R:3", f"pos:R:3:{title}:R:1").replace("Cs 0 0 0", "Cs 0 0 0 1")
    assert code_of(columns.replace("Cl 2.25 2 2", "Cl 2.25 2 2 0.5")) == "partial-occupancy"
    assert read_extxyz(columns.replace("Cl 2.25 2 2", "Cl 2.25 2 2 1.0")).n_atoms == 2


def test_an_underscore_is_no_digit() -> None:
    assert code_of(FRAME.replace("2.25 2 2", "2_2 2 2")) == "extxyz-syntax"
    assert code_of(FRAME.replace('"4 0 0', '"4_0 0 0')) == "extxyz-syntax"
