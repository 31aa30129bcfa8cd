"""A centre of inversion takes each atom to one of its kind; what is not quite symmetric has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.symmetry.inversion import Inversion, inversions_of
from bandrt.symmetry.standard_cell import StandardCell, standardize
from bandrt_export.parity import packaged_crystals
from tests.support.other_cells import changed_at_once

CENTRED = frozenset((
    2, *range(10, 16), *range(47, 75), *range(83, 89), *range(123, 143), 147, 148, *range(162, 168), 175, 176, *range(191, 195),
    *range(200, 207), *range(221, 231),
))  # fmt: skip
"""Space groups with a centre of inversion, of the International Tables."""
SAME_PLACE = 1e-5
"""Å."""


@pytest.fixture(scope="module")
def cells() -> list[StandardCell]:
    return [standardize(crystal) for crystal in packaged_crystals()]


def miss(cell: StandardCell, inversion: Inversion) -> float:
    """How far inversion takes atoms from their partners, Å at most."""
    frac = cell.crystal.frac_coords
    twice = frac + frac[inversion.partner] + inversion.image  # that of the centre, for each atom
    return float(np.linalg.norm((twice - twice[0]) @ cell.crystal.lattice, axis=1).max())


def test_centres_are_those_of_the_space_group(cells: list[StandardCell]) -> None:
    found = inversions_of(cells)
    assert [one is not None for one in found] == [cell.space_group in CENTRED for cell in cells]
    assert {one is None for one in found} == {True, False}
    for cell, one in zip(cells, found, strict=True):
        if one is not None:
            numbers, atoms = cell.crystal.atomic_numbers, np.arange(cell.crystal.n_atoms)
            np.testing.assert_array_equal(numbers[one.partner], numbers)
            np.testing.assert_array_equal(one.partner[one.partner], atoms)
            np.testing.assert_array_equal(one.image[one.partner], one.image)
            assert miss(cell, one) < SAME_PLACE
            assert (one.partner.dtype.name, one.image.dtype.name) == ("int32", "int32")


def test_many_cells_give_what_each_gives_alone(cells: list[StandardCell]) -> None:
    for cell, one in zip(cells, inversions_of(cells), strict=True):
        [alone] = inversions_of([cell])
        assert (one is None) is (alone is None)
        if one is not None and alone is not None:
            np.testing.assert_array_equal(one.partner, alone.partner)
            np.testing.assert_array_equal(one.image, alone.image)
    assert inversions_of([]) == []


def test_another_description_of_a_crystal_has_a_centre_as_well(cells: list[StandardCell]) -> None:
    rng = np.random.default_rng(3)
    for crystal, cell in zip(packaged_crystals(), cells, strict=True):
        if crystal.n_atoms <= 8:
            other = standardize(changed_at_once(crystal, rng))
            [found] = inversions_of([other])
            assert (found is not None) is (cell.space_group in CENTRED)
            assert found is None or miss(other, found) < SAME_PLACE


def test_an_atom_out_of_place_costs_its_crystal_the_centre_and_no_other(cells: list[StandardCell]) -> None:
    centred = [cell for cell in cells if cell.twice_centre is not None and cell.crystal.n_atoms > 2][:3]
    ideal = centred[1].crystal
    coords = ideal.frac_coords.copy()
    coords[0] += 1e-4
    moved = replace(centred[1], crystal=Crystal(ideal.lattice, ideal.atomic_numbers, coords))
    found = inversions_of([centred[0], moved, centred[2]])
    assert [one is not None for one in found] == [True, False, True]
