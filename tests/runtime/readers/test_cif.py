"""CIF: values, symmetry, and everything real files do wrong."""

from __future__ import annotations

import re
from pathlib import Path

import gemmi
import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif, to_crystal
from bandrt.readers.space_groups import named_settings
from tests.support.cif_texts import WITH_OCCUPANCY, WITHOUT_SYMBOL, cif_cell, cif_sites

COORDINATE_TOLERANCE = 1e-9
"""Fractional: a value that was read, not computed."""

SALT = (
    "data_NaCl\n"
    + cif_cell("5.64")
    + "_symmetry_space_group_name_H-M 'F m -3 m'\n_chemical_formula_sum 'Na1 Cl1'\n_cell_formula_units_Z 4\n"
    + cif_sites("Na1 Na+ 0 0 0 1", "Cl1 Cl- 0.5 0.5 0.5 1", columns=WITH_OCCUPANCY)
)

HEXAGONAL = (
    "data_MoS2\n"
    + cif_cell("3.19(1)", c="13.38", angles=(90, 90, 120))
    + "_symmetry_Int_Tables_number 194\n"
    + cif_sites("Mo1 0.3333 0.6667(2) 0.25", "S1 0.3333 0.6667 0.621", columns=WITHOUT_SYMBOL)
)

MONOCLINIC = (
    "data_KCl\n"
    + cif_cell("6.1", "7.4", "8.1", angles=(90, 98, 90))
    + "_space_group_name_H-M_alt NAME\n"
    + cif_sites("K1 0.12 0.23 0.32", "Cl1 0.61 0.27 0.18", columns=WITHOUT_SYMBOL)
)


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


def with_operations(text: str, *operations: str, tag: str = "_symmetry_equiv_pos_as_xyz") -> str:
    listed = "".join(f"'{operation}'\n" for operation in operations)
    return text.replace("loop_\n_atom_site_label", f"loop_\n{tag}\n{listed}loop_\n_atom_site_label", 1)


def all_operations(name: str) -> list[str]:
    return [operation.triplet() for operation in gemmi.SpaceGroup(name).operations()]


def test_listed_operations_choose_the_setting_of_the_named_group() -> None:
    """P 21/c is written for the group in any setting; the operations are those of P 21/n."""
    listed = with_operations(MONOCLINIC.replace("NAME", "'P 21/c'"), *all_operations("P 1 21/n 1"))
    assert np.allclose(distances(read_cif(listed)), distances(read_cif(MONOCLINIC.replace("NAME", "'P 21/n'"))))


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
    text = SALT.split("loop_")[0].replace("'Na1 Cl1'", "'Na1 Cl2'").replace("_Z 4", "_Z 1").replace("F m -3 m", "P m") + loop
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


NO_SYMMETRY = SALT.replace("_symmetry_space_group_name_H-M 'F m -3 m'\n", "").replace("_cell_formula_units_Z 4\n", "")


@pytest.mark.parametrize(
    "statement",
    [
        "_symmetry.space_group_name_H-M 'F m -3 m'",
        "_symmetry.Int_Tables_number 225",
        "_space_group.name_H-M_ref 'F m -3 m'",
        "_space_group_name_H-M_full 'F 4/m -3 2/m'",
        "_symmetry_space_group_name_H_M Fm-3m",
        "_space_group.IT_number 225",
        "_space_group.name_Hall '-F 4 2 3'",
        "_symmetry_space_group_name_H-M ''\n_space_group_name_H-M_alt 'F m -3 m'",
        "_symmetry_space_group_name_H-M '?'\n_space_group_IT_number 225",
        "_symmetry_space_group_name_Hall '?'\n_space_group_name_H-M_alt 'F m -3 m'",
        "_symmetry_space_group_name_Hall 'no idea'\n_space_group_name_H-M_alt 'F m -3 m'",
        "loop_\n_space_group_name_H-M_alt\n_space_group_IT_number\n'F m -3 m' 225",
        *(
            f"loop_\n{tag}\n" + "".join(f"'{operation}'\n" for operation in all_operations("F m -3 m"))
            for tag in (
                "_symmetry_equiv.pos_as_xyz",
                "_symmetry_equiv_as_xyz",
                "_space_group_symop.operation_xyz",
                "_space_group_symop_as_xyz",
            )
        ),
    ],
)
def test_every_spelling_of_a_symmetry_tag_is_understood(statement: str) -> None:
    assert read_cif(NO_SYMMETRY.replace("loop_", statement + "\nloop_", 1)).n_atoms == 8


