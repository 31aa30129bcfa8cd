"""H(k) and how it changes with k, in double precision: what effective masses are made of.

In the gauge of cells ``H(k) = sum over pairs of exp(2 pi i k R) block``, so derivatives by the Cartesian k bring factors ``i R_c``,
where R_c is the lattice vector R in Å. Energies do not depend on the gauge, and neither do their derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import N_ORBITALS
from bandrt.hamiltonian.hoppings import Hoppings

Complex = NDArray[np.complex128]


class SmoothHamiltonian:
    """H(k) of one crystal, complex Hermitian, as a sum over lattice vectors of real matrices."""

    def __init__(self, hoppings: Hoppings, lattice: NDArray[np.float64]) -> None:
        """Sort the blocks by lattice vector.

        Args:
            hoppings: of the crystal.
            lattice: (3, 3) rows, Å.
        """
        n = hoppings.n_atoms
        self._images, term = np.unique(hoppings.image, axis=0, return_inverse=True)
        blocks = np.zeros((len(self._images), n, n, N_ORBITALS, N_ORBITALS))
        np.add.at(blocks, (term.reshape(-1), hoppings.centre, hoppings.neighbor), hoppings.block)
        self.n_orbitals = hoppings.n_orbitals
        self._vectors = self._images @ np.asarray(lattice, np.float64)  # (V, 3) Å
        self._terms = blocks.transpose(0, 1, 3, 2, 4).reshape(len(self._images), -1)
        overlaps = hoppings.overlaps
        self._overlap = None if overlaps is None else SmoothHamiltonian(overlaps, lattice)

    def at(self, kpoints: NDArray[np.floating[Any]]) -> Complex:
        """H(k), (K, n, n) eV, at fractional k-points (K, 3)."""
        found = self._summed(self._phases(kpoints))
        return found if self._overlap is None else found - _hermitian(self._overlap.at(kpoints) @ found)

    def derivatives(self, kpoint: NDArray[np.floating[Any]]) -> tuple[Complex, Complex, Complex]:
        """H, (n, n) eV, and its derivatives by Cartesian k, first (3, n, n) eV Å and second (3, 3, n, n) eV Å², at one k-point."""
        phases = self._phases(np.asarray(kpoint)[None])[0]
        vectors = self._vectors
        first = 1j * vectors.T * phases  # (3, V)
        second = -(vectors.T[:, None] * vectors.T[None]) * phases  # (3, 3, V)
        n = self.n_orbitals
        here, slope = self._summed(phases[None])[0], self._summed(first)
        curvature = self._summed(second.reshape(9, -1)).reshape(3, 3, n, n)
        if self._overlap is None:
            return here, slope, curvature
        s, s_slope, s_curvature = self._overlap.derivatives(kpoint)
        crossed = s_slope[:, None] @ slope[None]
        return (
            here - _hermitian(s @ here),
            slope - _hermitian(s_slope @ here + s @ slope),
            curvature - _hermitian(s_curvature @ here + crossed + crossed.swapaxes(0, 1) + s @ curvature),
        )

    def _phases(self, kpoints: NDArray[np.floating[Any]]) -> Complex:
        return np.asarray(np.exp(2j * np.pi * (np.asarray(kpoints, np.float64) @ self._images.T)))

    def _summed(self, factors: Complex) -> Complex:
        """Sums of the terms with factors (F, V), (F, n, n), made exactly Hermitian."""
        n = self.n_orbitals
        found = (factors.real @ self._terms + 1j * (factors.imag @ self._terms)).reshape(-1, n, n)
        return _hermitian(found)


def _hermitian(matrices: Complex) -> Complex:
    """The mean of matrices (..., n, n) and their adjoints."""
    return np.asarray(0.5 * (matrices + matrices.conj().swapaxes(-1, -2)))
