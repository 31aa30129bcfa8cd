"""XSF, with ASE as the writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import read_xsf, to_crystal

TEXT = """# caesium chloride, sheared
CRYSTAL
PRIMVEC
4.0 0.0 0.0
0.0 4.0 0.0
0.5 0.0 4.0
CONVVEC
8.0 0.0 0.0
0.0 8.0 0.0
0.0 0.0 8.0
PRIMCOORD
2 1
Cs 0.0 0.0 0.0 0.1 0.2 0.3
17 2.25 2.0 2.0
BEGIN_BLOCK_DATAGRID_3D
"""


def test_a_structure_is_read() -> None:
    crystal = read_xsf(TEXT)
    assert crystal.symbols == ("Cs", "Cl")
    assert np.allclose(crystal.lattice, [[4, 0, 0], [0, 4, 0], [0.5, 0, 4]])
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert read_xsf(TEXT.replace("CRYSTAL", "DIM-GROUP\n3 1")).symbols == ("Cs", "Cl")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (TEXT, " ", "empty-file"),
        ("CRYSTAL", "SLAB", "not-periodic"),
        ("CRYSTAL", "DIM-GROUP\n2 1", "not-periodic"),
        ("CRYSTAL", "ANIMSTEPS 3\nCRYSTAL", "several-frames"),
        (TEXT, TEXT * 2, "several-frames"),
        ("PRIMVEC", "VECTORS", "xsf-syntax"),
        ("PRIMCOORD", "CONVCOORD", "xsf-syntax"),
        ("2 1\n", "20 1\n", "xsf-syntax"),
        ("4.0 0.0 0.0", "4.0 0.0", "xsf-syntax"),
        ("2 1\n", "1 1\n", "xsf-syntax"),
        ("PRIMCOORD", "PRIMVEC\n5 0 0\n0 5 0\n0 0 5\nPRIMCOORD", "several-frames"),
        ("BEGIN_BLOCK", "PRIMVEC\n5 0 0\n0 5 0\n0 0 5\nBEGIN_BLOCK", "several-frames"),
        ("17 2.25", "17 x", "xsf-syntax"),
        ("17 2.25 2.0 2.0", "17 2.25 2.0", "xsf-syntax"),
        ("17 2.25", "0 2.25", "unknown-species"),
        ("Cs 0.0", "Vac 0.0", "unknown-species"),
        ("17 2.25 2.0 2.0", "17 0.1 0 0", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    with pytest.raises(InputError, match=r"^x\.xsf: ") as caught:
        read_xsf(TEXT.replace(old, new, 1), name="x.xsf")
    assert caught.value.code == code


def test_a_cell_may_be_given_twice() -> None:
    again = "PRIMVEC\n4 0 0\n0 4 0\n0.5 0 4\n"
    assert read_xsf(TEXT.replace("PRIMCOORD", f"{again}PRIMCOORD")).symbols == ("Cs", "Cl")


def test_numbers_of_a_grid_are_no_atoms() -> None:
    grid = "charge\nBEGIN_DATAGRID_3D_charge\n2 2 2\n0 0 0\n4 0 0\n0 4 0\n0 0 4\n0.1 0.2 0.3 0.4 0.5\n0.6 0.7 0.8\n"
    assert read_xsf(f"{TEXT}{grid}END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n").symbols == ("Cs", "Cl")
    forces = "CONVCOORD\n2 1\nCs 0 0 0\nCl 2.25 2 2\n"
    assert read_xsf(TEXT.replace("BEGIN_BLOCK", f"{forces}BEGIN_BLOCK")).symbols == ("Cs", "Cl")


def test_ase_writes_what_we_read(tmp_path: Path, examples: Path) -> None:
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    for example in sorted(examples.glob("*.vasp")):
        crystal = to_crystal(example)
        atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
        io.write(tmp_path / "x.xsf", atoms)
        again = to_crystal(tmp_path / "x.xsf")
        assert again.symbols == crystal.symbols
        assert np.allclose(again.lattice, crystal.lattice, rtol=0.0, atol=1e-6)
        assert np.allclose(again.frac_coords, crystal.frac_coords, rtol=0.0, atol=1e-6)
