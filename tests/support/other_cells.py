"""The same crystal in other cells, and random crystals of a given space group."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from moyopy import operations_from_number
from numpy.typing import NDArray

from bandrt.crystal import Crystal

Change = Callable[[Crystal, np.random.Generator], Crystal]


def rotated(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Turned in space."""
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Crystal(crystal.lattice @ (q * np.linalg.det(q)), crystal.atomic_numbers, crystal.frac_coords)


def permuted(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Atoms in another order."""
    order = rng.permutation(crystal.n_atoms)
    return Crystal(crystal.lattice, crystal.atomic_numbers[order], crystal.frac_coords[order])


def shifted(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Another origin, atoms wrapped into the cell."""
    return Crystal(crystal.lattice, crystal.atomic_numbers, (crystal.frac_coords + rng.random(3)) % 1.0)


def sheared(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Other vectors of the same lattice, sometimes left-handed."""
    basis = np.eye(3)[rng.permutation(3)]
    for _ in range(3):
        i, j = rng.choice(3, 2, replace=False)
        basis[i] += rng.choice([-1, 1]) * basis[j]
    return Crystal(basis @ crystal.lattice, crystal.atomic_numbers, crystal.frac_coords @ np.linalg.inv(basis))


SUPERCELLS = (
    [[2, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 3]],
    [[1, 1, 0], [1, -1, 0], [0, 0, 1]],
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
)


def repeated(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """A supercell of two or three cells."""
    basis = np.array(SUPERCELLS[rng.integers(len(SUPERCELLS))], dtype=np.float64)
    inverse = np.linalg.inv(basis)
    points = np.array(list(product(range(-3, 4), repeat=3))) @ inverse
    points = np.unique(np.round(points - np.floor(points + 1e-9), 9), axis=0)  # one of each lattice point in the supercell
    coords = (crystal.frac_coords @ inverse + points[:, None]).reshape(-1, 3)
    return Crystal(basis @ crystal.lattice, np.tile(crystal.atomic_numbers, len(points)), coords)


def changed_at_once(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Everything together."""
    for change in (repeated, sheared, shifted, permuted, rotated):
        crystal = change(crystal, rng)
    return crystal


CHANGES: dict[str, Change] = {
    "rotated": rotated,
    "permuted": permuted,
    "shifted": shifted,
    "sheared": sheared,
    "repeated": repeated,
    "changed at once": changed_at_once,
}


def random_crystal(space_group: int, rng: np.random.Generator, *, equal_lengths: bool = False) -> Crystal:
    """Two elements or, with few operations, three on general positions of a space group, in its conventional cell.

    Args:
        space_group: 1 to 230.
        rng: where lengths, angles and positions come from.
        equal_lengths: all lengths equal and free angles right, so that the lattice has more symmetry than the crystal.
    """
    operations = operations_from_number(space_group)
    rotations, translations = np.array(operations.rotations), np.array(operations.translations)
    while True:
        lattice = _lattice(space_group, rng, equal_lengths)
        coords, numbers = [], []
        for number in (8, 26, 53) if len(rotations) <= 16 else (8, 26):
            images = (rotations @ rng.random(3) + translations) % 1.0
            coords += [images]
            numbers += [number] * len(images)
        stretch = np.cbrt(12.0 * len(numbers) / abs(np.linalg.det(lattice)))  # 12 Å^3 per atom
        crystal = Crystal(lattice * stretch, np.array(numbers, dtype=np.int32), np.concatenate(coords))
        if _closest(crystal) > 0.3:
            return crystal


def _lattice(space_group: int, rng: np.random.Generator, equal_lengths: bool) -> NDArray[np.float64]:
    a, b, c = (1.0, 1.0, 1.0) if equal_lengths else rng.uniform(0.6, 1.4, 3)
    if space_group >= 195:
        return np.eye(3)
    if space_group >= 143:
        return np.array([[a, 0, 0], [-a / 2, a * np.sqrt(0.75), 0], [0, 0, c]])
    if space_group >= 16:
        return np.diag([a, a, c]) if space_group >= 75 else np.diag([a, b, c])
    lattice = np.diag([a, b, c])
    if not equal_lengths:
        lattice[2, 0] = rng.uniform(-1.5, 1.5)
        if space_group < 3:
            lattice[1, 0], lattice[2, 1] = rng.uniform(-1, 1, 2)
    return lattice


def _closest(crystal: Crystal) -> float:
    delta = crystal.frac_coords[:, None] - crystal.frac_coords
    delta -= np.rint(delta)
    distance = np.linalg.norm(delta @ crystal.lattice, axis=-1)
    return float((distance + np.eye(crystal.n_atoms) * 9).min())
