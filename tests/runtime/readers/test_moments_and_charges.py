"""Moments and net charges that files and objects give are told by each reader; pymatgen and ASE write most of the files."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

from bandrt.domain import of_reading
from bandrt.readers import read_aims, read_espresso, read_extxyz, read_json, read_res, to_crystal
from bandrt.readers.charges import charge_dropped, charges_of_atoms
from bandrt.readers.moments import is_moment, moments_of_sites

MOMENT, CHARGE = ("moments-dropped:Fe1",), ("charge-dropped:+1",)


def test_sites_are_named_by_element_and_place_and_five_at_most() -> None:
    assert moments_of_sites([26, 8, 25], [[4.0, 0.0, -4.0]]) == ("moments-dropped:Fe1/Mn3",)
    assert moments_of_sites([26] * 6, [[1.0] * 6]) == ("moments-dropped:Fe1/Fe2/Fe3/Fe4/Fe5/...",)
    assert moments_of_sites([26, 8], [[0.0, 0.0]], total=2.0) == ("moments-dropped:cell",)
    assert moments_of_sites([26], []) == ()


def test_moments_that_were_computed_count_before_those_begun_with() -> None:
    assert moments_of_sites([26], [[0.0], [5.0]]) == ()
    assert moments_of_sites([26], [None, [5.0]]) == MOMENT


@pytest.mark.parametrize("value", [5, -0.6, "3.0", [0, 0, 2], ["0", "0.5", "0"], np.array([0.1, 0, 0]), {"moment": [0, 1, 0]}])
def test_numbers_texts_and_vectors_are_moments(value: Any) -> None:
    assert is_moment(value)


@pytest.mark.parametrize(
    "value", [0, -0.0, 0.009, None, "", "T", "nan", float("nan"), [0, 0, 0], [None, 1], [[1], 2], {}, {"moment": {}}]
)
def test_zero_residues_of_a_computation_and_what_is_no_number_are_none(value: Any) -> None:
    assert not is_moment(value)


def test_a_charge_is_written_with_its_sign() -> None:
    assert charge_dropped(1.0) == CHARGE
    assert charge_dropped("-0.5") == ("charge-dropped:-0.5",)
    assert charges_of_atoms(None, [1.0, 2.0, -2.0]) == CHARGE
    assert of_reading(("spin-orbit:Pb", *CHARGE)) == CHARGE


@pytest.mark.parametrize("charge", [None, 0, -0.0, 1e-12, "T", "", "nan", float("inf"), True, [1, 2], "1 2"])
def test_zero_and_what_is_no_number_are_no_charge(charge: Any) -> None:
    assert charge_dropped(charge) == ()


def test_what_rounding_leaves_of_a_sum_is_no_charge() -> None:
    rounded = [2.67] * 3 + [-2.0] * 4
    assert charges_of_atoms(None, rounded) == ()
    assert charges_of_atoms(None, [2.67] * 300 + [-2.0] * 400 + [1.0]) != ()
    assert charges_of_atoms(0.0, [1.0]) == ()
    assert charges_of_atoms(None, ["x"]) == charges_of_atoms(None, None) == charges_of_atoms(None, [float("nan")]) == ()


def structure(species: tuple[Any, Any] = ("Fe", "O"), **options: Any) -> Any:
    core = pytest.importorskip("pymatgen.core")
    return core.Structure(4.2 * np.eye(3), list(species), [[0, 0, 0], [0.5, 0.5, 0.5]], **options)


def notes_of(found: Any) -> tuple[str, ...]:
    """Those of a structure, which are the same in memory, as its dictionary and as its JSON."""
    from monty.json import MontyEncoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a charge that is not the sum of the oxidation states
        document = found.as_dict()
    written = json.dumps(document, cls=MontyEncoder)
    crystals = (
        to_crystal(found),
        to_crystal(document),
        read_json(written),
        read_json(json.dumps({"structure": document}, cls=MontyEncoder)),
    )
    assert len({crystal.notes for crystal in crystals}) == 1
    return crystals[0].notes


@pytest.mark.parametrize(
    ("moments", "told"),
    [([5.0, 0.0], True), ([[0, 0, 1.0], [0, 0, 0]], True), ([1, None], True), ([0.0, -0.0], False), ([0.001, 0.0], False)],
)
def test_moments_of_sites_of_pymatgen_are_told(moments: list[Any], told: bool) -> None:
    assert notes_of(structure(site_properties={"magmom": moments})) == (MOMENT if told else ())


def test_moments_of_other_makes_of_pymatgen_are_told() -> None:
    core, electronic = pytest.importorskip("pymatgen.core"), pytest.importorskip("pymatgen.electronic_structure.core")
    assert notes_of(structure((core.Species("Fe", 2, spin=5), core.Species("O", -2)))) == MOMENT
    assert notes_of(structure(site_properties={"magmom": [electronic.Magmom([0, 0, 3]), electronic.Magmom(0)]})) == MOMENT
    assert notes_of(structure(site_properties={"magmom": [5.0, 0.0], "final_magmom": [0.0, 0.0]})) == ()
    document = structure().as_dict()
    document["sites"][0]["species"][0]["properties"] = {"spin": 5}
    assert to_crystal(document).notes == MOMENT
    document["sites"][0]["properties"] = document["sites"][0]["species"][0]["properties"] = None
    assert to_crystal(document).notes == ()


def test_a_charge_of_pymatgen_is_told() -> None:
    assert notes_of(structure()) == ()
    assert notes_of(structure(charge=0)) == ()
    assert notes_of(structure(charge=1)) == CHARGE
    assert notes_of(structure(("Fe2+", "O2-"))) == ()
    assert notes_of(structure(("Fe2+", "O2-"), charge=1)) == CHARGE


def test_oxidation_states_that_do_not_balance_are_a_charge_unless_they_are_rounded() -> None:
    """`Structure.charge` is their sum where nothing else is stated, and stands in its dictionary."""
    assert notes_of(structure(("Fe3+", "O2-"))) == CHARGE
    document = structure(("Fe3+", "O2-")).as_dict()
    assert to_crystal({key: value for key, value in document.items() if key != "charge"}).notes == ()
    core = pytest.importorskip("pymatgen.core")
    sites = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0.2, 0.2, 0.5], [0.7, 0.2, 0.5], [0.2, 0.7, 0.5], [0.7, 0.7, 0.5]]
    assert notes_of(core.Structure(6.0 * np.eye(3), ["Fe2.67+"] * 3 + ["O2-"] * 4, sites)) == ()


def xyz(properties: str, *rows: str, said: str = "") -> str:
    lines = [f"{len(rows)}", f'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3{properties} {said}', *rows]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("column", ["magmoms", "initial_magmoms", "magmom", "MAGMOMS"])
def test_moments_in_columns_of_extended_xyz_are_told(column: str) -> None:
    assert read_extxyz(xyz(f":{column}:R:1", "Fe 0 0 0 5", "O 2 2 2 0")).notes == MOMENT
    assert read_extxyz(xyz(f":{column}:R:3", "Fe 0 0 0 0 0 1", "O 2 2 2 0 0 0")).notes == MOMENT
    assert read_extxyz(xyz(f":{column}:R:1", "Fe 0 0 0 0.0", "O 2 2 2 nan")).notes == ()


def test_what_a_comment_line_and_charges_of_extended_xyz_say_is_told() -> None:
    rows = ("Fe 0 0 0 1", "O 2 2 2 0")
    assert read_extxyz(xyz(":initial_charges:R:1", *rows)).notes == CHARGE
    assert read_extxyz(xyz(":initial_charges:R:1", *rows, said="charge=0")).notes == ()
    assert read_extxyz(xyz(":forces:R:1", *rows)).notes == ()
    for said in ("charge=1", "charge=1.0", "Charge=+1", 'total_charge="1"'):
        assert read_extxyz(xyz("", *rows, said=said)).notes == CHARGE
    assert read_extxyz(xyz("", *rows, said="charge=0 magmom=0.0")).notes == ()
    assert read_extxyz(xyz("", *rows, said="charge")).notes == ()
    assert read_extxyz(xyz("", *rows, said="magmom=2.0")).notes == ("moments-dropped:cell",)


def test_moments_and_charges_of_atoms_of_ase_are_told() -> None:
    ase = pytest.importorskip("ase")
    calculators = pytest.importorskip("ase.calculators.singlepoint")
    cell: dict[str, Any] = {"cell": [4.2] * 3, "scaled_positions": [[0] * 3, [0.5] * 3], "pbc": True}
    assert to_crystal(ase.Atoms("FeO", **cell)).notes == ()
    assert to_crystal(ase.Atoms("FeO", magmoms=[5, 0], charges=[2, -1], **cell)).notes == (*MOMENT, *CHARGE)
    assert to_crystal(ase.Atoms("FeO", magmoms=[[0, 1, 0], [0, 0, 0]], charges=[2, -2], **cell)).notes == MOMENT
    assert to_crystal(ase.Atoms("FeO", info={"charge": 1}, **cell)).notes == CHARGE
    computed = ase.Atoms("FeO", magmoms=[5, 0], **cell)
    computed.calc = calculators.SinglePointCalculator(computed, magmoms=[0.0, 0.0])
    assert to_crystal(computed).notes == ()
    computed.calc = calculators.SinglePointCalculator(computed, magmoms=[3.0, 0.0], magmom=3.0)
    assert to_crystal(computed).notes == MOMENT


PWX = """&SYSTEM
  ibrav = 1, celldm(1) = 8.0, nat = 2, ntyp = 2, {}
