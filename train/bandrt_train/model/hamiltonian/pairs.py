"""Pairs: which atoms of a crystal hop to which, with the lattice vector between their cells. NumPy, for any crystal at a time.

A pair is within reach when its distance is less than `REACH` sums of its covalent radii, and less than `REACH_ANGSTROM`; hoppings
fall smoothly to zero there, so that bands do not jump when atoms move. Pairs do not depend on the cell that a crystal is given in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.hamiltonian.filling import is_odd, n_filled
from bandrt_train.model.hamiltonian.atoms import N_ORBITALS, atomic_data

REACH = 2.3
REACH_ANGSTROM = 8.0
TAPER = 0.25
"""Share of the reach over which hoppings go to zero."""
SAME_PLACE = 1e-3
"""Å: an atom does not hop to itself."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """One crystal of N atoms, with E directed pairs, each there and back, in V cells.

    Attributes:
        lattice: (3, 3) Å, rows.
        atomic_numbers: (N,).
        centre, neighbor: (E,) atom indices; an atom has images of itself among its neighbours.
        cell: (E,) index into `lattice_vectors`: the cell of the neighbour, seen from the centre.
        way_back: (E,) the same pair seen from the other end.
        lattice_vectors: (V, 3) whole numbers, in lattice vectors; with each its opposite, and zero in the middle.
        direction: (E, 3) Cartesian unit vectors from centre to neighbour.
        distance: (E,) Å.
        bond: (E,) Å, the sum of the covalent radii.
        taper: (E,) 1, going to 0 at the reach.
        flat_atom, flat_level: (F,) the levels that do not hop: whose they are, and which of `KIND_OF_FLAT_LEVEL`.
        electrons: in a cell, see `atoms`.
    """

    lattice: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    centre: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    cell: NDArray[np.int64]
    way_back: NDArray[np.int64]
    lattice_vectors: NDArray[np.int64]
    direction: NDArray[np.float64]
    distance: NDArray[np.float64]
    bond: NDArray[np.float64]
    taper: NDArray[np.float64]
    flat_atom: NDArray[np.int64]
    flat_level: NDArray[np.int64]
    electrons: float

    @property
    def n_atoms(self) -> int:
        """N."""
        return len(self.atomic_numbers)

    @property
    def n_bands(self) -> int:
        """How many bands there are, flat ones among them."""
        return N_ORBITALS * self.n_atoms + len(self.flat_atom)

    @property
    def n_filled(self) -> int:
        """How many bands the electrons fill, the last perhaps by half: everything is counted from here."""
        return n_filled(self.electrons)

    @property
    def is_odd(self) -> bool:
        """Whether the last of them is half full, so that the crystal is a metal."""
        return is_odd(self.electrons)


def find_pairs(crystal: Crystal) -> Pairs:
    """Find all pairs within reach."""
    table, lattice = atomic_data(), np.asarray(crystal.lattice, np.float64)
    numbers, frac = np.asarray(crystal.atomic_numbers, np.int64), np.asarray(crystal.frac_coords, np.float64)
    bond = table.radius[numbers][:, None] + table.radius[numbers][None]  # (N, N)
    reach = np.minimum(REACH * bond, REACH_ANGSTROM)
    shifts = _cells_within(lattice, float(reach.max()), frac)
    distance, direction, near = _neighbors(lattice, frac, shifts, reach)
    near &= near.transpose(1, 0, 2)[:, :, ::-1]  # a pair at the very edge of reach is there and back, or not at all
    centre, neighbor, shift = np.nonzero(near)
    place = np.full(near.shape, -1, np.int64)
    place[centre, neighbor, shift] = np.arange(len(centre))
    way_back = place[neighbor, centre, len(shifts) - 1 - shift]
    used = np.union1d(shift, len(shifts) // 2)  # the crystal's own cell is always there
    length, reached = distance[near], reach[centre, neighbor]
    outside = np.clip((length / reached - 1.0 + TAPER) / TAPER, 0.0, 1.0)
    flat_atom, flat_level = np.nonzero(~np.isnan(table.flat_level[numbers]))
    return Pairs(
        lattice=lattice,
        atomic_numbers=numbers,
        centre=centre,
        neighbor=neighbor,
        cell=np.searchsorted(used, shift),
        way_back=way_back,
        lattice_vectors=shifts[used],
        direction=direction[near],
        distance=length,
        bond=bond[centre, neighbor],
        taper=0.5 * (1.0 + np.cos(np.pi * outside)),
        flat_atom=flat_atom,
        flat_level=flat_level,
        electrons=float(table.electrons[numbers].sum()),
    )


def _cells_within(lattice: NDArray[np.float64], reach: float, frac: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cells, (V, 3), with atoms within reach of one in the first; a list that turned around is that of the opposite cells."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    extent = np.floor(reach / heights + np.ptp(frac, axis=0)).astype(int) + 1
    axes = np.meshgrid(*(np.arange(-n, n + 1) for n in extent), indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, 3).astype(np.int64)


def _neighbors(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], shifts: NDArray[np.int64], reach: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Distances (N, N, V) Å, unit vectors (N, N, V, 3), and which of them are within `reach` (N, N)."""
    apart = (frac[None, :] - frac[:, None]) @ lattice  # (N, N, 3)
    vector = apart[:, :, None] + shifts @ lattice  # (N, N, V, 3)
    distance = np.linalg.norm(vector, axis=-1)
    near = (distance < reach[:, :, None]) & (distance > SAME_PLACE)
    return distance, vector / np.maximum(distance, SAME_PLACE)[..., None], near
