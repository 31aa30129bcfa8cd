"""CIF: values, symmetry, and everything real files do wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif, to_crystal

COORDINATE_TOLERANCE = 1e-9
"""Fractional: a value that was read, not computed."""

SALT = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_chemical_formula_sum 'Na1 Cl1'
_cell_formula_units_Z 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na+ 0 0 0 1
Cl1 Cl- 0.5 0.5 0.5 1
"""

HEXAGONAL = """data_MoS2
_cell_length_a 3.19(1)
_cell_length_b 3.19(1)
_cell_length_c 13.38
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_symmetry_Int_Tables_number 194
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mo1 0.3333 0.6667(2) 0.25
S1 0.3333 0.6667 0.621
"""


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_cif(text, name="bad.cif")
    assert caught.value.stage == "read"
    assert caught.value.message.startswith("bad.cif: ")
    assert "\n" not in caught.value.message
    return caught.value.code


def distances(crystal: Crystal) -> np.ndarray:
    """Sorted distances between atoms, nearest images, Å."""
    delta = crystal.frac_coords[:, None] - crystal.frac_coords
    delta -= np.rint(delta)
    return np.sort(np.linalg.norm(delta @ crystal.lattice, axis=2).ravel())


def test_a_space_group_name_makes_the_whole_cell() -> None:
    crystal = read_cif(SALT)
    assert crystal.formula == "NaCl"
    assert crystal.n_atoms == 8
    assert np.allclose(crystal.lattice, 5.64 * np.eye(3), atol=COORDINATE_TOLERANCE)
    assert distances(crystal)[8] == pytest.approx(2.82)


@pytest.mark.parametrize(
    "symmetry",
    [
        "_space_group_name_H-M_alt 'F m -3 m'",
        "_space_group_IT_number 225",
        "_symmetry_space_group_name_Hall '-F 4 2 3'",
        "_symmetry_Int_Tables_number 225\n_symmetry_space_group_name_H-M ?",
        "_symmetry_space_group_name_H-M 'Fm-3m'",
    ],
)
def test_the_space_group_is_found_however_it_is_written(symmetry: str) -> None:
    text = SALT.replace("_symmetry_space_group_name_H-M 'F m -3 m'", symmetry)
    assert read_cif(text).n_atoms == 8


def test_listed_operations_win_over_a_name() -> None:
    only_identity = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"
    text = SALT.replace("loop_\n_atom", only_identity + "loop_\n_atom").replace("_Z 4", "_Z 1")
    assert read_cif(text).n_atoms == 2


def test_coordinates_of_few_digits_are_moved_onto_the_special_position() -> None:
    crystal = read_cif(HEXAGONAL)
    assert crystal.n_atoms == 6
    molybdenum = crystal.frac_coords[crystal.atomic_numbers == 42]
    thirds = np.sort(molybdenum[:, :2] % 1.0, axis=None)
    assert np.allclose(thirds, [1 / 3, 1 / 3, 2 / 3, 2 / 3], atol=COORDINATE_TOLERANCE)


def test_two_digits_are_enough_for_a_special_position() -> None:
    assert read_cif(HEXAGONAL.replace("0.3333", "0.33").replace("0.6667", "0.67")).n_atoms == 6


def test_an_atom_that_symmetry_makes_anyway_is_not_doubled() -> None:
    assert read_cif(SALT + "Cl2 Cl- 0.5 0 0 1\n").n_atoms == 8


def test_an_atom_listed_twice_without_symmetry_is_refused() -> None:
    text = SALT.replace("'F m -3 m'", "'P 1'").replace("_Z 4", "_Z 1") + "Cl2 Cl- 0.5 0.5 0.5 1\n"
    assert code_of(text.replace("'Na1 Cl1'", "'Na1 Cl2'")) == "overlapping-atoms"


def test_operations_in_decimals_and_any_case_are_read() -> None:
    loop = "loop_\n_space_group_symop_operation_xyz\nx,y,z\n'X+0.5, -Y+.5, z'\n"
    text = SALT.replace("_symmetry_space_group_name_H-M 'F m -3 m'", loop).replace("_Z 4", "_Z 2")
    crystal = read_cif(text)
    assert crystal.n_atoms == 4
    assert np.allclose(np.sort(crystal.frac_coords[:, 0] % 1.0), [0.0, 0.0, 0.5, 0.5])


def test_translations_that_are_no_simple_fractions_are_kept() -> None:
    """A mirror plane off the origin, as pymatgen writes it: 2-fold images that fall together make one atom, not two."""
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n'-z+6/805, y, -x+6/805'\n"
    atoms = "Na1 Na+ 0.001464 0 0.005989 1\nCl1 Cl- 0.502975 0.5 0.01515 1\n"
    text = SALT.split("loop_")[0].replace("'Na1 Cl1'", "'Na1 Cl2'").replace("_Z 4", "_Z 1") + loop
    crystal = read_cif(text + "loop_" + SALT.split("loop_")[1].split("Na1 Na+")[0] + atoms)
    assert crystal.formula == "NaCl2"
    assert np.allclose(crystal.frac_coords[0], [0.001464, 0.0, 0.005989], atol=1e-6)
    assert np.allclose(
        crystal.frac_coords[2] % 1.0, [6 / 805 - 0.01515 + 1, 0.5, 6 / 805 - 0.502975 + 1], atol=COORDINATE_TOLERANCE
    )


