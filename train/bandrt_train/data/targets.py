"""Targets: what a model is to predict for one crystal, from the bands that DFT computed for it.

Source: arXiv 2411.16483, "Theoretical framework": N bands around the Fermi level on a fixed number of k-points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument
from bandrt.computed.lines import computed_lines
from bandrt.computed.mapping import KMapping, Lines, map_kpoints
from bandrt.kpaths.path import KPath
from bandrt.manifest import BandRule
from bandrt.symmetry.standard_cell import StandardCell


@dataclass(frozen=True)
class MappingReport:
    """How well the computed lines cover the wanted path.

    Attributes:
        mapped_fraction: share of wanted k-points that have energies.
        unmapped: segments of the walk with k-points that have none, e.g. ``("X-K",)``.
        max_distance: 1/Å, the furthest a used image lies from its line.
        symmetry_spread_ev: largest difference between bands computed at symmetry-equivalent k-points: large when the
            symmetry found is not that of the calculation.
    """

    mapped_fraction: float
    unmapped: tuple[str, ...]
    max_distance: float
    symmetry_spread_ev: float


@dataclass(frozen=True, eq=False)
class Targets:
    """Energies on the project's own k-path.

    Attributes:
        energies: (n_bands, n_kpoints) float32, eV relative to E_F or mid-gap; 0 where `mask` is False.
        mask: (n_bands, n_kpoints) bool, where there are labels: computed, and to be trusted.
        is_metal: see `SelectedBands`.
        band_gap: eV, over the k-points computed by DFT; 0 for metals.
        report: how well the computed lines cover the path.
        weight: what the crystal counts in the loss, 1 for labels that are trusted in full.
    """

    energies: NDArray[np.float32]
    mask: NDArray[np.bool_]
    is_metal: bool
    band_gap: float
    report: MappingReport
    weight: float = 1.0


def make_targets(document: BandDocument, cell: StandardCell, kpath: KPath, rule: BandRule) -> Targets:
    """Put the bands of a document on the project's own k-path.

    Args:
        document: bands with their structure.
        cell: `bandrt.symmetry.standard_cell.standardize` of that structure.
        kpath: the path of that cell.
        rule: which bands.

    Raises:
        InputError: see `select_bands` and `computed_lines`.
    """
    bands = select_bands(document, rule)
    lines = computed_lines(document, cell)
    mapping = map_kpoints(kpath.frac_kpoints, lines, cell.rotations)
    interpolated = mapping.interpolate(bands.energies)
    known = mapping.found & (interpolated < document.trusted_below - bands.zero)
    report = MappingReport(
        mapped_fraction=float(mapping.found.mean()),
        unmapped=_unmapped(kpath, mapping),
        max_distance=float(mapping.distance[mapping.found].max(initial=0.0)),
        symmetry_spread_ev=symmetry_spread(lines, cell, bands.energies),
    )
    energies = np.where(known, interpolated, 0.0).astype(np.float32)
    return Targets(energies, known, bands.is_metal, bands.band_gap, report, document.weight)


def symmetry_spread(lines: Lines, cell: StandardCell, energies: NDArray[np.float64]) -> float:
    """Largest difference, eV, between energies computed at k-points that the crystal's symmetry makes equivalent.

    Args:
        lines: the computed k-points.
        cell: whose Laue group is tested.
        energies: (n_bands, n_kpoints).
    """
    return map_kpoints(lines.frac_kpoints, lines, cell.rotations).spread(energies)


def round_trip_error(
    targets: Targets, kpath: KPath, document: BandDocument, cell: StandardCell, rule: BandRule
) -> NDArray[np.float64]:
    """Interpolate the targets back onto the k-points where DFT computed them.

    Returns:
        (n_bands, n_kpoints) eV, targets minus DFT, NaN where a computed k-point is not on a mapped part of the path.
    """
    bands, lines = select_bands(document, rule), computed_lines(document, cell)
    vertices = np.stack([kpath.label_indices[:-1], kpath.label_indices[1:]], axis=1)
    walk = Lines(kpath.frac_kpoints, cell.crystal.reciprocal, vertices.astype(np.intp))
    back = map_kpoints(lines.frac_kpoints, walk, cell.rotations)
    known = np.where(targets.mask, targets.energies.astype(np.float64), np.nan)
    return np.asarray(back.interpolate(known) - bands.energies)


def _unmapped(kpath: KPath, mapping: KMapping) -> tuple[str, ...]:
    missing = []
    for i, (first, last) in enumerate(zip(kpath.label_indices[:-1], kpath.label_indices[1:], strict=True)):
        if not mapping.found[first : last + 1].all():
            missing.append(f"{kpath.labels[i]}-{kpath.labels[i + 1]}")
    return tuple(missing)
