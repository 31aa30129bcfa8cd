"""Overlaps: atoms that are too close to each other, or to images of themselves, in any basis of the lattice.

A distance below half the smallest height of a cell is found by rounding fractional coordinates to the nearest image. That is how
nearly every cell is searched; a flatter one is reduced first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_DISTANCE = 0.5
"""Å: closer atoms are one atom written twice, or a site of which another is the alternative (N2, 1.10, is the closest pair)."""
MIN_HYDROGEN_DISTANCE = 0.3
"""Å, between two hydrogen atoms, whose positions are often bad; below `MIN_DISTANCE` they get a warning (H2 has 0.74)."""
MIN_IMAGE_DISTANCE = 0.7
"""Å, between an atom and its own image: no crystal has a lattice vector as short as the shortest of all bonds."""
_CHUNK = 256
"""Atoms whose distances to all others are held in memory at once."""
_NEAREST_IMAGE = (None,)
_IMAGES_AROUND = tuple(np.array(image, dtype=np.float64)[:, None] for image in product((-1, 0, 1), repeat=3))
"""In a reduced lattice whose vectors are at least `MIN_IMAGE_DISTANCE` long, heights are at least half of `MIN_DISTANCE`, whence
an image within this distance is at most one cell from the one that rounding gives."""


class Overlap(NamedTuple):
    """Two atoms that are too close, or an atom and its image."""

    distance: float
    """Å."""
    allowed: float
    """Å, from which on it would be none."""
    first: int
    """Place of the one atom, from 0."""
    second: int
    """Place of the other; the same for an image."""


def overlap_of(
    lattice: NDArray[np.float64], height: float, atomic_numbers: NDArray[np.int32], frac_coords: NDArray[np.float64]
) -> Overlap | None:
    """Find the closest pair of those that are too close.

    Args:
        lattice: (3, 3) rows, Å, any basis.
        height: of the cell, Å, along its flattest direction.
        atomic_numbers: (n_atoms,).
        frac_coords: (n_atoms, 3).
    """
    if height > 2.0 * MIN_IMAGE_DISTANCE:  # no lattice vector is shorter than a height
        return _closest(lattice, atomic_numbers, frac_coords.T.copy(), _NEAREST_IMAGE)
    reduced, basis = reduced_lattice(lattice)
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    if shortest < MIN_IMAGE_DISTANCE:
        return Overlap(shortest, MIN_IMAGE_DISTANCE, 0, 0)
    return _closest(reduced, atomic_numbers, np.asarray(np.linalg.solve(basis.T, frac_coords.T)), _IMAGES_AROUND)


def reduced_lattice(lattice: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduce a lattice to its shortest vectors.

    Source: Semaev, Lecture Notes in Computer Science 2146, 181 (2001): each vector is made as short as the others allow, in turn.

    Args:
        lattice: (3, 3) rows, Å.

    Returns:
        The reduced lattice in rows of ascending length, and the whole numbers (3, 3) that make it: ``reduced = basis @ lattice``.
    """
    basis, vectors = np.eye(3), lattice.copy()
    while True:
        order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")
        basis, vectors = basis[order], vectors[order]
        before = float(np.linalg.norm(vectors, axis=1).sum())
        for longer, shorter in ((1, (0,)), (2, (0, 1))):
            steps = _nearest_steps(vectors[longer], vectors[list(shorter)])
            basis[longer] -= steps @ basis[list(shorter)]
            vectors[longer] -= steps @ vectors[list(shorter)]
        if not float(np.linalg.norm(vectors, axis=1).sum()) < before * (1.0 - 1e-12):
            order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")
            return vectors[order], basis[order]


def _nearest_steps(vector: NDArray[np.float64], shorter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The whole multiples of one or two shorter vectors, (n, 3), that leave the least of a vector when they are taken from it."""
    exact = np.linalg.lstsq(shorter.T, vector, rcond=None)[0]
    around = [np.rint(exact) + step for step in product((0.0, -1.0, 1.0), repeat=len(shorter))]
    return min(around, key=lambda steps: float(np.linalg.norm(vector - steps @ shorter)))


def _closest(
    lattice: NDArray[np.float64],
    atomic_numbers: NDArray[np.int32],
    axes: NDArray[np.float64],
    images: tuple[NDArray[np.float64] | None, ...],
) -> Overlap | None:
    """The closest pair of different atoms that are too close.

    Args:
        lattice: (3, 3) rows, Å.
        atomic_numbers: (n_atoms,).
        axes: (3, n_atoms) fractional coordinates: long rows, which NumPy is fast at.
        images: translations (3, 1) to search from the nearest image by rounding; None for none.
    """
    found = [overlap for image in images for overlap in _too_close(lattice, atomic_numbers, axes, image)]
    return min(found, default=None)


def _too_close(
    lattice: NDArray[np.float64], atomic_numbers: NDArray[np.int32], axes: NDArray[np.float64], image: NDArray[np.float64] | None
) -> Iterator[Overlap]:
    """The closest pair of those that are too close in each chunk of atoms."""
    n = axes.shape[1]
    if n < 2:
        return
    for start in range(0, n, _CHUNK):
        delta = (axes[:, start : start + _CHUNK, None] - axes[:, None]).reshape(3, -1)  # (3, chunk * n)
        delta -= np.rint(delta)
        vectors = lattice.T @ (delta if image is None else delta + image)
        vectors *= vectors
        squared = vectors.sum(axis=0)  # (chunk * n,)
        squared[start :: n + 1] = np.inf  # each atom with itself
        if squared.min() >= MIN_DISTANCE**2:
            continue
        hydrogen = atomic_numbers == 1
        both = (hydrogen[start : start + _CHUNK, None] & hydrogen).reshape(-1)
        squared[both & (squared >= MIN_HYDROGEN_DISTANCE**2)] = np.inf
        nearest = int(squared.argmin())
        if squared[nearest] < MIN_DISTANCE**2:
            allowed = MIN_HYDROGEN_DISTANCE if both[nearest] else MIN_DISTANCE
            yield Overlap(math.sqrt(squared[nearest]), allowed, nearest // n + start, nearest % n)
