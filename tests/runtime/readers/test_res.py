"""Files of SHELX and AIRSS, with ASE and pymatgen as writers, and space groups of gemmi as the oracle of symmetry."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi
import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import format_of, read_cif, read_res, to_crystal
from tests.support.cif_texts import WITHOUT_SYMBOL, cif_cell, cif_sites

AIRSS = """TITL NaCl-12 0.01 44.8 -1280.5 0.0 0.0 2 (Fm-3m) n - 3
REM in /home/someone = here
CELL 1.54180 4.0 4.0 4.2 90.0 90.0 90.0
LATT -1
SFAC Cs Cl
Cs 1 0.0 0.0 0.0 1.0
Cl 2 0.5 0.5 0.5 1.0 0.12
END
"""
SHELXL = """TITL rutile in P42/mnm
CELL 0.71073 4.594 4.594 2.959 90 90 90
ZERR 2 0.001 0.001 0.001 0 0 0
LATT 1
SYMM -X, -Y, Z
SYMM 0.5-Y, 0.5+X, 0.5+Z
SYMM 1/2+Y, 1/2-X, 1/2+Z
SYMM 1/2-X, 1/2+Y, 1/2-Z
SYMM 1/2+X, 1/2-Y, 1/2-Z
SYMM Y, X, -Z
SYMM -Y, -X, -Z
SFAC Ti O
UNIT 2 4
FVAR 1.0 0.5
! a remark, and a restraint of a class
DFIX_1 1.95 Ti1 O1
   restrained as above
TI1 1 10.0 10.0 10.0 10.125 0.01 =
 0.01 0.01 0 0 0
