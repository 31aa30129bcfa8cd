"""The space group of a CIF: what its name leaves to the cell, and words that say less than a name."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.readers.cif_symmetry_words import check_words, crystal_system, schoenflies_number
from bandrt.readers.space_groups import setting_operations
from tests.support.cif_texts import cif_cell, cif_sites

SITES = cif_sites("K1 K 0.11 0.17 0.08", "Br1 Br 0.36 0.12 0.31")


def cell(a: float, b: float, c: float, alpha: float = 90, beta: float = 90, gamma: float = 90) -> str:
    return "data_x\n" + cif_cell(a, b, c, angles=(alpha, beta, gamma))


ORTHOGONAL, UNIQUE_B, UNIQUE_C = cell(9.1, 10.4, 11.2), cell(9.1, 10.4, 11.2, beta=98), cell(9.1, 10.4, 11.2, gamma=98)


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_cif(text, name="bad.cif")
    return caught.value.code


def listed(name: str) -> str:
    operations = "".join(f"'{operation.triplet()}'\n" for operation in gemmi.SpaceGroup(name).operations())
    return "loop_\n_space_group_symop_operation_xyz\n" + operations


def same(one: Crystal, other: Crystal) -> bool:
    return np.array_equal(one.atomic_numbers, other.atomic_numbers) and np.allclose(
        np.sort(one.frac_coords % 1.0, axis=0), np.sort(other.frac_coords % 1.0, axis=0)
    )


@pytest.mark.parametrize(
    ("name", "in_b", "in_c"),
    [
        ("P 21", "P 1 21 1", "P 1 1 21"),
        ("P2/m", "P 1 2/m 1", "P 1 1 2/m"),
        ("P 21/n", "P 1 21/n 1", "P 1 1 21/n"),
        ("P21/a", "P 1 21/a 1", "P 1 1 21/a"),
    ],
)
def test_the_cell_says_which_axis_of_a_short_name_is_unique(name: str, in_b: str, in_c: str) -> None:
    stated = f"_symmetry_space_group_name_H-M '{name}'\n"
    for text, setting in ((UNIQUE_B, in_b), (UNIQUE_C, in_c)):
        crystal = read_cif(text + stated + SITES)
        assert same(crystal, read_cif(text + listed(setting) + SITES))
        assert crystal.notes == ()
    usual = read_cif(ORTHOGONAL + stated + SITES)
    assert same(usual, read_cif(ORTHOGONAL + listed(in_b) + SITES))
    assert usual.notes == (f"assumed-setting:{in_b.replace(' ', '')}",)


def test_a_full_name_leaves_nothing_to_the_cell() -> None:
    assert code_of(UNIQUE_C + "_symmetry_space_group_name_H-M 'P 1 21 1'\n" + SITES) == "bad-symmetry"
    assert read_cif(ORTHOGONAL + "_symmetry_space_group_name_H-M 'P 1 1 21'\n" + SITES).notes == ()


def test_a_short_name_beside_operations_may_be_that_of_any_axis() -> None:
    text = UNIQUE_C + "_symmetry_space_group_name_H-M 'P 21/n'\n" + listed("P 1 1 21/n") + SITES
    assert same(read_cif(text), read_cif(UNIQUE_C + listed("P 1 1 21/n") + SITES))


def test_a_number_alone_is_the_standard_setting_with_a_warning_where_the_cell_allows_another() -> None:
    crystal = read_cif(UNIQUE_B + "_space_group_IT_number 14\n" + SITES)
    assert same(crystal, read_cif(UNIQUE_B + listed("P 1 21/c 1") + SITES))
    assert crystal.notes == ("assumed-setting:P121/c1",)
    assert read_cif(UNIQUE_B + "_space_group_IT_number 4\n" + SITES).notes == ()
    assert read_cif(ORTHOGONAL + "_space_group_IT_number 19\n" + SITES).notes == ()
    assert read_cif(ORTHOGONAL + "_space_group_IT_number 62\n" + SITES).notes == ("assumed-setting:Pnma",)


def test_a_number_alone_is_read_in_the_one_setting_that_the_cell_allows_or_refused() -> None:
    unique = read_cif(UNIQUE_C + "_space_group_IT_number 4\n" + SITES)
    assert same(unique, read_cif(UNIQUE_C + listed("P 1 1 21") + SITES))
    assert code_of(UNIQUE_C + "_space_group_IT_number 14\n" + SITES) == "ambiguous-symmetry"


def test_settings_that_make_the_same_atoms_are_not_ambiguous() -> None:
    text = cell(3.6, 3.6, 3.6) + "_space_group_name_H-M_alt 'P n -3 n'\n_chemical_formula_sum K\n" + SITES
    everywhere = text.split("K1 K")[0] + "K1 K 0 0 0\n"
    assert read_cif(everywhere + "K2 K 0.25 0.25 0.25\nK3 K 0.5 0 0\nK4 K 0.25 0.25 0.75\n").n_atoms == 16


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("_symmetry_cell_setting", "cubic"),
        ("_space_group_crystal_system", "monoclinic"),
        ("_space_group.crystal_system", "hexagonal"),
        ("_space_group_centring_type", "F"),
        ("_space_group_Bravais_type", "cF"),
        ("_space_group_Laue_class", "m-3m"),
        ("_space_group_point_group_H-M", "m-3m"),
        ("_space_group_name_Schoenflies", "Oh^5"),
        ("_space_group_Patterson_name_H-M", "'F m -3 m'"),
    ],
)
def test_a_word_alone_does_not_say_which_operations_there_are(tag: str, word: str) -> None:
    assert code_of(ORTHOGONAL + f"{tag} {word}\n" + SITES) == "bad-symmetry"


@pytest.mark.parametrize("word", ["_symmetry_cell_setting triclinic", "_space_group_centring_type P", "_space_group_Laue_class -1"])
def test_a_word_that_a_crystal_without_symmetry_has_does_no_harm(word: str) -> None:
    assert read_cif(ORTHOGONAL + word + "\n" + SITES).n_atoms == 2


WORDS = [
    ("_symmetry_cell_setting", "cubic", "tetragonal"),
    ("_space_group_crystal_system", "Cubic", "monoclinic"),
    ("_space_group_centring_type", "F", "P"),
    ("_space_group_centring_type", "F", "I"),
    ("_space_group_Bravais_type", "cF", "cP"),
    ("_space_group_Bravais_type", "cF", "oF"),
    ("_space_group_Laue_class", "'m -3 m'", "m-3"),
    ("_space_group_Laue_class", "m3m", "6/mmm"),
    ("_space_group_point_group_H-M", "m-3m", "-43m"),
    ("_space_group_name_Schoenflies", "O_h^5", "O_h^1"),
    ("_space_group_name_Schoenflies", "Oh-5", "D4h.17"),
]


@pytest.mark.parametrize(("tag", "right", "wrong"), WORDS)
@pytest.mark.parametrize("statement", ["_space_group_name_H-M_alt 'F m -3 m'\n", "_space_group_IT_number 225\n", "listed"])
def test_a_word_must_not_contradict_the_space_group(tag: str, right: str, wrong: str, statement: str) -> None:
    symmetry = listed("F m -3 m") if statement == "listed" else statement
    text = cell(6.6, 6.6, 6.6) + symmetry + "WORD\n" + SITES.split("K1 K")[0] + "K1 K 0 0 0\nBr1 Br 0.5 0.5 0.5\n"
    assert read_cif(text.replace("WORD", f"{tag} {right}")).n_atoms == 8
    assert code_of(text.replace("WORD", f"{tag} {wrong}")) == "contradicting-symmetry"
    assert read_cif(text.replace("WORD", f"{tag} 'no word'")).n_atoms == 8


def test_every_space_group_is_of_its_crystal_system_lattice_and_class() -> None:
    for setting in gemmi.spacegroup_table():
        operations = setting_operations(setting)
        system = setting.crystal_system_str()
        assert crystal_system(operations) == system, setting.xhm()
        letter, words = setting.hm[0], [("_space_group_crystal_system", system)]
        words += [("_space_group_centring_type", letter), ("_space_group_Laue_class", setting.laue_str())]
        words += [("_space_group_point_group_H-M", setting.point_group_hm())]
        check_words(words, [operations], stated=True, name="x")


def test_symbols_of_schoenflies_count_the_space_groups_of_a_point_group() -> None:
    symbols = {
        "C_1^1": 1,
        "Ci^1": 2,
        "C2h^5": 14,
        "C2h-5": 14,
        "D2h.16": 62,
        "D_{6h}^4": 194,
        "T_d^2": 216,
        "O_h^7": 227,
        "Oh^10": 230,
    }
    assert {symbol: schoenflies_number(symbol) for symbol in symbols} == symbols
    assert [schoenflies_number(symbol) for symbol in ("Oh^11", "O_h", "X^1", "C2h5", "C_1^2", "")] == [None] * 6


@pytest.mark.parametrize(
    "operation",
    ["-X,-Y,-Z", "-1*x, -1*y, -1*z", "\t-x ,\t- y,-z", "1-x,1-y,1-z", "-x+1.0,-y-0.0,-z", '" -x, -y, -z "', "-x+1/2-1/2,-y,-z"],
)
def test_an_operation_is_read_in_any_spelling(operation: str) -> None:
    quoted = operation if operation.startswith('"') else f"'{operation}'"
    text = ORTHOGONAL + f"loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n{quoted}\n" + SITES
    assert same(read_cif(text), read_cif(ORTHOGONAL + listed("P -1") + SITES))


@pytest.mark.parametrize(
    "operation", ["x,x,z", "x,y,0", "0.5x,y,z", "1/2x,y,z", "x-x,y,z", "-x,-y", "-x,-y,-z,+1", "-a,-b,-c", "i"]
)
def test_an_operation_that_is_none_is_refused(operation: str) -> None:
    assert code_of(ORTHOGONAL + f"loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n'{operation}'\n" + SITES) == "bad-symmetry"


@pytest.mark.parametrize(("code", "setting"), [("b", "P 1 21 1"), ("B", "P 1 21 1"), (":c", "P 1 1 21")])
def test_a_code_of_the_axes_chooses_the_unique_one(code: str, setting: str) -> None:
    text = ORTHOGONAL + f"_space_group_IT_number 4\n_space_group_IT_coordinate_system_code {code}\n" + SITES
    assert same(read_cif(text), read_cif(ORTHOGONAL + listed(setting) + SITES))


def test_the_codes_of_a_group_of_three_cell_choices_stay_apart() -> None:
    text = UNIQUE_B + "_space_group_IT_number 14\n_space_group_IT_coordinate_system_code CODE\n" + SITES
    for code, setting in (("b1", "P 1 21/c 1"), ("b2", "P 1 21/n 1"), ("b3", "P 1 21/a 1")):
        assert same(read_cif(text.replace("CODE", code)), read_cif(UNIQUE_B + listed(setting) + SITES))


@pytest.mark.parametrize(
    ("name", "lengths", "angles"),
    [
        ("P 6/m m m", (2.46, 2.46, 30.0), (90, 90, 90)),
        ("P 4/m m m", (3.0, 4.0, 50.0), (90, 90, 90)),
        ("P 1 21/c 1", (3.0, 4.0, 25.0), (90, 90, 100)),
        ("P 1 21/c 1", (30.0, 3.0, 4.0), (95, 90, 90)),
        ("P m m m", (3.0, 3.3, 20.0), (90, 90, 95)),
        ("P 3 m 1", (3.2, 3.2, 30.0), (90, 90, 110)),
    ],
)
def test_a_group_that_does_not_fit_the_short_axes_of_a_long_cell_is_refused(
    name: str, lengths: tuple[float, float, float], angles: tuple[float, float, float]
) -> None:
    assert not gemmi.UnitCell(*lengths, *angles).is_compatible_with_spacegroup(gemmi.SpaceGroup(name))
    assert code_of(cell(*lengths, *angles) + f"_symmetry_space_group_name_H-M '{name}'\n" + SITES) == "bad-symmetry"


@pytest.mark.parametrize("c", [15.0, 25.0, 60.0])
@pytest.mark.parametrize("stated", ["_symmetry_space_group_name_H-M 'P 2/m'", "_symmetry_Int_Tables_number 10"])
def test_an_oblique_layer_in_a_long_cell_has_its_axis_along_it(stated: str, c: float) -> None:
    oblique = cell(3.0, 4.0, c, gamma=100)
    crystal = read_cif(oblique + stated + "\n" + SITES)
    assert same(crystal, read_cif(oblique + listed("P 1 1 2/m") + SITES))
    assert crystal.notes == ()