/
ATOMIC_SPECIES
Fe 55.8 Fe.UPF
O 16.0 O.UPF
ATOMIC_POSITIONS crystal
O 0 0 0
Fe 0.5 0.5 0.5
"""


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("nspin = 2, starting_magnetization(1) = 0.01", "moments-dropped:Fe2"),
        ("noncolin = .true., starting_magnetization( 1 ) = -5.0d-1", "moments-dropped:Fe2"),
        ("nspin = 2, starting_magnetization = 0.0, 0.3", "moments-dropped:O1"),
        ("nspin = 2, starting_magnetization = 2*0.5", "moments-dropped:O1/Fe2"),
        ("nspin = 2", "moments-dropped:cell"),
        ("nspin = 2, starting_magnetization(1) = 0, tot_magnetization = 2", "moments-dropped:cell"),
        ("nspin = 2, starting_magnetization(1) = 0.0", ""),
        ("nspin = 1", ""),
        ("noncolin = .true., lspinorb = .true.", ""),
        ("tot_charge = 1.d0", "charge-dropped:+1"),
        ("tot_charge = -0.01", "charge-dropped:-0.01"),
        ("tot_charge = 0.0", ""),
        ("tot_charge = @charge@, starting_magnetization(1) = @moment@", ""),
    ],
)
def test_what_an_input_of_pwx_says_is_told(said: str, note: str) -> None:
    assert read_espresso(PWX.format(said)).notes == ((note,) if note else ())


def test_initial_moments_and_charges_of_aims_are_told() -> None:
    vectors = "".join(f"lattice_vector {row}\n" for row in ("4 0 0", "0 4 0", "0 0 4"))
    text = vectors + "atom 0 0 0 Fe\n initial_moment {}\n initial_charge {}\natom 2 2 2 O\n initial_charge -2\n"
    assert read_aims(text.format(4.0, 3)).notes == (*MOMENT, *CHARGE)
    assert read_aims(text.format(0.0, 2)).notes == read_aims(text.format("", 2)).notes == ()


def test_the_spin_of_a_file_of_airss_is_told() -> None:
    text = (
        "TITL FeO-1 0.01 44.8 -1280.5 {} 2 (P1) n - 3\nCELL 1.5 4 4 4.2 90 90 90\nLATT -1\nSFAC Fe O\n"
        "Fe 1 0 0 0 1.0{}\nO 2 0.5 0.5 0.5 1.0 0.0\nEND\n"
    )
    assert read_res(text.format("0.0 3.9", " 3.5")).notes == MOMENT
    assert read_res(text.format("2.0 3.9", "")).notes == ("moments-dropped:cell",)
    assert read_res(text.format("0.0 0.0", " 0.05")).notes == ()
    assert read_res(text.format("0.0 3.9", " 0.05").replace("n - 3", "")).notes == ()
