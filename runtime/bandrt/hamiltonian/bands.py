"""All bands of one crystal on its path and on its mesh, filled."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.hamiltonian.bloch import BlochSum
from bandrt.hamiltonian.eigenvalues import eigenvalues
from bandrt.hamiltonian.filling import KEPT, Filled, fill
from bandrt.hamiltonian.hoppings import Hoppings
from bandrt.hamiltonian.knots import knots, steps_between
from bandrt.symmetry.inversion import Inversion

Floats = NDArray[np.floating[Any]]


def filled_bands(
    hoppings: Hoppings,
    flat_levels: Floats,
    kpoints: Floats,
    mesh: tuple[Floats, Floats],
    electrons: float,
    *,
    smearing_ev: float,
    inversion: Inversion | None = None,
    exact: bool = False,
    kept: int | None = KEPT,
    pool: Executor | None = None,
    threads: int = 1,
) -> Filled:
    """Solve one crystal, and fill its bands.

    Args:
        hoppings: of the crystal.
        flat_levels: (F,) eV, bands that are the same everywhere.
        kpoints: (K, 3) fractional, of the path.
        mesh: (M, 3) fractional, and weights (M,) that add up to one; points of no weight are left out.
        electrons: in a cell.
        smearing_ev: that goes with the mesh.
        inversion: of the crystal, if it has any.
        exact: compute every k-point of the path; otherwise crystals of many atoms are interpolated, see `knots`.
        kept: bands kept up to half filling, and as many above it; None: all.
        pool: takes k-points side by side.
        threads: how many of it.

    Returns:
        The bands; all infinite where eigenvalues do not converge.

    Raises:
        InputError: ``too-few-bands``.
    """
    points, weights = (values[mesh[1] > 0.0] for values in mesh)
    chosen = knots(kpoints, 1 if exact else steps_between(hoppings.n_atoms))
    at = np.concatenate([np.asarray(kpoints, np.float64)[chosen.points], np.asarray(points, np.float64)])
    hopping = eigenvalues(BlochSum(hoppings, inversion), at, pool=pool, threads=threads)
    flat = np.broadcast_to(flat_levels.astype(np.float32), (len(at), len(flat_levels)))
    energies = np.sort(np.concatenate([hopping, flat], axis=1), axis=1) if len(flat_levels) else hopping
    if np.isnan(energies).any():
        n_bands = energies.shape[1] if kept is None else kept
        return Filled(np.full((2 * n_bands, len(kpoints)), np.inf), False, np.inf)
    path = np.sort(chosen.matrix @ energies[: len(chosen.points)], axis=1)
    return fill(path, energies[len(chosen.points) :], weights, electrons, smearing_ev=smearing_ev, kept=kept)
