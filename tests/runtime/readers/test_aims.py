"""The geometry of FHI-aims, with ASE as the writer."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.readers import format_of, read_aims, to_crystal

TEXT = """# caesium chloride, sheared
lattice_vector 4.0 0.0 0.0
lattice_vector 0.0 4.0 0.0
  lattice_vector 0.5 0.0 4.0
atom 0.0 0.0 0.0 Cs
  initial_moment 1.0
atom_frac 0.5 0.5 0.5 Cl  # in the middle
"""


def test_a_geometry_is_read() -> None:
    crystal = read_aims(TEXT)
    assert crystal.symbols == ("Cs", "Cl")
    assert np.allclose(crystal.lattice, [[4, 0, 0], [0, 4, 0], [0.5, 0, 4]])
    assert np.allclose(crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert np.allclose(read_aims(TEXT.replace("atom_frac 0.5 0.5 0.5", "atom 2.25 2 2")).frac_coords[1], 0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("geometry.in", "aims"), ("NaCl.geometry.in", "aims"), ("geometry.in.next_step", "aims"), ("control.in", None)],
)
def test_it_is_known_by_its_name(name: str, expected: str | None) -> None:
    assert format_of(name) == expected


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (TEXT, " ", "empty-file"),
        ("lattice_vector 0.0 4.0 0.0\n", "", "not-periodic"),
        ("lattice_vector", "vector", "not-periodic"),
        ("0.5 0.0 4.0", "0.5 x 4.0", "aims-syntax"),
        ("0.0 0.0 0.0 Cs", "0.0 0.0 0.0", "aims-syntax"),
        ("atom 0.0", "empty 0.0", "aims-syntax"),
        ("atom_frac", "Atom_frac", "aims-syntax"),
        ("atom_frac", "atom_fract", "aims-syntax"),
        ("  lattice_vector", "latice_vector", "aims-syntax"),
        ("Cs", "X", "unknown-species"),
        ("atom_frac 0.5 0.5 0.5", "atom_frac 0 0 0.01", "overlapping-atoms"),
    ],
)
def test_what_is_wrong_has_a_code(old: str, new: str, code: str) -> None:
    with pytest.raises(InputError, match=r"^geometry\.in: ") as caught:
        read_aims(TEXT.replace(old, new) if code == "not-periodic" else TEXT.replace(old, new, 1), name="geometry.in")
    assert caught.value.code == code


def test_what_places_nothing_is_passed_over() -> None:
    more = "constrain_relaxation .true.\nvelocity 0 0 1\nsymmetry_n_params 1 1 0\nhessian_block_lv_atom 1 1\ntrust_radius 0.2\n"
    assert read_aims(TEXT + more + "# atom 0 0 0 Br\n\nhomogeneous_field 0 0 0.1\n").symbols == ("Cs", "Cl")


@pytest.mark.parametrize("scaled", [True, False])
def test_ase_writes_what_we_read(tmp_path: Path, examples: Path, scaled: bool) -> None:
    ase = pytest.importorskip("ase")
    io = pytest.importorskip("ase.io")
    for example in sorted(examples.glob("*.vasp")):
        crystal = to_crystal(example)
        atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that this part of ASE becomes a plug-in
            io.write(tmp_path / "geometry.in", atoms, format="aims", scaled=scaled)
        again = to_crystal(tmp_path / "geometry.in")
        assert again.symbols == crystal.symbols
        assert np.allclose(again.lattice, crystal.lattice, rtol=0.0, atol=1e-6)
        assert np.allclose(again.frac_coords, crystal.frac_coords, rtol=0.0, atol=1e-6)
