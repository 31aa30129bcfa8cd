"""The centre of inversion of a crystal, found from the pairs of its atoms and trusted only when its Hamiltonian agrees.

Places of atoms and cell vectors follow from the vectors between neighbours: ``x_j - x_i + R L = d``, in the sense of least squares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.hamiltonian.hoppings import PARITY, Hoppings
from bandrt.symmetry.inversion import Inversion

SAME_PLACE = 2e-3
"""Å: a standard cell is symmetric far better than that."""
AGREEMENT = 2e-4
"""eV: how far a block may be from what inversion makes of its partner; rounding in fp32 is less than 1e-5."""


def inversion_of(
    hoppings: Hoppings, vectors: NDArray[np.floating[Any]], atomic_numbers: NDArray[np.integer[Any]]
) -> Inversion | None:
    """Find a centre of inversion; None where there is none, or the pairs do not say where atoms are.

    Args:
        hoppings: of a crystal of N atoms, its own N blocks first and then E pairs.
        vectors: (E, 3) Å, from the atoms to their neighbours.
        atomic_numbers: (N,).
    """
    placed = _places(hoppings, np.asarray(vectors, np.float64))
    if placed is None:
        return None
    frac, lattice = placed
    kinds, counts = np.unique(atomic_numbers, return_counts=True)
    rarest = np.flatnonzero(atomic_numbers == kinds[np.argmin(counts)])
    other = atomic_numbers[:, None] != atomic_numbers[None]
    own = np.arange(hoppings.n_atoms)
    for candidate in rarest:
        apart = frac[rarest[0]] + frac[candidate] - frac[:, None] - frac[None]  # (N, N, 3)
        image = np.round(apart)
        distance = np.linalg.norm((apart - image) @ lattice, axis=2)
        distance[other] = np.inf
        partner = distance.argmin(axis=1)
        if distance[own, partner].max() < SAME_PLACE and (partner[partner] == own).all():
            found = Inversion(partner, image[own, partner].astype(np.int64))
            return found if disagreement(hoppings, found) < AGREEMENT else None
    return None


def disagreement(hoppings: Hoppings, inversion: Inversion) -> float:
    """How far the blocks of a crystal are at most from what inversion makes of their partners, eV; infinite if some have none.

    Overlaps, which have no unit, count as blocks do.
    """
    partner, image = inversion
    centre, neighbor = partner[hoppings.centre], partner[hoppings.neighbor]
    vectors = image[hoppings.neighbor] - image[hoppings.centre] - hoppings.image
    most = int(max(np.abs(vectors).max(), np.abs(hoppings.image).max()))
    key, inverted = (
        ((i * hoppings.n_atoms + j) * (2 * most + 1) ** 3 + (r + most) @ np.array([(2 * most + 1) ** 2, 2 * most + 1, 1]))
        for i, j, r in ((hoppings.centre, hoppings.neighbor, hoppings.image), (centre, neighbor, vectors))
    )
    order = np.argsort(key)
    found = order[np.minimum(np.searchsorted(key, inverted, sorter=order), len(key) - 1)]
    if (key[found] != inverted).any():
        return np.inf
    both = (hoppings.block, *([] if hoppings.overlap is None else [hoppings.overlap]))
    return max(float(np.abs(blocks[found] - PARITY[:, None] * blocks * PARITY).max()) for blocks in both)


def _places(hoppings: Hoppings, vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Fractional places of the atoms, (N, 3), the first at 0, and cell vectors, (3, 3) Å, rows."""
    n = hoppings.n_atoms
    centre, neighbor, image = hoppings.centre[n:], hoppings.neighbor[n:], hoppings.image[n:].astype(np.float64)
    normal = np.zeros((n + 3, n + 3))  # of unknown places and cell vectors
    for one, other, sign in ((centre, centre, 1), (neighbor, neighbor, 1), (centre, neighbor, -1), (neighbor, centre, -1)):
        normal[:n, :n] += sign * np.bincount(one * n + other, minlength=n * n).reshape(n, n)
    wanted = np.zeros((n + 3, 3))
    for axis in range(3):
        for atoms, sign in ((neighbor, 1), (centre, -1)):
            normal[:n, n + axis] += sign * np.bincount(atoms, image[:, axis], n)
            wanted[:n, axis] += sign * np.bincount(atoms, vectors[:, axis], n)
    normal[n:, :n], normal[n:, n:] = normal[:n, n:].T, image.T @ image
    wanted[n:] = image.T @ vectors
    solved, _, rank, _ = np.linalg.lstsq(normal[1:, 1:], wanted[1:], rcond=1e-9)
    solution = np.asarray(solved, np.float64)
    places, lattice = np.concatenate([np.zeros((1, 3)), solution[: n - 1]]), solution[n - 1 :]
    if rank < n + 2 or np.linalg.norm(places[neighbor] - places[centre] + image @ lattice - vectors, axis=1).max() > SAME_PLACE:
        return None
    return np.linalg.solve(lattice.T, places.T).T, lattice