@pytest.mark.parametrize(
    "statement",
    [
        "_space_group_name_Schoenflies O_h^5",
        "_vendor_spacegroup 225",
        "_layer_group_symbol 'p 4/m m m'",
        "_rod_group_number 5",
        "_vendor_space_group_name 'F m -3 m'",
        "_parent_space_group.name_H-M_alt 'F m -3 m'",
        "_space_group_magn.name_BNS \"F m' -3' m'\"",
        "_space_group_IT_number 231",
        "_space_group_IT_number '225 or so'",
        "_symmetry_space_group_name_Hall 'no idea'",
        "loop_\n_space_group_symop_generator_xyz\n-x,-y,-z",
        "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n?",
        "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y+1/2,z,-1",
    ],
)
def test_a_symmetry_tag_that_is_not_understood_is_not_taken_for_none(statement: str) -> None:
    assert code_of(NO_SYMMETRY.replace("loop_", statement + "\nloop_", 1)) == "bad-symmetry"


@pytest.mark.parametrize(
    "statement",
    [
        "_vendor_spacegroup P1",
        "_space_group_name_Schoenflies C1^1",
        "_symmetry_cell_setting triclinic",
        "_space_group_IT_number ?",
        "_vendor_symop 'x, y, z'",
        "_space_group_name_H-M_alt 'P 1'\n_space_group_IT_number 1\n_space_group_name_Hall 'P 1'",
    ],
)
def test_a_tag_that_says_there_is_no_symmetry_lists_every_atom(statement: str) -> None:
    assert read_cif(NO_SYMMETRY.replace("loop_", statement + "\nloop_", 1)).n_atoms == 2


def test_symmetry_that_stands_in_another_block_than_the_atoms_is_refused() -> None:
    assert code_of("data_global\n_space_group_IT_number 225\n" + NO_SYMMETRY) == "bad-symmetry"


def test_a_magnetic_group_acts_on_the_atoms_as_its_operations_do() -> None:
    """Body-centred iron as an antiferromagnet: the centring goes with time reversal."""
    magnetic = (
        "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n1 x,y,z,+1\n2 -x,-y,-z,-1\n"
        "loop_\n_space_group_symop_magn_centering.id\n_space_group_symop_magn_centering.xyz\n1 x,y,z,+1\n2 x+1/2,y+1/2,z+1/2,-1\n"
    )
    crystal = read_cif(NO_SYMMETRY.replace("loop_", magnetic + "loop_", 1).replace("Cl- 0.5 0.5 0.5", "Cl- 0.25 0.25 0.25"))
    assert crystal.formula == "NaCl"
    assert crystal.n_atoms == 4
    damaged = magnetic.replace("-x,-y,-z,-1", "-x,-y,z+0.3,-1")
    assert code_of(NO_SYMMETRY.replace("loop_", damaged + "loop_", 1)) == "bad-symmetry"


@pytest.mark.parametrize(
    "statement",
    [
        "_cell_modulation_dimension 1",
        "_space_group_ssg_name 'P21/n(0b0)s0'",
        "_space_group.ssg_name 'P21/n(0b0)s0'",
        "loop_\n_space_group_symop_ssg_operation_algebraic\nx1,x2,x3,x4",
        "loop_\n_space_group_symop_magn_ssg_operation.algebraic\nx1,x2,x3,x4,+1",
        "loop_\n_cell_wave_vector_seq_id\n_cell_wave_vector_x\n1 0.3",
        "loop_\n_atom_site_displace_Fourier_atom_site_label\nNa1",
    ],
)
def test_a_modulated_structure_is_refused_whatever_else_it_says(statement: str) -> None:
    assert code_of(SALT.replace("loop_", statement + "\nloop_", 1)) == "modulated"
    assert read_cif(SALT.replace("loop_", "_cell_modulation_dimension 0\nloop_", 1)).n_atoms == 8


