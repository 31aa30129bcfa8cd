"""Hoppings: the tight-binding Hamiltonian of one crystal as the pairs of atoms that it is made of.

``H(k)[i a, j b] = sum over pairs (i, j, R) of exp(2 pi i k R) block[a, b]``, k fractional and R whole: phases are those of cells,
not of atoms. Blocks are real, and with each pair its way back ``(j, i, -R)`` is there, with the transposed block.

Where orbitals overlap, S(k) is made of overlaps in the same way, and the Hamiltonian between Löwdin's orthogonal orbitals is, to
first order, ``H - (S H + H S) / 2``: bands are its eigenvalues.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import N_ORBITALS

PARITY = np.array([1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0], np.float32)
"""What inversion at the atom makes of s; x, y, z; xy, yz, xz, x2-y2, 3z2-r2."""


class Hoppings(NamedTuple):
    """E blocks between the orbitals of N atoms, those of an atom on itself among them."""

    n_atoms: int
    centre: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    """(E,) atoms."""
    image: NDArray[np.int64]
    """(E, 3) R, whole: the cell of the neighbour, seen from the centre."""
    block: NDArray[np.float32]
    """(E, 9, 9) eV, rows the orbitals of the centre, columns those of the neighbour."""
    overlap: NDArray[np.float32] | None = None
    """(E, 9, 9), likewise, zero of an atom with itself; None where orbitals are orthogonal."""

    @property
    def n_orbitals(self) -> int:
        """n, the number of bands."""
        return N_ORBITALS * self.n_atoms

    @property
    def overlaps(self) -> Hoppings | None:
        """What S(k) is the sum of, as H(k) is of these blocks."""
        return None if self.overlap is None else self._replace(block=self.overlap, overlap=None)


def hoppings_of(
    hoppings: NDArray[np.float32],
    on_site: NDArray[np.float32],
    neighbor_index: NDArray[np.integer[Any]],
    neighbor_image: NDArray[np.integer[Any]],
    neighbor_mask: NDArray[np.bool_],
    n_atoms: int,
    overlaps: NDArray[np.float32] | None = None,
) -> Hoppings:
    """The pairs of one crystal of a padded batch.

    Args:
        hoppings: (N, D, 9, 9) eV.
        on_site: (N, 9, 9) eV.
        neighbor_index: (N, D).
        neighbor_image: (N, D, 3), in cell vectors.
        neighbor_mask: (N, D).
        n_atoms: of the crystal; what comes after them is padding.
        overlaps: (N, D, 9, 9), if orbitals overlap.
    """
    centre, slot = np.nonzero(neighbor_mask[:n_atoms])
    own = np.arange(n_atoms)
    return Hoppings(
        n_atoms,
        np.concatenate([own, centre]),
        np.concatenate([own, neighbor_index[centre, slot].astype(np.int64)]),
        np.concatenate([np.zeros((n_atoms, 3), np.int64), neighbor_image[centre, slot].astype(np.int64)]),
        np.concatenate([on_site[:n_atoms], hoppings[centre, slot]]),
        None if overlaps is None else np.concatenate([np.zeros_like(on_site[:n_atoms]), overlaps[centre, slot]]),
    )
