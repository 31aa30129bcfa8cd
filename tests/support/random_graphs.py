"""Graphs that no crystal has: whatever holds for them holds for any input of the right shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandrt.features import Features
from tests.support.small_models import real_features


def random_features(
    rng: np.random.Generator,
    n_atoms: int,
    *,
    like: Features | None = None,
    n_slots: int | None = None,
    heaviest: int = 118,
    farthest_image: int = 0,
) -> Features:
    """Random neighbours, many of them the atom itself, some atoms with few, some with none.

    Args:
        rng: where the numbers come from.
        n_atoms: of the crystal.
        like: gives all that is not random, such as the space group; by default a real crystal.
        n_slots: neighbour slots of each atom; by default as many as `like` has.
        heaviest: largest atomic number.
        farthest_image: largest component of a neighbour's lattice translation.
    """
    like = like or real_features()[0]
    slots = (n_atoms, n_slots or like.neighbor_index.shape[1])
    return replace(
        like,
        atomic_numbers=rng.integers(1, heaviest + 1, n_atoms).astype(np.int32),
        neighbor_index=rng.integers(0, n_atoms, slots).astype(np.int32),
        neighbor_distance=rng.uniform(1.5, 8.0, slots).astype(np.float32),
        neighbor_mask=rng.random(slots) < rng.choice([0.0, 0.3, 1.0], n_atoms)[:, None],
        neighbor_image=rng.integers(-farthest_image, farthest_image + 1, (*slots, 3)).astype(np.int32),
        atom_mask=np.ones(n_atoms, np.bool_),
        kpoints=rng.uniform(-1.0, 1.0, (48, 3)).astype(np.float32),
    )
