"""The text of a CIF: CIF 2.0, several blocks, signs that are not ASCII, and what stands twice."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.readers.cif2 import as_cif1
from tests.support.cif_texts import cif_cell, cif_sites

CELL = cif_cell("6.6")

SITES = cif_sites("K1 K 0 0 0", "Br1 Br 0.5 0.5 0.5")

NAME = "_space_group_name_H-M_alt 'F m -3 m'\n"
SALT = "data_KBr\n" + CELL + NAME + SITES


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_cif(text, name="bad.cif")
    return caught.value.code


def is_salt(crystal: Crystal) -> bool:
    return crystal.formula == "KBr" and crystal.n_atoms == 8 and np.allclose(crystal.lattice, 6.6 * np.eye(3))


@pytest.mark.parametrize(
    "item",
    [
        "_title '''it's\nlong'''",
        '_title """it\'s\nlong"""',
        "_list [1 2 [3 'a]b']]",
        "_table {'a':1 \"b\":[2 3]}",
        "_title 'plain'\n_list []\n_table {}",
        "loop_\n_list\n_title\n[1 2] 'a'\n[3\n4] b",
        "_text\n;\n[ unbalanced '\n;",
    ],
)
@pytest.mark.parametrize("magic", ["#\\#CIF_2.0\n", "", "\ufeff#\\#CIF_2.0\n"])
def test_the_syntax_of_cif_2_is_read(item: str, magic: str) -> None:
    assert is_salt(read_cif(magic + "data_KBr\n" + item + "\n" + CELL + NAME + SITES))


def test_triple_quotes_are_quotes_of_what_matters_too() -> None:
    text = "#\\#CIF_2.0\n" + SALT.replace("'F m -3 m'", "'''F m -3 m'''").replace("K1 K 0", '"""K1""" "K" 0')
    assert is_salt(read_cif(text))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SALT.replace("6.6\n_cell_length_b", "[6.6]\n_cell_length_b"), "bad-lattice"),
        (SALT.replace("0.5 0.5 0.5", "0.5 [0.5 1] 0.5"), "bad-coordinates"),
        (SALT.replace("Br1 Br", "Br1 [Br Cl]"), "unknown-species"),
        (SALT.replace("'F m -3 m'", "['F m -3 m']"), "bad-symmetry"),
        (SALT.replace(NAME, NAME + "_list [1 2\n"), "cif-syntax"),
        (SALT.replace(NAME, NAME + "_list 1] 2\n"), "cif-syntax"),
        (SALT.replace(NAME, NAME + "_title '''long\n"), "cif-syntax"),
    ],
)
def test_a_list_where_a_crystal_needs_one_value_is_refused(text: str, code: str) -> None:
    assert code_of("#\\#CIF_2.0\n" + text) == code


def test_a_value_of_cif_2_that_runs_into_the_next_is_no_cif() -> None:
    assert as_cif1("data_x\n_a 'b'c\n") is None
    assert as_cif1("data_x[1]\n_a 'b' # [\n") == "data_x[1]\n_a 'b' # [\n"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("_a [[b ' '] [{'c':d}\n]]\n_e f\n", "_a '[...]' \n_e f\n"),
        ("_a [b]\n;text [\n;\n", "_a '[...]' \n;text [\n;\n"),
        ("_a b\n;c 'd\n;\n_e f'g data_[\n", "_a b\n;c 'd\n;\n_e f'g data_[\n"),
        ("_a ;b\n", "_a ;b\n"),
        ("_a [b]]\n", None),
        ("_a [[b]\n", None),
    ],
)
def test_only_what_stands_in_brackets_of_cif_2_is_left_out(text: str, read: str | None) -> None:
    assert as_cif1(text) == read


def test_more_parts_than_a_crystal_has_are_no_cif_2_but_words_may_be_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.readers.cif2._MOST_TOKENS", 30)
    assert as_cif1("_a b c\n" * 1000) == "_a b c\n" * 1000
    assert as_cif1("_a " + "[" * 1000 + "]" * 1000) == "_a '[...]' "
    assert as_cif1("_a 'b'\n" * 10) == "_a 'b'\n" * 10
    assert as_cif1("_a 'b'\n" * 1000) is None


@pytest.mark.parametrize("end", ["\x1a", "\n\x1a\x1a", "\x00\x00\x00"])
def test_marks_of_the_end_of_a_file_are_no_obstacle(end: str) -> None:
    assert is_salt(read_cif(SALT + end))


@pytest.mark.parametrize("name", ["data_", "data_ ", "data_K Br", "global_\n_a 1\ndata_x", "data_[K][1]"])
def test_any_name_of_a_block_will_do(name: str) -> None:
    assert is_salt(read_cif(SALT.replace("data_KBr", name)))


def test_what_stands_in_a_save_frame_is_no_part_of_the_crystal() -> None:
    frame = "save_other\n_cell_length_a 1.0\n_space_group_name_H-M_alt 'P 1'\nsave_\n"
    assert is_salt(read_cif(SALT.replace("data_KBr\n", "data_KBr\n" + frame)))


def test_the_one_block_with_a_cell_and_atoms_is_the_crystal() -> None:
    assert is_salt(read_cif("data_powder\n" + SITES + SALT))
    assert is_salt(read_cif(SALT + "data_cell\n" + CELL))
    assert code_of(SALT + SALT.replace("data_KBr", "data_other")) == "several-blocks"
    assert code_of("data_a\n" + SITES + "data_b\n" + SITES) == "several-blocks"


@pytest.mark.parametrize("name", ["F m \u22123 m", "F m \u20133 m", "Fm3\u0305m", "F\u00a0m\u00a0-3\u00a0m"])
def test_typeset_names_of_space_groups_are_understood(name: str) -> None:
    assert is_salt(read_cif(SALT.replace("F m -3 m", name)))


def test_typeset_digits_and_fractions_are_understood() -> None:
    operations = "loop_\n_space_group_symop_operation_xyz\nx,y,z\n'\u2212x, \u2212y+\u00bd, z'\n"
    crystal = read_cif(SALT.replace(NAME, operations).replace(" Br ", " Br\u207b ").replace(" K ", " K\u207a "))
    assert crystal.n_atoms == 4


@pytest.mark.parametrize(("old", "new"), [("'F m -3 m'", "\u2124"), ("'F m -3 m'", "\u00e9"), (" Br ", " \u00e9 ")])
def test_a_letter_that_is_not_understood_does_not_say_that_nothing_is_known(old: str, new: str) -> None:
    assert code_of(SALT.replace(old, new)) in ("bad-symmetry", "unknown-species")


@pytest.mark.parametrize("empty", ["''", '""', "?", ".", "'?'", "\n;\n;"])
def test_an_empty_value_leaves_other_tags_to_speak(empty: str) -> None:
    assert is_salt(read_cif(SALT.replace(NAME, f"_symmetry_space_group_name_H-M {empty}\n{NAME}")))
