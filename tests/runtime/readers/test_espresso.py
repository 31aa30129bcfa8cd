"""Inputs of pw.x, with ASE as the writer and the reader; ASE knows no ``ibrav``, whose cells are held to the conventional ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import format_of, read_espresso, to_crystal
from bandrt.readers.bravais_lattices import BravaisParameters, lattice_vectors
from bandrt.readers.espresso import BOHR

TEXT = """&CONTROL
  calculation = 'scf' ! a comment / with a slash
  pseudo_dir = './a/b', prefix = "x!y#z"
/
&system
  ibrav = 0, nat = 2, ntyp = 2  # two kinds
  ecutwfc = 4.0d1, occupations='smearing', starting_magnetization(1) = 0.5
/
&electrons
/
ATOMIC_SPECIES
  Cs  132.9 Cs.pbe.UPF
  Cl1 35.45 cl_pbe_v1.4.uspp.F.UPF
CELL_PARAMETERS {angstrom}
4.0 0.0 0.0
0.0 4.0D0 0.0
! between the vectors
0.5 0.0 4.0

ATOMIC_POSITIONS (crystal)
Cs 0.0 0.0 0.0 0 0 0
Cl1 1/2 2.0/4 0.25+0.25
K_POINTS automatic
4 4 4 0 0 0
"""
CUBIC = TEXT[: TEXT.index("CELL_PARAMETERS")] + TEXT[TEXT.index("ATOMIC_POSITIONS") :]
CUBIC = CUBIC.replace("ibrav = 0", "ibrav = 1, celldm(1) = 8.0")


def test_a_crystal_is_read() -> None:
    crystal = read_espresso(TEXT)
    assert crystal.symbols == ("Cs", "Cl")
    assert np.allclose(crystal.lattice, [[4, 0, 0], [0, 4, 0], [0.5, 0, 4]])
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("unit", "position"),
    [
        ("{crystal}", "0.5 0.5 0.5"),
        ("angstrom", "2.25 2.0 2.0"),
        ("(bohr)", " ".join(str(x / BOHR) for x in (2.25, 2.0, 2.0))),
        ("alat", "0.5625 0.5 0.5"),
        ("", "0.5625 0.5 0.5"),
    ],
)
def test_positions_are_in_the_unit_of_their_card(unit: str, position: str) -> None:
    text = TEXT.replace("(crystal)", unit).replace("1/2 2.0/4 0.25+0.25", position)
    assert np.allclose(read_espresso(text).frac_coords[1], 0.5)


@pytest.mark.parametrize(
    ("unit", "given", "side"),
    [
        ("bohr", "", 4.0 * BOHR),
        ("", "", 4.0 * BOHR),
        ("alat", "A = 1.5", 6.0),
        ("", "celldm(1) = 2", 8.0 * BOHR),
        ("ANGSTROM", "A = 2", 4),
    ],
)
def test_vectors_are_in_the_unit_of_their_card(unit: str, given: str, side: float) -> None:
    text = TEXT.replace("{angstrom}", unit).replace("ibrav = 0,", f"ibrav = 0, {given}")
    assert read_espresso(text).lattice[0, 0] == pytest.approx(side, abs=1e-9)


A, B, C = 5.0, 6.0, 7.5
BRAVAIS = [
    (1, (A, A, A), (90, 90, 90), 1),
    (2, (A, A, A), (90, 90, 90), 4),
    (3, (A, A, A), (90, 90, 90), 2),
    (-3, (A, A, A), (90, 90, 90), 2),
    (4, (A, A, C), (90, 90, 120), 1),
    (5, (A, A, A), (70, 70, 70), 1),
    (-5, (A, A, A), (70, 70, 70), 1),
    (6, (A, A, C), (90, 90, 90), 1),
    (7, (A, A, C), (90, 90, 90), 2),
    (8, (A, B, C), (90, 90, 90), 1),
    (9, (A, B, C), (90, 90, 90), 2),
    (-9, (A, B, C), (90, 90, 90), 2),
    (91, (A, B, C), (90, 90, 90), 2),
    (10, (A, B, C), (90, 90, 90), 4),
    (11, (A, B, C), (90, 90, 90), 2),
    (12, (A, B, C), (90, 90, 75), 1),
    (-12, (A, B, C), (90, 75, 90), 1),
    (13, (A, B, C), (90, 90, 75), 2),
    (-13, (A, B, C), (90, 75, 90), 2),
    (14, (A, B, C), (80, 75, 95), 1),
]


@pytest.mark.parametrize(("ibrav", "lengths", "angles", "n_points"), BRAVAIS)
def test_every_ibrav_is_a_primitive_cell_of_its_conventional_one(
    ibrav: int, lengths: tuple[float, ...], angles: tuple[int, ...], n_points: int
) -> None:
    cosines = [math.cos(math.radians(angle)) if angle != 90 else 0.0 for angle in angles]
    given = [0.0, 0.0, cosines[2]] if ibrav in (5, -5) else cosines
    primitive = lattice_vectors(ibrav, BravaisParameters(*lengths, *given))
    if ibrav in (5, -5):
        assert np.allclose(primitive @ primitive.T, 25.0 * (np.full((3, 3), cosines[0]) + (1.0 - cosines[0]) * np.eye(3)))
        axis = primitive.sum(axis=0) / np.linalg.norm(primitive.sum(axis=0))
        assert np.allclose(axis, [0, 0, 1] if ibrav == 5 else [3**-0.5] * 3)
        return
    height = math.sqrt(1 - sum(x * x for x in cosines) + 2 * math.prod(cosines))
    assert np.linalg.det(primitive) == pytest.approx(math.prod(lengths) * height / n_points)  # right-handed
    metric = np.outer(lengths, lengths) * (
        np.eye(3) + np.array([[0, cosines[2], cosines[1]], [cosines[2], 0, cosines[0]], [cosines[1], cosines[0], 0]])
    )
    axes = _conventional(ibrav) @ primitive
    assert np.allclose(axes @ axes.T, metric)


def _conventional(ibrav: int) -> np.ndarray:
    """Rows of whole numbers that make the conventional axes of the primitive ones."""
    return np.array(
        {
            2: [[-1, 1, -1], [-1, 1, 1], [1, 1, -1]],
            3: [[1, -1, 0], [0, 1, -1], [1, 0, 1]],
            -3: [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
            7: [[1, 0, -1], [-1, 1, 0], [0, 1, 1]],
            9: [[1, -1, 0], [1, 1, 0], [0, 0, 1]],
            -9: [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
            91: [[1, 0, 0], [0, 1, 1], [0, -1, 1]],
            10: [[1, 1, -1], [-1, 1, 1], [1, -1, 1]],
            11: [[1, -1, 0], [0, 1, -1], [1, 0, 1]],
            13: [[1, 0, 1], [0, 1, 0], [-1, 0, 1]],
            -13: [[1, -1, 0], [1, 1, 0], [0, 0, 1]],
        }.get(ibrav, np.eye(3))
    )


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ("ibrav=14 celldm(1)=10 celldm(2)=1.2 celldm(3)=1.5 celldm(4)=0.1 celldm(5)=0.2 celldm(6)=0.3", (1.2, 1.5, 0.1, 0.2, 0.3)),
        ("ibrav=14 celldm=10, 1.2, 1.5, 0.1, 0.2, 0.3", (1.2, 1.5, 0.1, 0.2, 0.3)),
        (f"ibrav=14 a={10 * BOHR} B={12 * BOHR} c={15 * BOHR} cosAB=0.3 cosAC=0.2 cosBC=0.1", (1.2, 1.5, 0.1, 0.2, 0.3)),
        ("ibrav=-12 celldm(1)=10 celldm(2)=1.2 celldm(3)=1.5 celldm(5)=0.2", (1.2, 1.5, 0, 0.2, 0)),
        (f"ibrav=12 a={10 * BOHR} B={12 * BOHR} c={15 * BOHR} cosAB=0.3", (1.2, 1.5, 0, 0, 0.3)),
        ("ibrav=13 celldm(1)=10 celldm(2)=1.2 celldm(3)=1.5 celldm(4)=0.3", (1.2, 1.5, 0, 0, 0.3)),
        ("ibrav=5 celldm(1)=10 celldm(4)=0.3", (0, 0, 0, 0, 0.3)),
        ("ibrav=4 celldm(1)=10 celldm(3)=1.5 ", (0, 1.5, 0, 0, 0)),
        (f"ibrav=4 a={10 * BOHR} b={10 * BOHR} c={15 * BOHR} cosab=-0.5", (0, 1.5, 0, 0, 0)),
    ],
)
def test_parameters_are_read_either_way(given: str, parameters: tuple[float, ...]) -> None:
    ibrav = int(given.split()[0].removeprefix("ibrav="))
    ratios, cosines = parameters[:2], parameters[2:]
    expected = lattice_vectors(ibrav, BravaisParameters(10 * BOHR, *(10 * BOHR * ratio for ratio in ratios), *cosines))
    crystal = read_espresso(CUBIC.replace("ibrav = 1, celldm(1) = 8.0,", f"{given},"))
    assert np.allclose(crystal.lattice, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("label", "file", "symbol"),
    [
        ("Fe", "x", "Fe"),
        ("FE", "x", "Fe"),
        ("fe2", "x", "Fe"),
        ("Feu", "x", "Fe"),
        ("O_h", "x", "O"),
        ("O-2", "x", "O"),
        ("Ou", "x", "O"),
        ("OH", "x", "O"),
        ("Cs", "C.pbe.UPF", "C"),
        ("CO", "Co.pbe.UPF", "Co"),
        ("CO", "C.pbe.UPF", "C"),
        ("D", "H.pbe.UPF", "H"),
    ],
)
def test_labels_are_elements(label: str, file: str, symbol: str) -> None:
    text = TEXT.replace("Cs  132.9 Cs.pbe.UPF", f"{label} 1.0 {file}").replace("Cs 0.0", f"{label} 0.0")
    assert read_espresso(text).symbols[0] == symbol


@pytest.mark.parametrize(
    ("label", "mass", "file", "symbol"),
    [
        ("Na", "39.0983", "k_pbe_v1.uspp.F.UPF", ""),
        ("Na", "22.99", "K.upf", ""),
        ("Na", "22.99", "pseudo/19-k.GGA.fhi.UPF", ""),
        ("Na", "22.99", "C:\\pseudo\\K.UPF", ""),
        ("Ni", "14.007", "n_pbe_v1.UPF", "N"),
        ("Cs", "12.011", "06-C.GGA.fhi.UPF", "C"),
        ("Os", "15.999", "./O.pbe.UPF", "O"),
        ("Hs", "1.008", "h_pbe.UPF", "H"),
        ("Na", "22.99", "sr_na.UPF", "Na"),
        ("Na", "22.99", "11na.pbe.UPF", "Na"),
        ("Sr", "87.62", "sr_pbe_v1.uspp.F.UPF", "Sr"),
        ("Na", "1.0", "us-Na.UPF", "Na"),
        ("Na", "39.0983", "na.upf", "Na"),
        ("Cs", "12.011", "x.UPF", ""),
        ("Cs", "1.0", "x.UPF", "Cs"),
        ("Cs", "0", "x.UPF", "Cs"),
        ("Cs", "heavy", "x.UPF", "Cs"),
        ("Cs", "132.9", "x.UPF", "Cs"),
        ("Hs", "1.0", "x.UPF", "Hs"),
    ],
)
def test_pseudopotentials_and_masses_are_of_the_same_element(label: str, mass: str, file: str, symbol: str) -> None:
    text = TEXT.replace("Cs  132.9 Cs.pbe.UPF", f"{label} {mass} {file}").replace("Cs 0.0", f"{label} 0.0")
    if symbol:
        assert read_espresso(text).symbols[0] == symbol
        return
    with pytest.raises(InputError) as caught:
        read_espresso(text)
    assert caught.value.code == "species-mismatch"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (TEXT, " ", "empty-file"),
        ("&system", "&inputph", "not-a-crystal"),
        ("  ecutwfc", "/\n&system\n", "espresso-syntax"),
        ("nat = 2", "nat = 3", "espresso-syntax"),
        ("nat = 2,", "", "espresso-syntax"),
        ("ntyp = 2", "ntyp = 1", "espresso-syntax"),
        ("nat = 2", "nat = 2, nat = 3", "espresso-syntax"),
        ("ibrav = 0", "ibrav = 1, celldm(1) = 4", "espresso-syntax"),
        ("ibrav = 0", "ibrav = x", "espresso-syntax"),
        ("ibrav = 0", "ibrav = 0, A = 1, celldm(1) = 4", "espresso-syntax"),
        ("ibrav = 0", "ibrav = 0, space_group = 225", "espresso-syntax"),
        ("{angstrom}", "alat", "espresso-syntax"),
        ("{angstrom}", "metre", "espresso-syntax"),
        ("0.0 4.0D0 0.0", "0.0 4.0D0", "espresso-syntax"),
        ("0.0 4.0D0 0.0", "0.0 4.0D0 x", "espresso-syntax"),
        ("0.0 4.0D0 0.0", "4.0 0.0 0.0", "bad-lattice"),
        ("CELL_PARAMETERS", "REF_CELL_PARAMETERS", "espresso-syntax"),
        ("(crystal)", "crystal_sg", "espresso-syntax"),
        ("1/2 2.0/4", "1/0 2.0/4", "espresso-syntax"),
        ("1/2 2.0/4", "1//2 2.0/4", "espresso-syntax"),
        ("1/2 2.0/4", "9**9**9 2.0/4", "espresso-syntax"),
        ("1/2 2.0/4 0.25+0.25", "1/2 2.0/4", "espresso-syntax"),
        ("Cl1 1/2", "Cl2 1/2", "espresso-syntax"),
        ("K_POINTS", "ATOMIC_POSITIONS crystal\nK_POINTS", "espresso-syntax"),
        ("K_POINTS", "FIRST_IMAGE\nK_POINTS", "espresso-syntax"),
        ("Cl1 35.45 cl_pbe_v1.4.uspp.F.UPF", "Cl1 35.45 Br.pbe.UPF", "species-mismatch"),
        ("Cl1 35.45", "Cs 35.45", "espresso-syntax"),
        ("Cs  132.9 Cs.pbe.UPF", "CO 1.0 x.UPF", "unknown-species"),
        ("Cs  132.9 Cs.pbe.UPF", "X 1.0 Cs.UPF", "unknown-species"),
        ("1/2 2.0/4 0.25+0.25", "0 0 0.01", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=r"^x\.in: ") as caught:
        read_espresso(TEXT.replace(old, new, 1), name="x.in")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "given",
    [
        "ibrav = 1",
        "ibrav = 1, celldm(1) = 8, celldm(2) = 2",
        "ibrav = 1, celldm(1) = 8, celldm(4) = 0.5",
        "ibrav = 1, celldm(1) = 8, celldm(6) = 0.5",
        "ibrav = 4, celldm(1) = 8",
        "ibrav = 5, celldm(1) = 8, celldm(4) = -0.6",
        "ibrav = -12, celldm(1) = 8, celldm(2) = 1, celldm(3) = 1, celldm(4) = 0.5",
        "ibrav = 14, celldm(1) = 8, celldm(2) = 1, celldm(3) = 1, celldm(4) = 1.5",
        "ibrav = 14, A = 4, B = 4, C = 4, cosAB = 0.9, cosAC = -0.9, cosBC = 0.9",
        "ibrav = 15, celldm(1) = 8",
        "ibrav = -13, celldm(1) = 8, celldm(2) = 1, celldm(3) = 1",
    ],
)
def test_parameters_that_make_no_cell_are_refused(given: str) -> None:
    with pytest.raises(InputError) as caught:
        read_espresso(CUBIC.replace("ibrav = 1, celldm(1) = 8.0", given))
    assert caught.value.code == "espresso-syntax"


def test_two_units_of_length_are_refused_only_where_it_matters() -> None:
    twice = TEXT.replace("ibrav = 0", "ibrav = 0, A = 3.0")
    assert read_espresso(twice).lattice[0, 0] == 4.0
    with pytest.raises(InputError, match="one unit of length"):
        read_espresso(twice.replace("(crystal)", "alat"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/Si.scf.in", "espresso"), ("Si.PWI.gz", "espresso"), ("geometry.in", "aims"), ("control.in", None), ("x.in.next", None)],
)
def test_it_is_known_by_its_name(name: str, expected: str | None) -> None:
    assert format_of(name) == expected


@pytest.mark.parametrize("crystal_coordinates", [True, False])
def test_ase_writes_and_reads_what_we_read(tmp_path: Path, examples: Path, crystal_coordinates: bool) -> None:
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    for example in sorted(examples.glob("*.vasp")):
        crystal = to_crystal(example)
        atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
        files = {symbol: f"{symbol}.UPF" for symbol in crystal.symbols}
        path = tmp_path / "x.pwi"
        io.write(path, atoms, format="espresso-in", pseudopotentials=files, crystal_coordinates=crystal_coordinates)
        again, by_ase = to_crystal(path), io.read(path, format="espresso-in")
        assert again.symbols == crystal.symbols == tuple(by_ase.get_chemical_symbols())
        assert np.allclose(again.lattice, by_ase.cell, rtol=0.0, atol=1e-9)
        assert np.allclose(again.frac_coords, crystal.frac_coords, rtol=0.0, atol=1e-6)
