"""Padded batches of random numbers, for engines that take anything."""

from __future__ import annotations

import numpy as np

from bandrt.engine.session import Inputs


def random_batch(crystals: int, atoms: int, seed: int = 0) -> Inputs:
    """A batch for the tiny engine, without padding."""
    generator = np.random.default_rng([crystals, atoms, seed])
    return {
        "atomic_numbers": generator.integers(1, 90, (crystals, atoms)).astype(np.int32),
        "neighbor_index": generator.integers(0, atoms, (crystals, atoms, 12)).astype(np.int32),
        "neighbor_distance": generator.uniform(2, 4, (crystals, atoms, 12)).astype(np.float32),
        "neighbor_mask": generator.random((crystals, atoms, 12)) < 0.9,
        "neighbor_image": np.zeros((crystals, atoms, 12, 3), np.int32),
        "atom_mask": np.ones((crystals, atoms), bool),
        "kpoints": generator.uniform(-0.5, 0.5, (crystals, 64, 3)).astype(np.float32),
    }


SIZES = ((1, 1), (8, 3), (8, 3), (3, 6), (4, 24), (1, 9), (8, 3), (2, 17))
MIXED = [random_batch(*size, seed) for seed, size in enumerate(SIZES * 2)]
"""Batches of several shapes, each of which comes again."""