@pytest.mark.parametrize(
    "text",
    [
        SALT.replace("'F m -3 m'", "'P 1'\n_space_group_IT_number 225"),
        SALT.replace("'F m -3 m'", "'F m -3 m'\n_space_group_IT_number 221"),
        SALT.replace("'F m -3 m'", "'F m -3 m'\n_symmetry_space_group_name_Hall 'P 1'"),
        SALT.replace("'F m -3 m'", "'F m -3 m'\n_space_group_name_H-M_alt 'P m -3 m'"),
        with_operations(SALT, "x,y,z"),
        with_operations(SALT, *all_operations("P m -3 m")),
        with_operations(NO_SYMMETRY.replace("loop_", "_space_group_IT_number 225\nloop_", 1), "x,y,z", "-x,-y,-z"),
        with_operations(SALT.replace("F m -3 m", "P 1"), *all_operations("F m -3 m")),
        with_operations(with_operations(NO_SYMMETRY, "x,y,z"), *all_operations("F m -3 m"), tag="_space_group_symop_operation_xyz"),
        with_operations(MONOCLINIC.replace("NAME", "'P 21/n'"), *all_operations("P 1 21/c 1")),
        with_operations(MONOCLINIC.replace("NAME", "'P 2/c'"), *all_operations("P 1 21/c 1")),
        MONOCLINIC.replace("NAME", "'P 21/a'\n_space_group_IT_coordinate_system_code b2"),
        MONOCLINIC.replace("NAME", "'P 21/a'\n_space_group_name_Hall '-P 2ybc'"),
    ],
)
def test_statements_of_symmetry_that_contradict_each_other_are_refused(text: str) -> None:
    assert code_of(text) == "contradicting-symmetry"


def test_all_atoms_may_be_listed_beside_the_name_of_their_group() -> None:
    sites = "".join(
        f"{symbol}1 {symbol} {x} {y} {z} 1\n"
        for symbol, shift in (("Na", 0.0), ("Cl", 0.5))
        for x, y, z in (
            (shift, shift, shift),
            (shift, 0.5 - shift, 0.5 - shift),
            (0.5 - shift, shift, 0.5 - shift),
            (0.5 - shift,) * 2 + (shift,),
        )
    )
    text = with_operations(SALT.split("Na1 Na+")[0] + sites, "x,y,z")
    assert read_cif(text).n_atoms == 8
    assert code_of(text.replace("Na1 Na 0.0 0.0 0.0", "Na1 Na 0.1 0.0 0.0")) == "contradicting-symmetry"


def test_a_primitive_cell_may_carry_the_name_of_its_centred_group() -> None:
    primitive = SALT.replace("_Z 4", "_Z 1").replace("5.64", "3.99").replace(" 90", " 60")
    to_primitive = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])  # rows
    rotations = np.array([np.array(operation.rot) / 24 for operation in gemmi.SpaceGroup("P m -3 m").operations()])
    turned = np.rint(np.linalg.inv(to_primitive.T) @ rotations @ to_primitive.T).astype(int)
    written = [",".join("".join(f"{c:+d}*{x}" for c, x in zip(row, "xyz", strict=True) if c) for row in turn) for turn in turned]
    assert read_cif(with_operations(primitive, *written)).n_atoms == 2
    assert code_of(with_operations(primitive, "x,y,z")) == "contradicting-symmetry"


def spellings(setting: gemmi.SpaceGroup) -> set[str]:
    name = setting.hm
    screw = re.compile(r"(?<=[2346])([1-5])(?=[/ ]|$)")
    written = {name, name.replace(" ", ""), name.replace(" ", "_"), name.upper(), name.lower(), f"{name} (No. {setting.number})"}
    return written | {screw.sub(mark, name) for mark in (r"_\1", r"(\1)", r"_{\1}", r"<sub>\1</sub>", r" \1")}


