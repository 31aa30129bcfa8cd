"""POSCAR: every way VASP lets one be written, and round trips through a writer of our own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.readers import read_poscar

ROUND_TRIP_TOLERANCE = 1e-9
"""Fractional and Å: the writer gives 12 digits."""

DIRECT = """rutile-like
1.0
4.6 0.0 0.0
0.0 4.6 0.0
0.0 0.0 2.95
Ti O
1 2
Direct
0.0 0.0 0.0
0.3 0.3 0.0
0.7 0.7 0.0
"""


def code_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_poscar(text, name="POSCAR")
    assert caught.value.stage == "read"
    assert caught.value.message.startswith("POSCAR: ")
    return caught.value.code


def same(first: Crystal, second: Crystal) -> bool:
    return (
        bool(np.allclose(first.lattice, second.lattice, rtol=0.0, atol=ROUND_TRIP_TOLERANCE))
        and first.symbols == second.symbols
        and bool(np.allclose(first.frac_coords, second.frac_coords, rtol=0.0, atol=ROUND_TRIP_TOLERANCE))
    )


def written(crystal: Crystal, *, cartesian: bool, scale: str, selective: bool, velocities: bool) -> str:
    """A POSCAR of the crystal, whose atoms must be grouped by species."""
    unscaled = crystal.lattice.copy()
    if scale == "volume":
        factor, scale_line = np.ones(3), f"{-crystal.volume:.12f}"
    elif scale == "one":
        factor, scale_line = np.full(3, 1.7), "1.7"
    else:
        factor, scale_line = np.array([1.1, 0.9, 2.3]), "1.1 0.9 2.3"
    unscaled /= factor
    positions = crystal.frac_coords @ unscaled if cartesian else crystal.frac_coords
    symbols = list(dict.fromkeys(crystal.symbols))
    lines = ["comment", scale_line]
    lines += [" ".join(f"{value:.12f}" for value in row) for row in unscaled]
    lines += [" ".join(symbols), " ".join(str(crystal.symbols.count(symbol)) for symbol in symbols)]
    lines += ["Selective dynamics"] if selective else []
    lines += ["Cartesian" if cartesian else "Direct"]
    lines += [" ".join(f"{value:.12f}" for value in row) + (" T T F" if selective else "") for row in positions]
    lines += ["", *["0.1 0.2 0.3"] * crystal.n_atoms] if velocities else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "following",
    [
        DIRECT,
        f"\n{DIRECT}",
        DIRECT.replace("Ti O\n", ""),
        "Direct configuration=     2\n 0.1 0.0 0.0\n 0.3 0.3 0.0\n 0.7 0.7 0.0\n",
        *("\n".join(DIRECT.splitlines()[:n]) + "\n\n" for n in (3, 4, 5, 6)),
        DIRECT.replace("1 2", "10 20"),
    ],
)
def test_another_crystal_behind_the_first_is_not_passed_over(following: str) -> None:
    assert code_of(DIRECT + following) == "several-structures"


@pytest.mark.parametrize(
    "following",
    [
        "\n" + "0.1 0.2 0.3\n" * 3,
        "Cartesian\n" + "1 2 3\n" * 3,
        "remark\n",
        "remark\n1.0\n",
        "\nCartesian\n" + "1 2 3\n" * 2,
        "\n0.1 0.2 0.3\n",
        "Lattice velocities and vectors\n 1\n 0 0 0\n 0 0 0\n",
        "Lattice velocities and vectors\n 1\n" + "0 0 0\n" * 3 + "4 0 0\n0 4 0\n0 0 4\n",
        "\n" + "1 2 3\n" * 3 + "\n 1\n 0.5\n" + "0.1 0.2 0.3\n" * 9,
        "Lattice velocities and vectors\n 1\n"
        + "0.0 0.0 0.0\n" * 3
        + "4.6 0.0 0.0\n0.0 4.6 0.0\n0.0 0.0 2.95\n\n"
        + "0.1 0.2 0.3\n" * 3,
    ],
)
def test_velocities_are_no_other_crystal(following: str) -> None:
    assert same(read_poscar(DIRECT + following), read_poscar(DIRECT))


@st.composite
def crystals(draw: st.DrawFn) -> Crystal:
    """Atoms on a coarse grid of a sheared cell, grouped by species."""
    shear = [draw(st.floats(-1.0, 1.0)) for _ in range(3)]
    lattice = np.diag([draw(st.floats(3.0, 9.0)) for _ in range(3)]) + np.array(
        [[0, shear[0], shear[1]], [0, 0, shear[2]], [0, 0, 0]]
    )
    cells = draw(st.lists(st.integers(0, 26), min_size=1, max_size=8, unique=True))
    kinds = sorted(draw(st.lists(st.sampled_from([1, 8, 14, 26, 92]), min_size=len(cells), max_size=len(cells))))
    return Crystal.checked(lattice, kinds, np.array([[cell % 3, cell // 3 % 3, cell // 9] for cell in cells]) / 3.0)


@settings(max_examples=80, deadline=None)
@given(crystals(), st.booleans(), st.sampled_from(["one", "three", "volume"]), st.booleans(), st.booleans())
def test_what_is_written_is_read_back(crystal: Crystal, cartesian: bool, scale: str, selective: bool, velocities: bool) -> None:
    text = written(crystal, cartesian=cartesian, scale=scale, selective=selective, velocities=velocities)
    assert same(read_poscar(text), crystal)


@settings(max_examples=15, deadline=None)
@given(crystals(), st.booleans(), st.sampled_from(["one", "volume"]), st.booleans())
def test_pymatgen_reads_the_same(crystal: Crystal, cartesian: bool, scale: str, selective: bool) -> None:
    """Cartesian positions with a volume aside, which pymatgen multiplies by the volume, and VASP by the length factor."""
    scale = "one" if cartesian else scale
    vasp = pytest.importorskip("pymatgen.io.vasp")
    text = written(crystal, cartesian=cartesian, scale=scale, selective=selective, velocities=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure: Any = vasp.Poscar.from_str(text).structure
    ours = read_poscar(text)
    assert np.allclose(ours.lattice, structure.lattice.matrix, rtol=0.0, atol=ROUND_TRIP_TOLERANCE)
    assert np.allclose(ours.frac_coords, structure.frac_coords, rtol=0.0, atol=ROUND_TRIP_TOLERANCE)
    assert ours.symbols == tuple(site.specie.symbol for site in structure)


@pytest.mark.parametrize(
    "line", ["Ti_pv O", "Ti1 O2", "Ti_sv_GW O_s_GW", "Ti_sv O_s", "Ti_sv/4f8c1a2b3d O/0a1b2c3d4e", "Ti O ! rutile", "  Ti   O  "]
)
def test_symbols_may_carry_the_name_of_a_pseudopotential(line: str) -> None:
    assert same(read_poscar(DIRECT.replace("Ti O", line)), read_poscar(DIRECT))


@pytest.mark.parametrize("mode", ["direct", "D", "d", "Fractional"])
def test_direct_may_be_written_in_several_ways(mode: str) -> None:
    assert same(read_poscar(DIRECT.replace("Direct", mode)), read_poscar(DIRECT))


def test_fortran_numbers_and_other_line_ends_are_read() -> None:
    assert same(read_poscar(DIRECT.replace("4.6", "0.46D+1").replace("\n", "\r\n")), read_poscar(DIRECT))


def test_a_species_may_come_twice() -> None:
    text = DIRECT.replace("Ti O\n1 2", "O Ti O\n1 1 1")
    assert read_poscar(text).symbols == ("O", "Ti", "O")


def test_a_left_handed_cell_is_a_cell() -> None:
    assert read_poscar(DIRECT.replace("0.0 0.0 2.95", "0.0 0.0 -2.95")).volume == pytest.approx(4.6 * 4.6 * 2.95)


VASP4 = DIRECT.replace("Ti O\n", "")


def test_vasp4_symbols_come_from_an_unambiguous_comment() -> None:
    assert same(read_poscar(VASP4.replace("rutile-like", "Ti O")), read_poscar(DIRECT))


def ending(text: str, *ends: str) -> str:
    """The file with something behind each of its three positions."""
    *head, ti, first, second = text.splitlines()
    return "\n".join([*head, *(f"{row} {end}" for row, end in zip((ti, first, second), ends, strict=True))]) + "\n"


def test_vasp4_symbols_come_from_the_ends_of_the_position_lines() -> None:
    assert same(read_poscar(ending(VASP4, "Ti", "O", "O")), read_poscar(DIRECT))
    assert read_poscar(ending(VASP4, "Ca", "F", "F")).symbols == ("Ca", "F", "F")


def selective(text: str, line: str = "Selective dynamics") -> str:
    return text.replace("Direct", f"{line}\nDirect")


@pytest.mark.parametrize("line", ["Selective dynamics", "selective", "S", "  Selective Dynamics  "])
def test_symbols_stand_behind_the_flags_of_selective_dynamics(line: str) -> None:
    named = ending(selective(VASP4, line), "T T F Ti", "T F F O", "F F F O")
    assert same(read_poscar(named), read_poscar(DIRECT))
    assert read_poscar(ending(selective(VASP4, line), "T T T Ca", "F F F F", "T T T F")).symbols == ("Ca", "F", "F")
    assert same(read_poscar(ending(selective(DIRECT, line), "F F F", "T T T", ".FALSE. .TRUE. f")), read_poscar(DIRECT))


@pytest.mark.parametrize("flags", [("F F F",) * 3, ("T T F",) * 3, ("F",) * 3, ("T", "F", "F"), ("f", "f", "f"), ("F F",) * 3])
@pytest.mark.parametrize("line", ["", "Selective dynamics", "s"])
def test_flags_are_neither_fluorine_nor_tritium(flags: tuple[str, ...], line: str) -> None:
    assert code_of(ending(selective(VASP4, line) if line else VASP4, *flags)) == "unknown-species"
    named = VASP4.replace("rutile-like", "Ti O")
    assert same(read_poscar(ending(selective(named, line) if line else named, *flags)), read_poscar(DIRECT))
    assert same(read_poscar(ending(selective(DIRECT, line) if line else DIRECT, *flags)), read_poscar(DIRECT))


@pytest.mark.parametrize(
    "text",
    [
        ending(VASP4.replace("rutile-like", "O Ti"), "Ti", "O", "O"),
        ending(VASP4.replace("rutile-like", "Ti O"), "Ti", "O", "Ti"),
        ending(VASP4.replace("rutile-like", "Ti O"), "", "", "Ti"),
        ending(VASP4, "Ti", "O", "Ti"),
        ending(VASP4.replace("1 2", "3"), "Ti", "O", "O"),
        ending(DIRECT, "O", "Ti", "Ti"),
        ending(DIRECT, "Ti4+", "O2-", "N3-"),
        ending(selective(DIRECT), "T T T Ti", "T T T O", "T T T F"),
    ],
)
def test_species_that_are_named_twice_and_not_the_same_are_refused(text: str) -> None:
    assert code_of(text) == "species-mismatch"


@pytest.mark.parametrize("ends", [("Ti4+", "O2-", "O2-"), ("Ti1", "O1", "O2"), ("! corner", "", "# edge"), ("", "", "O")])
def test_species_that_are_named_twice_and_the_same_are_read(ends: tuple[str, ...]) -> None:
    assert same(read_poscar(ending(DIRECT, *ends)), read_poscar(DIRECT))


def test_vasp4_positions_of_which_some_are_named_do_not_name_the_species() -> None:
    assert code_of(ending(VASP4, "Ti", "O", "")) == "unknown-species"


def test_one_position_more_than_atoms_is_refused_and_velocities_are_not() -> None:
    assert code_of(DIRECT.replace("1 2", "1 1")) == "poscar-syntax"
    for tail in ("\n0.1 0.2 0.3\n" * 3, "\nCartesian\n0 0 0\n", "Lattice velocities and vectors\n 1\n 0 0 0\n", "   \n0 0 0\n"):
        assert same(read_poscar(DIRECT + tail), read_poscar(DIRECT))


@pytest.mark.parametrize("comment", ["rutile-like", "TiO2", "Ti", "Ti O Sr", "Ti X", "bulk O"])
def test_vasp4_without_clear_symbols_is_refused(comment: str) -> None:
    assert code_of(VASP4.replace("rutile-like", comment)) == "unknown-species"


@pytest.mark.parametrize("symbol", ["Vac", "X", "TI", "T1", "H.5", "H1.25", "TiO2"])
def test_what_is_no_element_is_refused(symbol: str) -> None:
    assert code_of(DIRECT.replace("Ti O", f"{symbol} O")) == "unknown-species"


@pytest.mark.parametrize("isotope", ["D", "T", "D_s"])
def test_isotopes_of_hydrogen_are_hydrogen(isotope: str) -> None:
    assert read_poscar(DIRECT.replace("Ti O", f"Ti {isotope}")).symbols == ("Ti", "H", "H")


def test_deuterium_of_vasp4_is_hydrogen() -> None:
    assert read_poscar(VASP4.replace("rutile-like", "Ti D")).symbols == ("Ti", "H", "H")
    assert read_poscar(ending(VASP4, "Ti", "D", "D")).symbols == ("Ti", "H", "H")


@pytest.mark.parametrize("end", range(len(DIRECT.splitlines())))
def test_a_file_cut_after_any_line_is_refused(end: int) -> None:
    assert code_of("\n".join(DIRECT.splitlines()[:end])) in ("poscar-syntax", "empty-file")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("1.0\n", "0\n", "poscar-syntax"),
        ("1.0\n", "one\n", "poscar-syntax"),
        ("1.0\n", "1 1 -1\n", "poscar-syntax"),
        ("1.0\n", "1 1\n", "poscar-syntax"),
        ("1.0\n", "1_0\n", "poscar-syntax"),
        ("1 2", "1 2 3", "poscar-syntax"),
        ("1 2", "1 2.5", "poscar-syntax"),
        ("1 2", "1 -2", "poscar-syntax"),
        ("1 2", "1 2000000000", "poscar-syntax"),
        ("1 2", "0 0", "no-atoms"),
        ("Direct\n", "", "poscar-syntax"),
        ("0.3 0.3 0.0", "0.3 ? 0.0", "poscar-syntax"),
        ("0.3 0.3 0.0", "0.3 nan 0.0", "poscar-syntax"),
        ("0.0 0.0 2.95", "0.0 4.6 0.0", "bad-lattice"),
        ("0.7 0.7 0.0", "0.3 0.3 0.0", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    assert code_of(DIRECT.replace(old, new, 1)) == code


def test_a_cell_without_volume_is_refused_however_it_is_scaled() -> None:
    flat = DIRECT.replace("0.0 0.0 2.95", "0.0 0.0 0.0")
    assert code_of(flat.replace("1.0\n", "-60\n", 1)) == "bad-lattice"
    assert code_of(flat.replace("Direct", "Cartesian")) == "bad-lattice"


def test_symbols_are_those_of_the_periodic_table() -> None:
    for number in (1, 57, 118):
        assert read_poscar(f"x\n1\n9 0 0\n0 9 0\n0 0 9\n{SYMBOLS[number]}\n1\nD\n0 0 0\n").atomic_numbers.tolist() == [number]


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_at_its_end_only(mark: str) -> None:
    assert same(read_poscar(DIRECT.replace("rutile-like", f"one{mark}two")), read_poscar(DIRECT))
    assert same(read_poscar(DIRECT.replace("\n", "\r")), read_poscar(DIRECT))


@pytest.mark.parametrize("mark", ["! ", "#", "!"])
def test_a_symbol_in_a_comment_behind_a_position_says_what_the_atom_is(mark: str) -> None:
    rows = DIRECT.replace("0.0 0.0 0.0\n0.3", f"0.0 0.0 0.0 {mark}Ti\n0.3").replace("0.7 0.7 0.0", f"0.7 0.7 0.0 {mark}O")
    assert same(read_poscar(rows), read_poscar(DIRECT))
    assert code_of(rows.replace(f"{mark}Ti", f"{mark}O")) == "species-mismatch"
    assert same(read_poscar(rows.replace(f"{mark}Ti", f"{mark}O site of the cation")), read_poscar(DIRECT))