@pytest.mark.parametrize("operation", ["x,y", "x,y,q", "2/0+x,y,z", "x y z", "x,,z"])
def test_operations_that_can_not_be_read_are_refused(operation: str) -> None:
    loop = f"loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'{operation}'\n"
    assert code_of(SALT.replace("loop_\n_atom", loop + "loop_\n_atom")) == "bad-symmetry"


def test_operations_that_are_no_group_are_refused() -> None:
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'y,z,x'\n"
    assert code_of(SALT.replace("loop_\n_atom", loop + "loop_\n_atom")) == "bad-symmetry"


def test_operations_that_do_not_fit_the_cell_are_refused() -> None:
    assert code_of(SALT.replace("_cell_length_c 5.64", "_cell_length_c 6.1")) == "bad-symmetry"


def test_an_unknown_space_group_is_refused() -> None:
    assert code_of(SALT.replace("'F m -3 m'", "'Q m -3 m'")) == "bad-symmetry"


SPINEL_LIKE = SALT.replace("'F m -3 m'", "'F d -3 m'").replace("Na1 Na+ 0 0 0 1\nCl1 Cl- 0.5 0.5 0.5 1", "Si1 Si 0 0 0 1")


def test_the_stated_formula_chooses_between_two_origins() -> None:
    """Diamond with atoms at 0, 0, 0 is origin 1: origin 2 would make 16 atoms."""
    crystal = read_cif(SPINEL_LIKE.replace("'Na1 Cl1'", "Si").replace("_Z 4", "_Z 8"))
    assert crystal.n_atoms == 8


def test_two_origins_that_nothing_tells_apart_are_refused() -> None:
    assert (
        code_of(SPINEL_LIKE.replace("_chemical_formula_sum 'Na1 Cl1'", "").replace("_cell_formula_units_Z 4", ""))
        == "ambiguous-symmetry"
    )


@pytest.mark.parametrize("setting", ["'F d -3 m:1'", "'F d -3 m S'"])
def test_a_stated_origin_is_used(setting: str) -> None:
    text = (
        SPINEL_LIKE.replace("'F d -3 m'", setting)
        .replace("_chemical_formula_sum 'Na1 Cl1'", "")
        .replace("_cell_formula_units_Z 4", "")
    )
    assert read_cif(text).n_atoms == 8


def test_uncertainties_are_dropped() -> None:
    crystal = read_cif(SALT.replace("0.5 0.5 0.5", "0.500(2) 0.5(1) .5").replace("5.64", "5.640(3)"))
    assert np.allclose(crystal.lattice, 5.64 * np.eye(3))