def test_every_name_of_the_table_is_understood_in_every_spelling() -> None:
    for setting in gemmi.spacegroup_table():
        for name in spellings(setting):
            found = named_settings(name)
            assert setting in found, name
            assert {other.hm for other in found} == {setting.hm}, name
        assert {other.number for other in named_settings(setting.short_name())} == {setting.number}, setting.short_name()
        if setting.ext.strip("\0"):
            assert named_settings(setting.xhm()) == named_settings(setting.xhm().replace(" ", "")) == (setting,), setting.xhm()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("R -3 c RS", "R -3 c:R"),
        ("R-3cH", "R -3 c:H"),
        ("F d -3 m Z", "F d -3 m:2"),
        ("Fd-3mS", "F d -3 m:1"),
        ("F d -3 m origin choice 2", "F d -3 m:2"),
        ("F 4/m -3 2/m", "F m -3 m"),
        ("P42/m21/n2/m", "P 42/m n m"),
        ("P 21/n 21/m 21/a", "P n m a"),
        ("P 63/m 2/m 2/c", "P 63/m m c"),
        ("P -3 2/m 1", "P -3 m 1"),
        ("P 21/a -3", "P a -3"),
        ("$P6_{3}/mmc$", "P 63/m m c"),
        (r"Fm\overline{3}m", "F m -3 m"),
        ("C m c e", "C m c a"),
        ("P 1 21/c 1:b1", "P 1 21/c 1"),
    ],
)
def test_names_that_people_write_are_understood(name: str, setting: str) -> None:
    assert [found.xhm() for found in named_settings(name)] == [setting]


@pytest.mark.parametrize("name", ["P21/q", "P 21/c (No. 15)", "", "x", "F m -3 m:2", "P 1 21/c 1 (a,b,c+a)"])
def test_other_names_are_not_guessed(name: str) -> None:
    assert named_settings(name) == ()


def test_the_spellings_of_a_name_make_one_crystal() -> None:
    reference = distances(read_cif(MONOCLINIC.replace("NAME", "'P 1 21/n 1'")))
    standard = distances(read_cif(MONOCLINIC.replace("NAME", "'P 1 21/c 1'")))
    assert not np.allclose(reference, standard)
    for name in ("P2_1/n", "'P2(1)/n'", "'P 21/n (No. 14)'", "?\n_space_group_IT_coordinate_system_code b2"):
        text = MONOCLINIC.replace("NAME", name + "\n_space_group_IT_number 14")
        assert np.allclose(distances(read_cif(text)), reference), name
    coded = MONOCLINIC.replace("NAME", "'P 21/c'\n_space_group_IT_coordinate_system_code b2")
    assert np.allclose(distances(read_cif(coded)), reference)


@pytest.mark.parametrize("statement", ["'P 21/q'", "?\n_space_group_IT_coordinate_system_code b9"])
def test_a_number_beside_what_is_unknown_is_not_the_standard_setting(statement: str) -> None:
    assert code_of(MONOCLINIC.replace("NAME", statement + "\n_space_group_IT_number 14")) == "bad-symmetry"


@pytest.mark.parametrize("operation", [f"x+{'9' * 400},y,z", f"{'9' * 400}x,y,z", f"x+1/{'9' * 5000},y,z"])
def test_numbers_of_any_width_in_an_operation_are_refused(operation: str) -> None:
    assert code_of(with_operations(NO_SYMMETRY, "x,y,z", operation)) == "bad-symmetry"


def test_the_code_of_the_coordinate_system_chooses_the_origin() -> None:
    diamond = SPINEL_LIKE.replace("Si1 Si 0 0 0", "Si1 Si 0.125 0.125 0.125").replace("_chemical_formula_sum 'Na1 Cl1'\n", "")
    diamond = diamond.replace("_cell_formula_units_Z 4\n", "")
    assert code_of(diamond) == "ambiguous-symmetry"
    assert read_cif(diamond.replace("loop_", "_space_group_IT_coordinate_system_code 2\nloop_", 1)).n_atoms == 8


