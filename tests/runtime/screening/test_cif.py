"""A crystal that is written as a CIF is the crystal that is read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.readers import read_cif
from bandrt.screening.cif import cif_text


def test_every_example_is_read_again_as_it_was(examples: Path) -> None:
    for path in sorted(examples.glob("*.cif")):
        crystal = read_cif(path.read_text(encoding="utf-8"), name=path.name)
        again = read_cif(cif_text(crystal, name=path.stem), name=path.name)
        assert again.symbols == crystal.symbols
        assert again.volume == pytest.approx(crystal.volume, rel=1e-8)
        np.testing.assert_allclose(again.lattice @ again.lattice.T, crystal.lattice @ crystal.lattice.T, atol=1e-6)
        assert bandrt.featurize(again).space_group == bandrt.featurize(crystal).space_group


def test_a_left_handed_cell_does_not_become_its_mirror_image() -> None:
    lattice = np.array([[3.0, 0.1, 0.2], [0.3, 4.0, -0.2], [0.1, 0.4, 5.0]])
    coords = np.array([[0.0, 0.0, 0.0], [0.1, 0.3, 0.2], [0.4, 0.2, 0.7], [0.7, 0.6, 0.4]])
    numbers = [11, 17, 19, 35]
    right = Crystal.checked(lattice, numbers, coords)
    left = Crystal.checked(-lattice, numbers, -coords)  # the same atoms at the same places
    mirrored = Crystal.checked(lattice * [1, 1, -1], numbers, coords)
    read_right, read_left, read_mirrored = (read_cif(cif_text(one, name="a")) for one in (right, left, mirrored))
    np.testing.assert_allclose(read_right.frac_coords, coords, atol=1e-9)
    np.testing.assert_allclose(read_left.frac_coords, coords, atol=1e-9)
    np.testing.assert_allclose(
        read_mirrored.frac_coords, -coords % 1.0, atol=1e-9
    )  # the image of a cell by its centre is its mirror image
    assert all(np.linalg.det(one.lattice) > 0.0 for one in (read_right, read_left, read_mirrored))


@pytest.mark.parametrize("name", ["a b", "", "ü/\\", "_x", "a\nb"])
def test_any_name_makes_a_cif_that_can_be_read(name: str, examples: Path) -> None:
    crystal = read_cif((examples / "AlAs_mp-2172.cif").read_text(encoding="utf-8"))
    assert read_cif(cif_text(crystal, name=name)).formula == "AlAs"
