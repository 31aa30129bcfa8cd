"""Band structures as other packages' objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandrt.bands.on_path import BandsOnPath
from bandrt.errors import MissingPackageError

_SAME_KPOINT = 1e-4
"""Fractional: pymatgen gives a k-point the label of any labelled point this close."""

_GREEK = {"Γ": "\\Gamma", "Σ": "\\Sigma", "Λ": "\\Lambda", "Δ": "\\Delta"}


def band_structure_to_pymatgen(bands: BandsOnPath) -> Any:
    """Convert to a ``BandStructureSymmLine``.

    pymatgen finds branches where two labelled points are neighbours, so each branch repeats its end points. A branch of two
    grid points gets the mean of both between them, or pymatgen would take it for a jump. Labelled points that share a name but
    not a place are told apart by primes.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    try:
        from pymatgen.core import Lattice, Structure
        from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
        from pymatgen.electronic_structure.core import Spin
    except ImportError as error:
        raise MissingPackageError("pymatgen", "pymatgen", "converting to a BandStructureSymmLine") from error

    kpoints, energies = [], []
    for start, end in zip(bands.label_indices[:-1], bands.label_indices[1:], strict=True):
        branch_kpoints = bands.frac_kpoints[start : end + 1]
        branch_energies = np.asarray(bands.energies[:, start : end + 1], np.float64)
        if len(branch_kpoints) == 2:
            branch_kpoints = np.insert(branch_kpoints, 1, branch_kpoints.mean(axis=0), axis=0)
            branch_energies = np.insert(branch_energies, 1, branch_energies.mean(axis=1), axis=1)
        kpoints.append(branch_kpoints)
        energies.append(branch_energies)

    crystal = bands.crystal
    return BandStructureSymmLine(
        np.concatenate(kpoints),
        {Spin.up: np.concatenate(energies, axis=1)},
        Lattice(crystal.reciprocal),
        bands.efermi,
        _labelled_points(bands),
        structure=Structure(crystal.lattice, list(crystal.symbols), crystal.frac_coords),
    )


def _labelled_points(bands: BandsOnPath) -> dict[str, Any]:
    """Fractional coordinates by unique name, Greek letters as pymatgen writes them."""
    points: dict[str, Any] = {}
    for label, index in zip(bands.labels, bands.label_indices, strict=True):
        place = bands.frac_kpoints[index]
        if any(np.abs(place - known).max() < _SAME_KPOINT / 2 for known in points.values()):
            continue
        name = _GREEK.get(label[:1], label[:1]) + label[1:]
        while name in points:
            name += "'"
        points[name] = place
    return points