def test_dummy_sites_are_passed_over() -> None:
    flagged = SALT.replace("_atom_site_occupancy", "_atom_site_calc_flag").replace(" 1\n", " d\n") + "Cg1 C 0.25 0.25 0.25 dum\n"
    assert read_cif(flagged).formula == "NaCl"
    assert code_of(re.sub(r" d(um)?\n", " dum\n", flagged)) == "no-atoms"


@pytest.mark.parametrize(
    ("sites", "code"),
    [
        ("Cl1 Cl 0.5 0.5 0.5 1 A\nCl2 Cl 0.7 0.5 0.5 2 A\n", "partial-occupancy"),
        ("Cl1 Cl 0.5 0.5 0.5 1 A\n", "partial-occupancy"),
        ("Cl1 Cl 0.5 0.5 0.5 -1 .\n", "partial-occupancy"),
        ("Cl1 Cl 0.5 0.5 0.5 . .\n", ""),
        ("Cl1 Cl 0.5 0.5 0.5 0 ?\n", ""),
    ],
)
def test_alternatives_of_a_disordered_structure_are_refused(sites: str, code: str) -> None:
    text = NO_SYMMETRY.split("Na1 Na+")[0].replace("'Na1 Cl1'", "?")
    text = (
        text.replace("_atom_site_occupancy", "_atom_site_disorder_group\n_atom_site_disorder_assembly")
        + "Na1 Na 0 0 0 . .\n"
        + sites
    )
    if code:
        assert code_of(text) == code
    else:
        assert read_cif(text).formula == "NaCl"


@pytest.mark.parametrize("occupancy", ["0.999", "1.001", "1.000(2)", "0.9995"])
def test_a_site_that_is_full_within_rounding_is_full(occupancy: str) -> None:
    assert read_cif(SALT.replace("0.5 0.5 0.5 1", f"0.5 0.5 0.5 {occupancy}")).n_atoms == 8


def test_blanks_in_the_name_of_a_block_are_no_obstacle() -> None:
    assert read_cif(SALT.replace("data_NaCl", "data_NaCl (rock salt), 300 K")).n_atoms == 8


def test_a_tag_that_says_nothing_of_the_structure_may_come_twice() -> None:
    assert read_cif(SALT.replace("_Z 4\n", "_Z 4\n_chemical_name_common a\n_chemical_name_common b\n")).n_atoms == 8
    assert read_cif(SALT.replace("_Z 4\n", "_Z 4\n_cell_length_a 5.64\n")).n_atoms == 8


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


@pytest.mark.parametrize(
    "symbol", ["X", "Vac", "M", "OH-", "Wat", "NH4", "PO4", "CO3", "NO3", "BH4", "CO", "HO", "NO", "co3", "Al,Cu", "A1"]
)
def test_what_is_no_element_is_refused(symbol: str) -> None:
    assert code_of(SALT.replace("Na1 Na+", f"Na1 {symbol}")) == "unknown-species"


@pytest.mark.parametrize("symbol", ["D", "T", "D+", "D1"])
def test_isotopes_of_hydrogen_are_hydrogen(symbol: str) -> None:
    assert read_cif(SALT.replace("Na1 Na+", f"D1 {symbol}").replace("'Na1 Cl1'", "'D1 Cl1'")).formula == "HCl"


def test_capitals_are_read_where_they_can_only_be_an_element() -> None:
    assert read_cif(SALT.replace("Na1 Na+", "FE1 FE").replace("'Na1 Cl1'", "?")).formula == "FeCl"
    with pytest.raises(InputError, match="small second letter"):
        read_cif(SALT.replace("Na1 Na+", "CO1 CO"))


@pytest.mark.parametrize("nothing", ["?", ".", "'?'", "''"])
def test_a_type_that_says_nothing_leaves_the_label_to_speak(nothing: str) -> None:
    assert read_cif(SALT.replace("Na1 Na+", f"Na1 {nothing}")).formula == "NaCl"
    with pytest.raises(InputError, match=r"site 1 \(M1\) holds .+, which"):
        read_cif(SALT.replace("Na1 Na+", f"M1 {nothing}"))


