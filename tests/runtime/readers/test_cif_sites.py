"""Sites of a CIF: elements, groups and mixtures, occupancies, alternatives, numbers, Cartesian positions, and the cell."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.readers.species import label_number, species_number
from tests.support.cif_texts import WITH_OCCUPANCY, cif_cell, cif_sites

CELL = "data_x\n" + cif_cell("4.1", "4.2", "4.3") + "_space_group_IT_number 1\n"


def cif(*rows: str, columns: tuple[str, ...] = WITH_OCCUPANCY, more: str = "") -> str:
    return CELL + more + cif_sites(*rows, columns=columns)


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_cif(text, name="bad.cif")
    return caught.value.code


@pytest.mark.parametrize(
    ("symbol", "number"),
    [
        ("57Fe", 26),
        ("2H", 1),
        ("3H", 1),
        ("13C", 6),
        ("235U", 92),
        ("57Fe3+", 26),
        ("2O", 0),
        ("4H", 0),
        ("99Fe", 0),
        ("Fe(3+)", 26),
        ("Fe+3", 26),
        ("O-2", 8),
        ("O2-", 8),
        ("D", 1),
        ("T", 1),
        ("D1", 1),
        ("T1", 0),
        ("T12", 0),
        ("HO", 0),
        ("CO", 0),
        ("NO", 0),
        ("CN", 0),
        ("FE", 26),
        ("OH", 0),
        ("H2O", 0),
        ("NH4+", 0),
        ("SO4", 0),
        ("(Fe,Ni)", 0),
        ("Fe/Ni", 0),
        ("Fe0.5Ni0.5", 0),
        ("M1", 0),
        ("Q1", 0),
        ("X", 0),
    ],
)
def test_a_type_symbol_is_one_element_or_none(symbol: str, number: int) -> None:
    assert species_number(symbol) == number


@pytest.mark.parametrize("label", ["57Fe1", "Fe1", "Fe(1)", "Fe1_A", "Fe1_2", "Fe", "Fe1*", "Fe2B"])
def test_a_label_of_one_element_is_read(label: str) -> None:
    assert label_number(label) == 26


@pytest.mark.parametrize(
    "label",
    [
        *("Fe/Ni", "Fe,Ni", "(Fe,Ni)", "Fe Ni", "Fe_Ni", "Fe.Ni", "Fe(Ni)", "Fe[Ni]1", "Fe=Ni", "Fe*Ni", "FeNi1", "Fe0.5Ni0.5"),
        *("Al0.5P0.5", "Fe0.55N", "H2O", "H2O1", "H3O", "D2O", "C2H4", "N2H5", "OH1", "NH4", "PO4", "CO3", "CN1"),
        *("M1", "T1", "Q1", "X1", "Cg", "Wat1", "Ow1", "CA1", "CL1", "2O", "1Fe", ""),
    ],
)
def test_a_label_of_several_elements_or_of_none_is_not_guessed(label: str) -> None:
    assert label_number(label) == 0


@pytest.mark.parametrize("label", ["O2A", "O2B", "H2A", "H2N", "C10H", "H(N1)", "N1C", "O1_B"])
def test_a_letter_behind_a_number_is_part_of_the_label(label: str) -> None:
    assert label_number(label) == {"O": 8, "H": 1, "C": 6, "N": 7}[label[0]]


def formula_decides(text: str, code: str, element: str, *, other: str) -> None:
    """A site is refused, taken where a formula says that it is one atom, and refused where one says something else."""
    assert code_of(text) == code
    assert read_cif(text.replace("loop_", f"_chemical_formula_sum {element}\nloop_", 1)).formula == element
    assert code_of(text.replace("loop_", f"_chemical_formula_sum '{other}'\nloop_", 1)) == "composition-mismatch"


@pytest.mark.parametrize(
    ("label", "symbol"), [("M1", "N3"), ("Az", "N3"), ("C1", "C60"), ("C60", "C60"), ("X1", "S8"), ("O1", "O2")]
)
def test_a_number_that_may_count_atoms_needs_the_formula_to_agree(label: str, symbol: str) -> None:
    formula_decides(cif(f"{label} {symbol} 0 0 0 1"), "unknown-species", symbol.rstrip("0123456789"), other=f"Na {symbol}")


@pytest.mark.parametrize(
    ("label", "symbol"),
    [
        *(("Wat1", "O"), ("H2O", "O"), ("OH1", "O"), ("Oh", "O"), ("O(H)1", "O"), ("O-H", "O"), ("OW1", "O"), ("W1", "O")),
        *(
            ("NH4", "N"),
            ("CO3", "C"),
            ("SO4", "S"),
            ("CN", "C"),
            ("Vac1", "O"),
            ("(Fe,Ni)1", "Fe"),
            ("Fe/Ni1", "Ni"),
            ("FeNi", "Fe"),
        ),
        *(("Fe0.5Ni0.5", "Fe"), ("Fe_Ni1", "Fe"), ("Al/Si", "Si"), ("N/O1", "N"), ("Co1", "Fe"), ("Si1", "C"), ("Na", "N")),
        *(("Co(1)", "Fe2+"), ("Ca1", "C"), ("'Fe Ni'", "Fe")),
    ],
)
def test_a_label_that_says_otherwise_needs_the_formula_to_agree(label: str, symbol: str) -> None:
    element = symbol.rstrip("2+")
    formula_decides(cif(f"{label} {symbol} 0 0 0 1"), "species-mismatch", element, other=f"{element} H")


@pytest.mark.parametrize(
    ("label", "symbol"),
    [
        *(("CA", "C"), ("CO", "C"), ("CA1", "C"), ("CB", "C"), ("OD1", "O"), ("NE2", "N"), ("NH1", "N"), ("HG", "H"), ("Ca", "C")),
        *(("Ho1", "H"), ("M1", "Mg"), ("T1", "Si"), ("B1", "Fe"), ("O1_A", "O"), ("C1B2", "C"), ("FE1", "Fe"), ("Fe1*", "Fe3+")),
        *(
            ("W1", "W"),
            ("Ho1", "Ho"),
            ("Cn1", "Cn"),
            ("H(N1)", "H"),
            ("V1", "V"),
            ("D1", "H"),
            ("57Fe1", "Fe"),
            ("1", "Fe"),
            ("?", "Fe"),
        ),
    ],
)
def test_a_label_that_says_nothing_else_is_passed_over(label: str, symbol: str) -> None:
    assert read_cif(cif(f"{label} {symbol} 0 0 0 1")).n_atoms == 1


def test_a_group_whose_atoms_are_listed_is_in_order() -> None:
    assert read_cif(cif("OH1 O 0 0 0 1", "H1 H 0.2 0 0 1", "CO3 C 0.5 0.5 0.5 1")).n_atoms == 3
    assert read_cif(cif("O_Si O 0 0 0 1", "Si1 Si 0.5 0.5 0.5 1")).n_atoms == 2
    assert code_of(cif("Si/Al1 Si 0 0 0 1", "Al2 Al 0.5 0.5 0.5 1")) == "species-mismatch"


def test_the_number_of_a_label_does_not_count_atoms() -> None:
    assert read_cif(cif("N3 N3 0 0 0 1", "N4 N4 0.5 0 0 1")).formula == "N"
    assert read_cif(cif("C59 C59 0 0 0 1", "C60 C60 0.5 0 0 1")).formula == "C"
    assert read_cif(cif("N3 N3- 0 0 0 1")).formula == "N"
    assert read_cif(cif("N3A N3 0 0 0 1", "Si2 Si1 0.5 0 0 1")).n_atoms == 2


def test_a_fullerene_as_a_label_alone_is_no_carbon_atom() -> None:
    columns = tuple(column for column in WITH_OCCUPANCY if column != "type_symbol")
    assert code_of(cif("C60 0 0 0 1", columns=columns)) == "unknown-species"
    assert read_cif(cif("C60 0 0 0 1", "C59 0.5 0 0 1", columns=columns)).n_atoms == 2


def test_ions_of_one_element_may_share_a_site() -> None:
    crystal = read_cif(cif("Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 1.0 0.5", "O1 O 0.5 0.5 0.5 1"))
    assert crystal.symbols == ("Fe", "O")
    assert read_cif(cif("Fe1 Fe2+ 0 0 0 0.333", "Fe2 Fe3+ 0 0 0 0.333", "Fe3 Fe 0 0 0 0.333")).n_atoms == 1
    assert read_cif(cif("H1 H 0 0 0 0.25(1)", "D1 D 0 0 0 0.75(1)")).symbols == ("H",)


@pytest.mark.parametrize(
    "rows",
    [
        ("Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 0 0.4"),
        ("Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 0.1 0.5"),
        ("Fe1 Fe2+ 0 0 0 0.5", "Ni2 Ni2+ 0 0 0 0.5"),
        ("Fe1 Fe2+ 0 0 0 1.5", "Fe2 Fe3+ 0 0 0 -0.5"),
        ("Va1 X 0 0 0 0.5", "Va2 X 0 0 0 0.5"),
        ("Fe1 Fe 0 0 0 0", "O1 O 0.5 0.5 0.5 1"),
        ("Fe1 Fe 0 0 0 half",),
    ],
)
def test_other_shared_or_unfilled_sites_are_refused(rows: tuple[str, ...]) -> None:
    assert code_of(cif(*rows)) == "partial-occupancy"


def test_the_first_unfilled_site_is_named() -> None:
    with pytest.raises(InputError, match=r"site 2 \(Ni1\) has occupancy 0\.25"):
        read_cif(cif("Fe1 Fe 0 0 0 1", "Ni1 Ni 0.5 0 0 0.25", "O1 O 0 0.5 0 0.75"))


def test_alternatives_of_large_molecules_are_refused() -> None:
    columns = (*WITH_OCCUPANCY, "label_alt_id")
    rows = ("K1 K 0 0 0 1 .", "Br1 Br 0.5 0.5 0.5 . A", "Br2 Br 0.5 0.5 0.6 . B")
    assert code_of(cif(*rows, columns=columns)) == "partial-occupancy"
    assert read_cif(cif("K1 K 0 0 0 1 .", "Br1 Br 0.5 0.5 0.5 1 ?", columns=columns)).n_atoms == 2


def test_dummies_may_have_no_coordinates() -> None:
    columns = (*WITH_OCCUPANCY, "calc_flag")
    assert read_cif(cif("K1 K 0 0 0 1 d", "Cg C ? ? ? 1 dum", "X1 X . . . . Dum", columns=columns)).formula == "K"


@pytest.mark.parametrize("value", ["0.25(3)", "'0.25'", "1/4", "+.25", "25e-2", ".250(12)", '"0.25(1)"', "+1/4"])
def test_numbers_in_every_spelling_are_read(value: str) -> None:
    crystal = read_cif(cif(f"K1 K 0 {value} 0 1"))
    assert crystal.frac_coords.tolist() == [[0.0, 0.25, 0.0]]


@pytest.mark.parametrize(
    "value", ["0_25", "0,25", "1/0", "1/4/2", "0.25(3", "nan", "inf", "1e400", "-1e308", "1.1e6", "0x1", "?", "."]
)
def test_what_is_no_number_is_no_coordinate(value: str) -> None:
    assert code_of(cif(f"K1 K 0 {value} 0 1", f"K2 K 0 {value} 0 1")) == (
        "coordinate-too-large" if value in ("-1e308", "1.1e6") else "bad-coordinates"
    )


@pytest.mark.parametrize(
    "column", ["occupancy", "calc_flag", "disorder_group", "label_alt_id", "symmetry_multiplicity", "attached_hydrogens"]
)
def test_what_stands_apart_from_the_positions_is_not_passed_over(column: str) -> None:
    text = cif("K1 K 0 0 0", columns=WITH_OCCUPANCY[:-1])
    assert read_cif(text).formula == "K"
    assert code_of(text + f"loop_\n_atom_site_{column}\n0.5\n") == "cif-incomplete"
    assert code_of(text + f"_atom_site.{column} 0.5\n") == "cif-incomplete"


CARTESIAN = ("label", "type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")
ROWS = ("K1 K 0 0 0", "Br1 Br 2.05 2.1 2.15")


def matrix(template: str, values: np.ndarray) -> str:
    return "".join(f"{template.format(i=i + 1, j=j + 1)} {values[i, j]:.8f}\n" for i in range(3) for j in range(3))


@pytest.mark.parametrize(
    ("template", "inverse"),
    [
        ("_atom_sites_Cartn_tran_matrix_{i}{j}", False),
        ("_atom_sites_fract_tran_matrix_{i}{j}", True),
        ("_atom_sites.fract_transf_matrix[{i}][{j}]", True),
        ("_atom_sites_Cartn_transform.mat_{i}{j}", False),
    ],
)
def test_cartesian_positions_are_read_by_the_matrix_of_their_axes(template: str, inverse: bool) -> None:
    lattice = np.diag([4.1, 4.2, 4.3])
    more = matrix(template, np.linalg.inv(lattice) if inverse else lattice)
    crystal = read_cif(cif(*ROWS, columns=CARTESIAN, more=more))
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]], atol=1e-6)
    unknown = cif(*(f"{row} ? ? ?" for row in ROWS), columns=(*CARTESIAN, "fract_x", "fract_y", "fract_z"), more=more)
    assert np.allclose(read_cif(unknown).frac_coords, crystal.frac_coords)
    assert code_of(cif(*ROWS, columns=CARTESIAN, more=matrix(template, lattice * 1.1))) == "bad-coordinates"
    assert code_of(cif(*ROWS, columns=CARTESIAN, more=matrix(template, np.zeros((3, 3))))) == "bad-coordinates"


def test_a_shift_of_cartesian_axes_is_part_of_the_transform() -> None:
    more = matrix("_atom_sites.fract_transf_matrix[{i}][{j}]", np.diag([1 / 4.1, 1 / 4.2, 1 / 4.3]))
    more += "".join(f"_atom_sites.fract_transf_vector[{i}] 0.{i}\n" for i in (1, 2, 3))
    assert np.allclose(read_cif(cif(*ROWS, columns=CARTESIAN, more=more)).frac_coords[0], [0.1, 0.2, 0.3])


def test_cartesian_positions_without_their_axes_are_refused() -> None:
    assert code_of(cif(*ROWS, columns=CARTESIAN)) == "cif-incomplete"
    assert code_of(cif("K1 K 0 0", columns=CARTESIAN[:-1])) == "cif-incomplete"


def test_fractional_positions_are_taken_where_both_are_given() -> None:
    text = cif("K1 K 9 9 9 0 0 0.25", columns=(*CARTESIAN, "fract_x", "fract_y", "fract_z"))
    assert read_cif(text).frac_coords.tolist() == [[0.0, 0.0, 0.25]]


@pytest.mark.parametrize("volume", ["74.05", "74.0(2)", "80", "?", "0", "x"])
def test_a_volume_that_agrees_or_says_nothing_is_accepted(volume: str) -> None:
    assert read_cif(cif("K1 K 0 0 0 1", more=f"_cell_volume {volume}\n")).n_atoms == 1


@pytest.mark.parametrize("volume", ["148.1", "37.0", "740.5", "7.4e5"])
def test_a_volume_that_is_not_that_of_the_cell_is_refused(volume: str) -> None:
    assert code_of(cif("K1 K 0 0 0 1", more=f"_cell_volume {volume}\n")) == "bad-lattice"
    assert code_of(cif("K1 K 0 0 0 1", more=f"_cell.volume {volume}\n")) == "bad-lattice"


@pytest.mark.parametrize("length", ["1.1e4", "1e300", "4_1", "nan", "inf", "4.1/0"])
def test_a_cell_beyond_any_crystal_is_refused(length: str) -> None:
    assert code_of(cif("K1 K 0 0 0 1").replace("_a 4.1", f"_a {length}")) == (
        "lattice-too-large" if length.isdecimal() or "e" in length else "bad-lattice"
    )


def test_more_atoms_than_any_crystal_has_are_refused_before_they_are_made() -> None:
    rows = [f"K{i} K 0.{i:03d} 0.11 0.37 1" for i in range(50, 450)]
    text = cif(*rows).replace("_space_group_IT_number 1\n", "_space_group_name_H-M_alt 'F m m m'\n")
    assert code_of(text) == "too-many-atoms"
    assert code_of(cif(*rows * 30)) == "too-many-atoms"
