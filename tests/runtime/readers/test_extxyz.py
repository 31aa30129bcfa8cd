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
    ],
)
def test_frames_of_other_programs_are_read(old: str, new: str) -> None:
    assert np.allclose(read_extxyz(FRAME.replace(old, new)).frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_columns_are_found_by_their_names() -> None:
    text = (
        FRAME.replace("species:S:1:pos:R:3", "forces:R:3:Z:I:1:pos:R:3").replace("Cs 0", "1 1 1 55 0").replace("Cl 2", "1 1 1 17 2")
    )
    assert read_extxyz(text).symbols == ("Cs", "Cl")


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
        ("Cl", "D", "unknown-species"),
        ("Cl", "Cl1", "unknown-species"),
        ("Cl 2.25 2 2", "Cl 0 0 0.1", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    assert code_of(FRAME.replace(old, new, 1)) == code


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
