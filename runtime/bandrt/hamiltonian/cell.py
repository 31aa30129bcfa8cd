"""The Hamiltonian of one crystal, read off the tensors that a model gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import NOWHERE
from bandrt.hamiltonian.hoppings import Hoppings, hoppings_of
from bandrt.hamiltonian.inversion import inversion_of
from bandrt.symmetry.inversion import Inversion


class CellHamiltonian(NamedTuple):
    """What the bands of one crystal are made of, on the energy scale of the model."""

    hoppings: Hoppings
    flat_levels: NDArray[np.floating[Any]]
    """(F,) eV, bands that are the same everywhere."""
    flat_orbitals: NDArray[np.int64]
    """(F,) which orbital each of them is like: ``9 * atom + orbital``, in the order of those that hop."""
    electrons: float
    inversion: Inversion | None

    @property
    def is_finite(self) -> bool:
        """Whether all of it is numbers."""
        parts = (self.hoppings.block, self.flat_levels, *([] if self.hoppings.overlap is None else [self.hoppings.overlap]))
        return all(bool(np.isfinite(part).all()) for part in parts)


def cell_hamiltonian(crystal: Mapping[str, NDArray[Any]]) -> CellHamiltonian:
    """Read one crystal.

    Args:
        crystal: its row of a padded batch, and what the model gives for it, by the names of `bandrt.contract`.
    """
    atoms, mask = crystal["atom_mask"], crystal["neighbor_mask"]
    n_atoms = int(atoms.sum())
    hoppings = hoppings_of(
        crystal["hoppings"],
        crystal["on_site"],
        crystal["neighbor_index"],
        crystal["neighbor_image"],
        mask,
        n_atoms,
        crystal.get("overlaps"),
    )
    levels = crystal["flat_levels"][atoms].reshape(-1)
    there = ~(levels > 0.5 * NOWHERE)
    found = CellHamiltonian(hoppings, levels[there], np.flatnonzero(there), float(crystal["electrons"]), None)
    if not found.is_finite:
        return found
    vectors = crystal["neighbor_direction"][mask] * crystal["neighbor_distance"][mask][:, None]
    return found._replace(inversion=inversion_of(hoppings, vectors, crystal["atomic_numbers"][atoms]))