@pytest.mark.parametrize("symbol", ["Na", "'Na1+'", "Na+1", "NA", "Na0+", "Na1"])
def test_symbols_may_carry_charges(symbol: str) -> None:
    assert read_cif(SALT.replace("Na1 Na+", f"Na1 {symbol}")).formula == "NaCl"


def test_a_label_alone_must_be_clear() -> None:
    unlabelled = SALT.replace("_atom_site_type_symbol\n", "").replace("Na1 Na+", "Na1").replace("Cl1 Cl-", "Cl1")
    assert read_cif(unlabelled).formula == "NaCl"
    for label in ("CA1", "D1", "T1", "Na,K", "Na/K1", "Na1Rb1", "Na0.5Li0.5", "Na-K"):
        assert code_of(unlabelled.replace("Na1 0", f"{label} 0")) == "unknown-species", label
    for label in ("Na", "Na1A", "Na2B'", "Na1_2", "Na3*", "Na1W"):
        assert read_cif(unlabelled.replace("Na1 0", f"{label} 0")).formula == "NaCl", label


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
        (SALT + SALT, "several-blocks"),
        (SALT.replace("_Z 4\n", "_Z 4\n_journal_name\n"), "cif-syntax"),
        (SALT.replace("'F m -3 m'\n", "\n"), "cif-syntax"),
        (SALT.replace("_Z 4\n", "_Z 4\n_cell_length_a 5.65\n"), "cif-syntax"),
        (SALT.replace("_Z 4\n", "_Z 4\n_symmetry_space_group_name_H-M 'P 1'\n"), "cif-syntax"),
        (SALT.replace("_atom_site_occupancy", "_atom_site_fract_x"), "cif-syntax"),
    ],
)
def test_what_is_wrong_has_a_code(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize(
    "formula",
    [
        *("'Na2 Cl1'", "'Na1 Cl1 H2'", "Na", "'Na0.98 Cl'", "'Na0.5 Cl0.5 H0.1'", f"Na{'9' * 400}", f"Na{'9' * 5000}.5"),
        *("'Na (O Cl)'", "'Na0.90(2) Cl1'", "'(Na0.5K0.5)Cl'", "'Na1 Cl2 2+'", "'Na Cl Hx'"),
    ],
)
def test_atoms_that_contradict_the_formula_are_refused(formula: str) -> None:
    assert code_of(SALT.replace("'Na1 Cl1'", formula)) == "composition-mismatch"


@pytest.mark.parametrize(
    "formula",
    ["?", "'rock salt'", "'Na0.5 Cl0.50'", "'Na0.33 Cl0.34'", "'Na4 Cl4'", "Na1Cl1", "'Na1 Cl1 H0'", "Na.", "'Na0.5 Cl0.5 H0.0'"],
)
def test_formulas_that_say_nothing_against_the_atoms_are_accepted(formula: str) -> None:
    assert read_cif(SALT.replace("'Na1 Cl1'", formula)).n_atoms == 8


def test_a_number_of_formula_units_may_be_written_with_decimals() -> None:
    assert read_cif(SALT.replace("_Z 4", "_Z 4.0")).n_atoms == 8
    assert code_of(SALT.replace("_Z 4", "_Z 2.0")) == "composition-mismatch"


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


def test_a_group_in_the_brackets_of_a_label_is_no_element() -> None:
    for label in ("O(H)1", "O(H2)", "N[H3]1", "O{D}"):
        unlabelled = SALT.replace("_atom_site_type_symbol\n", "").replace("Na1 Na+", label).replace("Cl1 Cl-", "Cl1")
        assert code_of(unlabelled) == "unknown-species", label


def test_a_number_of_a_space_group_under_a_short_tag_is_not_passed_over() -> None:
    assert code_of(NO_SYMMETRY.replace("_cell_length_a", "_sg_number 225\n_cell_length_a", 1)) == "bad-symmetry"
