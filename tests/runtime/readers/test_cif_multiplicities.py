"""Multiplicities that a CIF states, beside those that its symmetry makes."""

from __future__ import annotations

import pytest

from bandrt.errors import InputError
from bandrt.readers import read_cif
from tests.support.cif_texts import COLUMNS, cif_cell, cif_sites

CELL = "data_x\n" + cif_cell("5.43")
LOOP = cif_sites(columns=(*COLUMNS[:2], "symmetry_multiplicity", *COLUMNS[2:]))


def salt(sodium: object, chlorine: object, symmetry: str = "'F m -3 m'") -> str:
    name = f"_space_group_name_H-M_alt {symmetry}\n"
    return CELL + name + LOOP + f"Na1 Na {sodium} 0 0 0\nCl1 Cl {chlorine} 0.5 0.5 0.5\n"


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_cif(text, name="bad.cif")
    return caught.value.code


@pytest.mark.parametrize(
    ("sodium", "chlorine"),
    [(4, 4), (48, 48), (1, 1), ("?", "."), (4, "?")],
    ids=["atoms of the cell", "orders of site symmetries", "ones", "nothing", "one of them"],
)
def test_multiplicities_that_fit_or_say_nothing_are_accepted(sodium: object, chlorine: object) -> None:
    assert read_cif(salt(sodium, chlorine)).n_atoms == 8


@pytest.mark.parametrize(("sodium", "chlorine"), [(4, 8), (24, 4), (4, 48), ("?", 24)])
def test_multiplicities_that_the_symmetry_does_not_make_are_refused(sodium: object, chlorine: object) -> None:
    assert code_of(salt(sodium, chlorine)) == "contradicting-symmetry"


def test_a_symmetry_that_was_lost_is_noticed() -> None:
    assert code_of(salt(4, 4, "'P 1'")) == "contradicting-symmetry"
    assert code_of(salt(4, 4, "?")) == "contradicting-symmetry"


def test_all_atoms_may_carry_the_multiplicity_of_their_site() -> None:
    rows = "Na1 Na 2 0 0 0\nNa2 Na 2 0.5 0.5 0\nCl1 Cl 2 0.5 0.5 0.5\nCl2 Cl 2 0 0 0.5\n"
    assert read_cif(CELL + "_space_group_name_H-M_alt 'P 1'\n" + LOOP + rows).n_atoms == 4


def test_a_multiplicity_tells_one_origin_from_the_other() -> None:
    diamond = CELL + "_space_group_name_H-M_alt 'F d -3 m'\n" + LOOP + "Si1 Si MANY 0.125 0.125 0.125\n"
    assert code_of(diamond.replace("MANY", "?")) == "ambiguous-symmetry"
    assert read_cif(diamond.replace("MANY", "8")).n_atoms == 8


def test_a_multiplicity_may_be_written_with_decimals() -> None:
    assert read_cif(salt("4.0", "4.")).n_atoms == 8
    assert code_of(salt("8.0", "4.0")) == "contradicting-symmetry"
    assert read_cif(salt("1.0", "1.0")).n_atoms == 8
    assert read_cif(salt("4.5", "many")).n_atoms == 8