O1 2 0.305 0.305 0 10.25 0.01
HKLF 4
END
WGHT 0.1
Q1 1 0.1 0.1 0.1 11.0 0.05 1.2
"""


def test_a_file_of_airss_is_read() -> None:
    crystal = read_res(AIRSS)
    assert crystal.symbols == ("Cs", "Cl")
    assert np.allclose(crystal.lattice, np.diag([4.0, 4.0, 4.2]))
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_symmetry_and_occupancies_are_those_of_shelx() -> None:
    crystal = read_res(SHELXL)
    assert sorted(crystal.symbols) == ["O"] * 4 + ["Ti"] * 2
    assert crystal.volume == pytest.approx(4.594**2 * 2.959)
    oxygen = crystal.frac_coords[np.array(crystal.symbols) == "O"] % 1.0
    assert {tuple(np.round(row, 3)) for row in oxygen} == {
        *((0.305, 0.305, 0.0), (0.695, 0.695, 0.0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)),
    }


@pytest.mark.parametrize(
    ("symbol", "latt", "cell"),
    [
        ("P -1", 1, (5.0, 6.0, 7.0, 80.0, 85.0, 95.0)),
        ("I 4 2 2", -2, (6.0, 6.0, 8.0, 90.0, 90.0, 90.0)),
        ("R -3:H", 3, (6.0, 6.0, 9.0, 90.0, 90.0, 120.0)),
        ("R 3 m:H", -3, (6.0, 6.0, 9.0, 90.0, 90.0, 120.0)),
        ("F d -3 m:2", 4, (9.0, 9.0, 9.0, 90.0, 90.0, 90.0)),
        ("A m m 2", -5, (6.0, 7.0, 8.0, 90.0, 90.0, 90.0)),
        ("B 1 1 2", -6, (6.0, 7.0, 8.0, 90.0, 90.0, 95.0)),
        ("C 1 2/c 1", 7, (6.0, 7.0, 8.0, 90.0, 95.0, 90.0)),
        ("P 21 21 21", -1, (6.0, 7.0, 8.0, 90.0, 90.0, 90.0)),
    ],
)
def test_every_lattice_type_makes_the_crystal_that_a_cif_makes(symbol: str, latt: int, cell: tuple[float, ...]) -> None:
    cell = (*(4.0 * length for length in cell[:3]), *cell[3:])  # room for all images of a position without symmetry
    group = gemmi.SpaceGroup(symbol).operations()
    listed = [op.triplet() for op in group.sym_ops]
    if latt > 0:  # the inversion is not listed
        inverse = gemmi.Op("-x,-y,-z")
        halves: list[str] = []
        for op in group.sym_ops:
            if not {(inverse * op).wrap().triplet(), op.triplet()} & set(halves):
                halves.append(op.triplet())
        listed = halves
    symm = "".join(f"SYMM {triplet}\n" for triplet in listed if triplet != "x,y,z")
    res = f"TITL x\nCELL 0.7 {' '.join(map(str, cell))}\nLATT {latt}\n{symm}SFAC C Si\nC1 1 0.11 0.07 0.13 11.0\nEND\n"
    cif = "data_x\n" + cif_cell(*cell[:3], angles=cell[3:])
    cif += "loop_\n_space_group_symop_operation_xyz\n" + "".join(f"'{op.triplet()}'\n" for op in group)
    cif += cif_sites("C1 0.11 0.07 0.13", columns=WITHOUT_SYMBOL)
    ours, other = read_res(res), read_cif(cif)
    assert ours.n_atoms == other.n_atoms == len(list(group))
    assert np.allclose(ours.lattice, other.lattice, atol=1e-9)
    offset = ours.frac_coords[:, None] - other.frac_coords
    assert np.abs(offset - np.rint(offset)).max(axis=2).min(axis=1).max() < 1e-6


@pytest.mark.parametrize(
    ("text", "old", "new", "code"),
    [
        (AIRSS, AIRSS, " ", "empty-file"),
        (AIRSS, AIRSS, "results of a finite element program\n", "not-a-crystal"),
        (AIRSS, "END", "", "res-syntax"),
        (AIRSS, "END\n", f"END\n{AIRSS}", "several-structures"),
        (AIRSS, "CELL 1.54180 ", "CELL ", "res-syntax"),
        (AIRSS, "CELL", "CELX", "res-syntax"),
        (AIRSS, "4.2 90.0", "4.2 x", "res-syntax"),
        (AIRSS, "4.2 90.0", "-4.2 90.0", "bad-lattice"),
        (AIRSS, "4.2 90.0", "1e308 90.0", "bad-lattice"),
        (AIRSS, "Cl 2", f"Cl {'9' * 5000}", "res-syntax"),
        (AIRSS, "90.0 90.0 90.0", "10.0 90.0 120.0", "bad-lattice"),
        (AIRSS, "LATT -1\n", "", "bad-symmetry"),
        (AIRSS, "LATT -1", "LATT 8", "bad-symmetry"),
        (AIRSS, "LATT -1", "LATT -0_1", "res-syntax"),
        (AIRSS, "LATT -1", "LATT -1\nLATT 1", "res-syntax"),
        (AIRSS, "LATT -1", "LATT -1\nSYMM Y,Z,X", "bad-symmetry"),
        (AIRSS, "LATT -1", "LATT -1\nSYMM -X,-Y", "bad-symmetry"),
        (AIRSS, "LATT -1", "LATT -1\n SYMM -X,-Y,Z", "res-syntax"),
        (AIRSS, "LATT -1", "LATT -1\nMOVE 0.5 0.5 0.5", "res-syntax"),
        (AIRSS, "LATT -1", "LATT -1\nHFIX 137 C1", "res-syntax"),
        (AIRSS, "LATT -1", "LATT -1\nFROB 1", "res-syntax"),
        (AIRSS, "SFAC Cs Cl", "SFAC Cs Cl\nUNIT 1 1 1", "res-syntax"),
        (AIRSS, "SFAC Cs Cl", "SFAC Cs Cl\nUNIT 1 2", "composition-mismatch"),
        (AIRSS, "SFAC Cs Cl", "SFAC Cs Xx", "unknown-species"),
        (AIRSS, "SFAC Cs Cl", "SFAC Cl Cs", "species-mismatch"),
        (AIRSS, "Cl 2", "Cl 3", "res-syntax"),
        (AIRSS, "Cl 2", " Cl 2", "res-syntax"),
        (AIRSS, "Cl 2", "Q1 2", "res-syntax"),
        (AIRSS, "0.5 0.5 0.5 1.0", "0.5 x 0.5 1.0", "res-syntax"),
        (AIRSS, "0.5 0.5 0.5 1.0", "0.5 0.5 0.5 0.5", "partial-occupancy"),
        (AIRSS, "0.5 0.5 0.5 1.0", "0.5 0.5 0.5 21.0", "res-syntax"),
        (AIRSS, "0.5 0.5 0.5 1.0", "0.0 0.0 0.02 1.0", "overlapping-atoms"),
        (AIRSS, "Cl 2", "PART 2\nCl 2", "partial-occupancy"),
        (SHELXL, "O1 2 0.305 0.305 0 10.25", "O1 2 0.305 0.305 0 10.5", "partial-occupancy"),
        (SHELXL, "O1 2 0.305 0.305 0 10.25", "O1 2 0.305 0.305 0 -21.0", "partial-occupancy"),
        (SHELXL, "4.594 4.594 2.959", "4.594 5.594 2.959", "bad-symmetry"),
    ],
)
def test_what_is_wrong_has_a_code(text: str, old: str, new: str, code: str) -> None:
    assert old in text
    with pytest.raises(InputError, match=r"^x\.res: ") as caught:
        read_res(text.replace(old, new, 1), name="x.res")
    assert caught.value.code == code


def test_free_variables_are_looked_up() -> None:
    crystal = read_res(SHELXL.replace("FVAR 1.0 0.5", "FVAR 1.0 0.25\nFVAR 0.75").replace("0 10.25", "0 21.0"))
    assert crystal.n_atoms == 6
    crystal = read_res(SHELXL.replace("FVAR 1.0 0.5", "FVAR 1.0 0.25\nFVAR 0.75").replace("0 10.25", "0 -31.0"))
    assert crystal.n_atoms == 6


def test_it_is_known_by_its_ending() -> None:
    assert format_of("a/NaCl-12.RES.gz") == "res"


def test_ase_and_pymatgen_write_what_we_read(tmp_path: Path, examples: Path) -> None:
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    res = pytest.importorskip("pymatgen.io.res")
    core = pytest.importorskip("pymatgen.core")
    for example in sorted(examples.glob("*.vasp")):
        crystal = to_crystal(example)
        atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
        io.write(tmp_path / "ase.res", atoms)
        structure = core.Structure(crystal.lattice, crystal.atomic_numbers, crystal.frac_coords)
        (tmp_path / "pymatgen.res").write_text(res.ResIO.structure_to_str(structure))
        for written in ("ase.res", "pymatgen.res"):
            again = to_crystal(tmp_path / written)
            assert again.formula == crystal.formula
            assert math.isclose(again.volume, crystal.volume, rel_tol=1e-4)
            found = core.Structure(again.lattice, again.atomic_numbers, again.frac_coords).distance_matrix
            assert np.allclose(np.sort(found, axis=None), np.sort(structure.distance_matrix, axis=None), rtol=0.0, atol=1e-3)
