"""Magnetic CIFs: read as the crystal without its moments, with a warning that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

import bandrt
from bandrt.readers import format_of, read_cif, to_crystal
from bandrt.sources import find
from tests.support.cif_texts import cif_cell, cif_sites

MAGNETIC = (
    "data_MnO\n"
    + cif_cell("4.4")
    + """_space_group_magn.number_BNS "1.1"
_space_group_magn.name_BNS "P 1"
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
"""
    + cif_sites("Mn1 Mn 0 0 0", "Mn2 Mn 0.5 0.5 0", "O1 O 0.5 0 0", "O2 O 0 0.5 0")
    + """loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
_atom_site_moment.symmform
Mn1 0.0 0.0 4.6(1) 0,0,mz
Mn2 0.0 0.0 -4.6 0,0,mz
O1 0 0 0.0 0,0,0
"""
)


def test_dropped_moments_are_named() -> None:
    assert read_cif(MAGNETIC).notes == ("moments-dropped:Mn1/Mn2",)


def test_moments_that_are_none_are_not_mentioned() -> None:
    assert read_cif(MAGNETIC.replace("4.6(1)", "0").replace("-4.6", "?")).notes == ()


@pytest.mark.parametrize("tag", ["_atom_site_moment_crystalaxis", "_atom_site_moment_Cartn", "_atom_site_moment.spherical"])
def test_moments_in_other_axes_are_moments(tag: str) -> None:
    text = MAGNETIC.replace("_atom_site_moment.crystalaxis", tag).replace("_atom_site_moment.label", "_atom_site_moment_label")
    assert read_cif(text).notes == ("moments-dropped:Mn1/Mn2",)


def test_a_label_cannot_break_a_list_of_warnings() -> None:
    rows = "".join(f"'Mn {i}, x' 0 0 1 0\n" for i in range(9))
    [note] = read_cif(MAGNETIC.split("Mn1 0.0 0.0 4.6")[0] + rows).notes
    assert note == "moments-dropped:Mn_0__x/Mn_1__x/Mn_2__x/Mn_3__x/Mn_4__x/..."


@pytest.mark.parametrize("name", ["x.mcif", "x.MCIF", "x.mcif.gz", "x.mmcif"])
def test_magnetic_and_macromolecular_files_are_known_by_their_names(name: str) -> None:
    assert format_of(name) == "cif"


def test_a_magnetic_file_is_found_read_and_predicted_with_its_warning(tmp_path: Path) -> None:
    path = tmp_path / "MnO.mcif"
    path.write_text(MAGNETIC)
    [source] = find(tmp_path)
    assert source.read().notes == ("moments-dropped:Mn1/Mn2",)
    assert to_crystal(to_crystal(path)).notes == ("moments-dropped:Mn1/Mn2",)
    with bandrt.load() as engine:
        [of_path] = engine.predict(path)
        [of_crystal] = engine.predict(to_crystal(path))
        [of_source] = engine.predict([source])
    for result in (of_path, of_crystal, of_source):
        assert isinstance(result, bandrt.Prediction)
        assert "moments-dropped:Mn1/Mn2" in result.warnings


def test_a_file_that_says_nothing_of_its_symmetry_is_read_with_a_warning() -> None:
    lines = MAGNETIC.split("loop_\n_atom_site_moment")[0]
    start, end = lines.index("_space_group_magn.number"), lines.index("loop_\n_atom_site_label")
    silent = lines[:start] + lines[end:]
    assert read_cif(silent).notes == ("symmetry-not-stated",)
    stated = silent.replace("loop_", "_chemical_formula_sum 'Mn O'\n_cell_formula_units_Z 2\nloop_", 1)
    assert read_cif(stated).notes == ()
    assert read_cif(silent.replace("loop_", "_space_group_name_H-M_alt 'P 1'\nloop_", 1)).notes == ()
