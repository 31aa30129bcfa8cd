"""Cubic prototypes: what crystals have in common that differ in scale and elements alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.readers import to_crystal
from bandrt.symmetry.prototypes import prototype_of
from tests.support.other_cells import rotated

FACE_CENTRED = (np.ones((3, 3)) - np.eye(3)) / 2


def crystal(lattice: object, numbers: list[int], coords: object) -> Crystal:
    return Crystal(np.array(lattice, dtype=np.float64), np.array(numbers, dtype=np.int32), np.array(coords, dtype=np.float64))


MAGNESIA = crystal(4.21 * FACE_CENTRED, [12, 8], [[0, 0, 0], [0.5, 0.5, 0.5]])
PEROVSKITE = crystal(3.9 * np.eye(3), [38, 22, 8, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def test_crystals_that_differ_in_scale_and_elements_have_one_prototype() -> None:
    salt = crystal(5.64 * FACE_CENTRED, [17, 11], MAGNESIA.frac_coords)
    assert prototype_of(MAGNESIA) == prototype_of(salt) is not None
    moved = crystal(salt.lattice, [17, 11], [[0, 0, 0], [0.25, 0.25, 0.25]])
    assert prototype_of(moved) != prototype_of(salt)
    assert prototype_of(crystal(4.21 * np.eye(3), [12, 8], MAGNESIA.frac_coords)) != prototype_of(MAGNESIA)


def test_the_prototype_depends_on_neither_orientation_nor_order_nor_lattice_vectors() -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        turned = rotated(PEROVSKITE, rng)
        order = np.random.default_rng(seed).permutation(5)
        coords = turned.frac_coords[order] + rng.integers(-2, 3, (5, 3))
        assert prototype_of(Crystal(turned.lattice, turned.atomic_numbers[order], coords)) == prototype_of(PEROVSKITE)


def test_the_crystal_that_stands_for_a_prototype_has_it(examples: Path) -> None:
    prototypes = [prototype_of(to_crystal(path)) for path in examples.iterdir() if path.suffix in (".cif", ".vasp")]
    known = [prototype for prototype in prototypes if prototype]
    assert len(known) >= 4
    for prototype in known:
        stand_in = prototype.crystal()
        assert prototype_of(stand_in) == prototype
        assert np.linalg.det(stand_in.lattice) == pytest.approx(20.0 * stand_in.n_atoms)


@pytest.mark.parametrize(
    "other",
    [
        crystal(PEROVSKITE.lattice, [38, 22, 8, 8, 8], PEROVSKITE.frac_coords + np.eye(5, 3) * 1e-6),
        crystal(PEROVSKITE.lattice * [1, 1, 1 + 1e-5], [38, 22, 8, 8, 8], PEROVSKITE.frac_coords),
        crystal(PEROVSKITE.lattice + np.eye(3, k=1) * 1e-5, [38, 22, 8, 8, 8], PEROVSKITE.frac_coords),
        crystal(-PEROVSKITE.lattice, [38, 22, 8, 8, 8], PEROVSKITE.frac_coords),
        crystal(20 * np.eye(3), [6] * 65, np.indices((5, 5, 3)).reshape(3, -1).T[:65] / 8),
    ],
    ids=["a free coordinate", "a longer vector", "an angle", "a left-handed cell", "a large cell"],
)
def test_other_crystals_have_none(other: Crystal) -> None:
    assert prototype_of(other) is None
