"""Limits at the door: what is too large for any crystal is refused by a code, in every format, before native code sees it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from bandrt import limits
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.limits import MAX_ATOMS, MAX_FRACTION, MAX_VECTOR, BoundedLines
from bandrt.readers import parse
from bandrt.readers.text import whole_number
from bandrt.sources import find
from tests.support.cif_texts import cif_cell, cif_sites

CUBE = 4.0 * np.eye(3)
POSCAR = "GaAs\n{scale}\n0 2.8 2.8\n2.8 0 2.8\n2.8 2.8 0\nGa As\n{counts}\nDirect\n0 0 0\n{x} 0.25 0.25\n"
XYZ = '{n}\nLattice="{a} 0 0 0 4 0 0 0 4" Properties={species}:1:pos:R:3 pbc="T T T"\n{z} 0 0 0\n'
CIF = (
    "data_a\n"
    + cif_cell("{a}", 4, 4)
    + "_symmetry_space_group_name_H-M 'P 1'\n"
    + cif_sites("Si {x} 0 0", columns=("type_symbol", "fract_x", "fract_y", "fract_z"))
)


@pytest.mark.parametrize(
    ("lattice", "coords", "code"),
    [
        (np.diag([2.0 * MAX_VECTOR, 4.0, 4.0]), [[0, 0, 0]], "lattice-too-large"),
        (np.diag([1e300, 1e300, 1e300]), [[0, 0, 0]], "lattice-too-large"),
        (np.diag([900.0, 900.0, 900.0]), [[0, 0, 0]], "lattice-too-large"),
        (CUBE, [[2.0 * MAX_FRACTION, 0, 0]], "coordinate-too-large"),
        (CUBE, [[0, -1e308, 0]], "coordinate-too-large"),
        (CUBE, [[0, np.inf, 0]], "bad-coordinates"),
        (np.diag([np.inf, 4.0, 4.0]), [[0, 0, 0]], "bad-lattice"),
        (np.diag([1e-300, 4.0, 4.0]), [[0, 0, 0]], "bad-lattice"),
    ],
)
def test_numbers_beyond_any_crystal_are_refused(lattice: object, coords: object, code: str) -> None:
    with pytest.raises(InputError, match=r"^a\.cif: ") as caught:
        Crystal.checked(lattice, [14], coords, name="a.cif")
    assert caught.value.code == code


def test_numbers_at_the_limits_are_taken() -> None:
    crystal = Crystal.checked(np.diag([MAX_VECTOR, 4.0, 4.0]), [14], [[MAX_FRACTION, 0, 0]])
    assert crystal.n_atoms == 1


def test_more_atoms_than_any_cell_has_are_refused_before_their_distances_are_computed() -> None:
    with pytest.raises(InputError) as caught:
        Crystal.checked(1000.0 * np.eye(3), [14] * (MAX_ATOMS + 1), np.zeros((MAX_ATOMS + 1, 3)))
    assert caught.value.code == "too-many-atoms"


@pytest.mark.parametrize(
    ("text", "file_format", "code"),
    [
        (POSCAR.format(scale="1", counts="1 " + "9" * 5000, x="0.25"), "poscar", "number-too-large"),
        (POSCAR.format(scale="1", counts="1 1", x="1e308"), "poscar", "coordinate-too-large"),
        (POSCAR.format(scale="1e200", counts="1 1", x="0.25"), "poscar", "lattice-too-large"),
        (POSCAR.format(scale="-1e308", counts="1 1", x="0.25"), "poscar", "lattice-too-large"),
        (POSCAR.format(scale="-1e-308", counts="1 1", x="0.25"), "poscar", "bad-lattice"),
        (POSCAR.format(scale="1", counts="1 1", x="0.25").replace("2.8", "1e200"), "poscar", "lattice-too-large"),
        (XYZ.format(n="9" * 5000, a="4", species="species:S", z="Si"), "extxyz", "number-too-large"),
        (XYZ.format(n="99999999", a="4", species="species:S", z="Si"), "extxyz", "too-many-atoms"),
        (XYZ.format(n="1", a="1e10", species="species:S", z="Si"), "extxyz", "lattice-too-large"),
        (XYZ.format(n="1", a="4", species="Z:I", z="9" * 5000), "extxyz", "number-too-large"),
        (XYZ.format(n="1", a="4", species="Z:I", z="99999999999"), "extxyz", "unknown-species"),
        (CIF.format(a="1e30", x="0"), "cif", "lattice-too-large"),
        (CIF.format(a="4", x="1e30"), "cif", "coordinate-too-large"),
        ("CRYSTAL\nPRIMVEC\n4 0 0\n0 4 0\n0 0 4\nPRIMCOORD\n" + "9" * 5000 + " 1\n14 0 0 0\n", "xsf", "number-too-large"),
        ("CRYSTAL\nPRIMVEC\n4 0 0\n0 4 0\n0 0 4\nPRIMCOORD\n1 1\n" + "9" * 5000 + " 0 0 0\n", "xsf", "number-too-large"),
        ("lattice_vector 1e20 0 0\nlattice_vector 0 4 0\nlattice_vector 0 0 4\natom_frac 0 0 0 Si\n", "aims", "lattice-too-large"),
    ],
)
def test_every_format_refuses_what_is_too_large_by_a_code(text: str, file_format: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, file_format)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert len(caught.value.message) < 400


def test_a_count_is_read_whatever_zeros_stand_before_it() -> None:
    assert whole_number("0" * 5000 + "12", "atoms", name="a") == 12


def test_a_line_that_never_ends_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CRYSTAL_BYTES", 10)
    stream = io.StringIO("short\n" + "x" * 1000)
    bounded = BoundedLines(stream)
    lines = iter(bounded)
    assert next(lines) == "short\n"
    bounded.restart()
    with pytest.raises(InputError) as caught:
        next(lines)
    assert caught.value.code == "too-large"
    assert stream.tell() < 30


def test_a_row_of_many_lines_is_refused_when_it_is_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "MAX_CRYSTAL_BYTES", 100)
    (tmp_path / "a.csv").write_text('id,cif\na,"' + "line\n" * 50 + '"\n')
    (source,) = find(tmp_path / "a.csv")
    with pytest.raises(InputError) as caught:
        source.read()
    assert caught.value.code == "too-large"


def test_an_id_of_ten_thousand_characters_or_half_a_character_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "\\ud800x", "cif": "data_"}\n{"id": "' + "y" * 10_000 + '", "cif": "data_"}\n')
    assert [len(source.id) for source in find(tmp_path / "a.jsonl")] == [len(r"\ud800x"), 10_000]
