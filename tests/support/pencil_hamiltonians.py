"""Hamiltonians whose bands can be written down: one s orbital that hops to its nearest neighbours, all others far above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import N_ORBITALS
from bandrt.crystal import Crystal
from bandrt.hamiltonian.cell import CellHamiltonian
from bandrt.hamiltonian.hoppings import Hoppings
from bandrt.kpaths import kpath_of
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.symmetry.standard_cell import standardize

LATTICE_CONSTANT = 3.0
"""Å."""
HOPPING_EV = 0.8
LEVEL_EV, FLAT_EV, FAR_EV = 6.0, -1.0, 100.0
"""eV: of the s orbital, of a flat level below it, and of the other orbitals."""


def cubic_band(kpoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the s orbital's band is, (K,) eV, on the scale of the model."""
    return np.asarray(LEVEL_EV - 2.0 * HOPPING_EV * np.cos(2.0 * np.pi * kpoints).sum(axis=1))


def cubic_hamiltonian(
    *, electrons: float = 2.0, a: float = LATTICE_CONSTANT, flat: bool = True, flat_ev: float = FLAT_EV
) -> CrystalHamiltonian:
    """A simple cubic crystal of one atom with that band, above a flat level which two electrons fill.

    Args:
        electrons: in the cell.
        a: Å.
        flat: whether there is the flat level.
        flat_ev: where it is.
    """
    steps = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    own = np.diag([LEVEL_EV, *(N_ORBITALS - 1) * [FAR_EV]])
    hop = np.zeros((N_ORBITALS, N_ORBITALS))
    hop[0, 0] = -HOPPING_EV
    zeros = np.zeros(1 + len(steps), np.int64)
    hoppings = Hoppings(
        1,
        zeros,
        zeros,
        np.concatenate([np.zeros((1, 3), np.int64), steps]),
        np.stack([own, *len(steps) * [hop]]).astype(np.float32),
    )
    levels = np.array([flat_ev] if flat else [])
    cell = standardize(Crystal.checked(a * np.eye(3), [11], [[0.0, 0.0, 0.0]]))
    return CrystalHamiltonian(
        original=cell.crystal,
        cell=cell,
        kpath=kpath_of(cell),
        terms=CellHamiltonian(hoppings, levels, np.zeros(len(levels), np.int64), electrons, None),
        zero_ev=0.0,
        is_metal=False,
        n_nonempty=int(np.ceil(electrons / 2)),
        band_gap=LEVEL_EV - 6.0 * HOPPING_EV - flat_ev,
    )
