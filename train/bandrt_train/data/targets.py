"""Targets: what a model is to predict for one crystal, from the bands that DFT computed for it.

Source: arXiv 2411.16483, "Theoretical framework": N bands around the Fermi level on a fixed number of k-points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.kpaths.path import KPath
from bandrt.manifest import BandRule
from bandrt.symmetry.standard_cell import StandardCell
from bandrt_train.data.documents import BandDocument
from bandrt_train.data.kmapping import KMapping, Lines, map_kpoints, straight_lines

FERMI_TOLERANCE = 1e-4
"""eV: energies this close to the Fermi level lie on it (the rounding of band documents; pymatgen uses the same)."""
SPIN_TOLERANCE = 2e-3
"""eV: spin channels that differ by no more are one, computed twice (a spin-polarised run of a crystal without moments)."""
LATTICE_TOLERANCE = 0.02
"""How far the change of reciprocal basis may be from whole numbers: cells made symmetric move by less."""


@dataclass(frozen=True, eq=False)
class SelectedBands:
    """The bands around the Fermi level, on the k-points where they were computed.

    Attributes:
        energies: (n_bands, n_kpoints), eV, relative to E_F for metals and to mid-gap for insulators.
        zero: eV, that level on the document's own scale.
        first_band: index of the lowest of them among the document's bands, from 0.
        is_metal: whether bands cross E_F, or the document knows so from elsewhere in the Brillouin zone.
        band_gap: eV, over the computed k-points; 0 for metals.
    """

    energies: NDArray[np.float64]
    zero: float
    first_band: int
    is_metal: bool
    band_gap: float


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


def select_bands(document: BandDocument, rule: BandRule) -> SelectedBands:
    """Choose the highest nonempty band, ``rule.n_valence - 1`` below it and the rest above it, and set the energy zero.

    A band is nonempty when its minimum lies below E_F, or all of it lies at E_F. Of spin channels that agree the first is taken.

    Raises:
        InputError: ``spin-polarised``, ``too-few-bands``, or ``fermi-level-conflict`` when the document's Fermi level
            contradicts what it says beside the bands.
    """
    energies = document.energies[0] - document.efermi
    low, high = energies.min(axis=1), energies.max(axis=1)
    n_nonempty = int(np.sum((low < -FERMI_TOLERANCE) | (high <= FERMI_TOLERANCE)))
    first, end = n_nonempty - rule.n_valence, n_nonempty + rule.n_bands - rule.n_valence
    splitting = float(np.ptp(document.energies[:, :end], axis=0).max())
    if splitting > SPIN_TOLERANCE:
        raise InputError(
            "spin-polarised",
            f"{document.id}: spin channels differ by {splitting:.3f} eV, bands without spin are needed",
        )
    if first < 0 or end > len(energies):
        raise InputError(
            "too-few-bands",
            f"{document.id}: {n_nonempty} nonempty and {len(energies) - n_nonempty} empty bands,"
            f" {rule.n_valence} and {rule.n_bands - rule.n_valence} are needed",
        )
    crosses = bool(np.any((low < -FERMI_TOLERANCE) & (high > FERMI_TOLERANCE)))
    if crosses and document.is_metal is False:
        raise InputError("fermi-level-conflict", f"{document.id}: called an insulator, but a band crosses its Fermi level")
    is_metal = crosses or document.is_metal is True
    if not is_metal and document.n_occupied not in (None, n_nonempty):
        raise InputError(
            "fermi-level-conflict", f"{document.id}: {document.n_occupied} occupied bands, but {n_nonempty} below its Fermi level"
        )
    valence, conduction = float(high[n_nonempty - 1]), float(low[n_nonempty])
    zero = 0.0 if is_metal else 0.5 * (valence + conduction)
    gap = 0.0 if is_metal else conduction - valence
    return SelectedBands(energies[first:end] - zero, document.efermi + zero, first, is_metal, gap)


def document_crystal(document: BandDocument) -> Crystal:
    """The structure inside the document.

    Raises:
        InputError: ``no-structure``.
    """
    if document.crystal is None:
        raise InputError(
            "no-structure",
            f"{document.id}: no structure in the document or beside it, so its k-points cannot be related to a crystal",
        )
    return document.crystal


def computed_lines(document: BandDocument, cell: StandardCell) -> Lines:
    """The document's k-points as straight runs in the reciprocal lattice of the standard primitive cell.

    Raises:
        InputError: ``not-primitive`` when the bands belong to another cell than the primitive one (folded bands).
    """
    own = document_crystal(document)
    to_structure = document.reciprocal @ own.lattice.T / (2.0 * np.pi)  # the identity in most documents
    change = to_structure @ cell.basis_change.T  # f_standard = f_document @ change
    whole = np.rint(change)
    if np.abs(change - whole).max() > LATTICE_TOLERANCE or abs(round(float(np.linalg.det(whole)))) != 1:
        raise InputError(
            "not-primitive",
            f"{document.id}: the bands were computed for another lattice than that of the primitive cell;"
            " compute them for the primitive cell",
        )
    return straight_lines(document.frac_kpoints @ whole, cell.crystal.reciprocal, document.branches)


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