def test_bytes_that_are_not_utf8_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "salt.cif"
    path.write_bytes(
        b"# M\xfcller, 5.64 \xc5\n" + SALT.replace("data_NaCl", "data_NaCl\n_author 'M\xfcller'\n_place K\xf6ln").encode("latin-1")
    )
    assert to_crystal(path).n_atoms == 8


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_obstacle(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "salt.cif"
    path.write_text(SALT, encoding=encoding)
    assert to_crystal(path).n_atoms == 8


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_are_no_obstacle(line_end: str) -> None:
    assert read_cif(SALT.replace("\n", line_end)).n_atoms == 8


def test_tags_may_have_any_case_and_dots() -> None:
    assert (
        read_cif(SALT.replace("_atom_site_fract_x", "_Atom_Site_Fract_X").replace("_cell_length_a", "_CELL_LENGTH_A")).n_atoms == 8
    )
    dotted = re.sub(r"_atom_site_", "_atom_site.", SALT.replace("_cell_", "_cell."))
    assert read_cif(dotted).n_atoms == 8


def test_a_single_atom_may_be_written_without_a_loop() -> None:
    header = SALT.split("loop_")[0].replace("'F m -3 m'", "'P 1'").replace("'Na1 Cl1'", "Po").replace("_Z 4", "_Z 1")
    crystal = read_cif(header + "_atom_site_label Po1\n_atom_site_fract_x 0\n_atom_site_fract_y 0\n_atom_site_fract_z 0\n")
    assert crystal.symbols == ("Po",)


@pytest.mark.parametrize("value", ["?", ".", "abc"])
def test_a_missing_coordinate_is_refused(value: str) -> None:
    assert code_of(SALT.replace("0.5 0.5 0.5", f"0.5 {value} 0.5")) == "bad-coordinates"


@pytest.mark.parametrize("occupancy", ["0.5", "0.99", "0.9(1)", "0", "1.2"])
def test_partial_occupancy_is_refused_with_the_site(occupancy: str) -> None:
    with pytest.raises(InputError, match=r"site 2 \(Cl1\)") as caught:
        read_cif(SALT.replace("0.5 0.5 0.5 1", f"0.5 0.5 0.5 {occupancy}"))
    assert caught.value.code == "partial-occupancy"


def test_two_species_on_one_site_are_refused() -> None:
    mixed = SALT.replace("'F m -3 m'", "'P 1'").replace("0.5 0.5 0.5 1", "0.5 0.5 0.5 0.5\nBr1 Br 0.5 0.5 0.5 0.5")
    assert code_of(mixed) == "partial-occupancy"
    assert code_of(mixed.replace("0.5 0.5\n", "0.5 1\n").replace("0.5 0.5 0.5 0.5", "0.5 0.5 0.5 1")) in (
        "overlapping-atoms",
        "composition-mismatch",
    )


@pytest.mark.parametrize("symbol", ["X", "Vac", "M", "OH-", "Wat", "?"])
def test_what_is_no_element_is_refused(symbol: str) -> None:
    assert code_of(SALT.replace("Na1 Na+", f"Na1 {symbol}")) == "unknown-species"


def test_deuterium_is_refused_with_advice() -> None:
    with pytest.raises(InputError, match="write H for deuterium"):
        read_cif(SALT.replace("Na1 Na+", "D1 D"))


@pytest.mark.parametrize("symbol", ["Na", "'Na1+'", "Na+1", "NA", "Na0+", "Na1"])
def test_symbols_may_carry_charges(symbol: str) -> None:
    assert read_cif(SALT.replace("Na1 Na+", f"Na1 {symbol}")).formula == "NaCl"


def test_a_label_alone_must_be_clear() -> None:
    unlabelled = SALT.replace("_atom_site_type_symbol\n", "").replace("Na1 Na+", "Na1").replace("Cl1 Cl-", "Cl1")
    assert read_cif(unlabelled).formula == "NaCl"
    assert code_of(unlabelled.replace("Na1 0", "CA1 0")) == "unknown-species"


def test_several_crystals_in_a_file_are_named() -> None:
    with pytest.raises(InputError, match=r"NaCl, MoS2"):
        read_cif(SALT + HEXAGONAL)
    assert code_of(SALT + HEXAGONAL) == "several-blocks"


def test_blocks_without_atoms_are_passed_over() -> None:
    assert read_cif("data_global\n_journal_name Acta\n" + SALT + "data_end\n_end 1\n").n_atoms == 8


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-file"),
        (" \n\n", "empty-file"),
        ("Dear colleague,\nplease find the CIF attached.\n", "not-a-crystal"),
        ("<!DOCTYPE html><html></html>", "not-a-crystal"),
        ("# only a comment\n", "not-a-crystal"),
        ("data_x\n_journal_name Acta\n", "not-a-crystal"),
        ("data_a\n_b 1\ndata_c\n_d 1\n", "not-a-crystal"),
        (SALT.split("loop_")[0], "no-atoms"),
        (SALT.split("Na1 Na+")[0], "no-atoms"),
        (SALT.replace("_cell_length_b 5.64\n", ""), "cif-incomplete"),
        (SALT.replace("_cell_length_b 5.64", "_cell_length_b ?"), "bad-lattice"),
        (SALT.replace("_cell_length_b 5.64", "_cell_length_b -5.64"), "bad-lattice"),
        (SALT.replace("_cell_angle_gamma 90", "_cell_angle_gamma 180"), "bad-lattice"),
        (SALT.replace("_atom_site_fract_y", "_atom_site_fract_w"), "cif-incomplete"),
        (SALT.replace("_atom_site_occupancy", "_atom_site_attached_hydrogens"), "cif-incomplete"),
        (SALT + "Cl2 Cl- 0.1", "cif-syntax"),
        (SALT + SALT, "cif-syntax"),
    ],
)
def test_what_is_wrong_has_a_code(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize("formula", ["'Na2 Cl1'", "'Na1 Cl1 H2'", "Na"])
def test_atoms_that_contradict_the_formula_are_refused(formula: str) -> None:
    assert code_of(SALT.replace("'Na1 Cl1'", formula)) == "composition-mismatch"


@pytest.mark.parametrize("formula", ["?", "'rock salt'", "'Na0.98 Cl'", "'Na4 Cl4'", "Na1Cl1", "'Na1 Cl1 H0'", "Na.", "D"])
def test_formulas_that_say_nothing_against_the_atoms_are_accepted(formula: str) -> None:
    assert read_cif(SALT.replace("'Na1 Cl1'", formula)).n_atoms == 8


def test_a_file_cut_anywhere_is_never_a_smaller_crystal(examples: Path) -> None:
    """Every cut of a real file is refused, except in the digits of its very last number."""
    for path in sorted(examples.glob("*.cif"))[:6]:
        text = path.read_text().rstrip()
        whole = read_cif(text)
        for end in range(0, len(text), 7):
            try:
                cut = read_cif(text[:end])
            except InputError:
                continue
            assert cut.n_atoms == whole.n_atoms, f"{path.name} cut at {end}"
