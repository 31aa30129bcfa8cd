"""All bands of one crystal on k-points of the user's own: on a path, or anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind, checked_whole
from bandrt.bands.band_structure import DEGENERACY_EV, crosses, level_of_overlap
from bandrt.bands.on_path import BandEdge, labelled_points
from bandrt.crystal import Crystal
from bandrt.kpaths.path import KPath
from bandrt.kpaths.spelling import parse_path
from bandrt.manifest import ZERO_GAP_EV, BandRule
from bandrt.quoting import shortened
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian, checked_kpoints
from bandrt.spectra.documents import bands_document
from bandrt.spectra.kpoints import KLines, lines_between
from bandrt.spectra.pymatgen import band_structure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SampledBands:
    """Bands of a crystal at some k-points, on the energy scale of the engine's bands.

    Gap and edges are those over these k-points, which need not hold the crystal's own; `of_crystal_ev` is its gap. Whether it is a
    metal is the engine's verdict, unless bands overlap at these k-points; and where they are nearer than the engine found, that is
    the gap of the crystal.

    Attributes:
        energies: (n_bands, K) eV, ascending along the band axis.
        frac_kpoints: (K, 3), fractional in the reciprocal of `crystal`.
        kpoint_distance: (K,) 1/Å, length of the path up to each point; zeros where there is no path.
        labels: names of the ends of its segments; none where there is no path.
        label_indices: (n_labels,) which k-points they are.
        crystal: the standard primitive cell.
        space_group: 1 to 230.
        space_group_symbol: e.g. ``Fm-3m``.
        rule: which bands would be filled: the lower `n_valence`.
        n_nonempty: how many of these bands are not empty on the engine's path; in a metal that may be more of them than these are.
        first_band: how many lower bands of the Hamiltonian are left out.
        is_metal: by the engine's path and mesh, and these k-points.
        of_crystal_ev: the gap of the crystal, by the engine's path and mesh, and these k-points; 0 for a metal.
        kpath_gap_ev: that of the engine's path alone, see `CrystalHamiltonian.kpath_gap`.
        shown_kpoints: (K, 3), fractional in the reciprocal of `shown_crystal`.
        shown_crystal: the cell that k-points are told in: the primitive one, or that which the crystal came in.
        warnings: of the Hamiltonian.
        uncertainty_ev: mean absolute error to expect of the energies; None where there is none.
        n_flat_levels: how many of these bands are levels of inner shells, the same at every k-point.
    """

    energies: Floats
    frac_kpoints: Floats
    kpoint_distance: Floats
    labels: tuple[str, ...]
    label_indices: NDArray[np.int64]
    crystal: Crystal
    space_group: int
    space_group_symbol: str
    rule: BandRule
    n_nonempty: int
    first_band: int
    is_metal: bool
    of_crystal_ev: float
    shown_kpoints: Floats
    shown_crystal: Crystal
    kpath_gap_ev: float | None = None
    warnings: tuple[str, ...] = ()
    uncertainty_ev: float | None = None
    n_flat_levels: int = 0

    def __repr__(self) -> str:
        n_bands, n_kpoints = self.energies.shape
        verdict = "metal" if self.is_metal else f"gap {self.of_crystal_ev:.2f} eV"
        return f"SampledBands({shortened(self.crystal.formula, 40)}, {n_bands} bands x {n_kpoints} k-points, {verdict})"

    @property
    def is_path(self) -> bool:
        """Whether the k-points lie on segments between labels."""
        return bool(self.labels)

    @property
    def efermi(self) -> float:
        """The level between filled and empty states, eV: the zero, the engine's own; of a metal in which no band crosses it at
        these k-points, but the halves overlap at them, the energy nearest to it at which they do."""
        if not self.is_metal or crosses(self.energies, DEGENERACY_EV).any():
            return 0.0
        if float(self._bottom.min() - self._top.max()) <= ZERO_GAP_EV:
            return level_of_overlap(self._top, self._bottom)
        return DEGENERACY_EV if np.abs(self._top).max() <= DEGENERACY_EV else 0.0  # a band of one level, half full, is below

    @property
    def band_gap(self) -> float:
        """Over these k-points, eV; 0 for a metal."""
        return 0.0 if self.is_metal else float(self._bottom.min() - self._top.max())

    @property
    def direct_gap(self) -> float:
        """The least distance of filled and empty bands at one of these k-points, eV; 0 for a metal."""
        return 0.0 if self.is_metal else float((self._bottom - self._top).min())

    @property
    def is_direct(self) -> bool:
        """Whether both edges over these k-points are at the same one; False for a metal."""
        return not self.is_metal and self.direct_gap - self.band_gap <= DEGENERACY_EV

    @property
    def vbm(self) -> BandEdge | None:
        """The highest filled energy at these k-points; None for a metal."""
        return None if self.is_metal else self._edge(float(self._top.max()), int(self._top.argmax()))

    @property
    def cbm(self) -> BandEdge | None:
        """The lowest empty energy at these k-points; None for a metal."""
        return None if self.is_metal else self._edge(float(self._bottom.min()), int(self._bottom.argmin()))

    @property
    def crossing(self) -> tuple[int, ...]:
        """Bands of a metal on both sides of the Fermi level at these k-points, counted from the lowest of the Hamiltonian."""
        found = np.flatnonzero(crosses(self.energies - self.efermi, 0.0)) + self.first_band
        return tuple(found.tolist()) if self.is_metal else ()

    def labelled_points(self) -> dict[str, Floats]:
        """k-points by their names as pymatgen writes them, in the cell that is shown."""
        return labelled_points(self.labels, self.shown_kpoints[self.label_indices])

    def summary(self) -> dict[str, Any]:
        """What a short table says of it, as plain JSON values."""
        vbm, cbm = self.vbm, self.cbm
        return {
            "formula": self.crystal.formula,
            "space_group": self.space_group,
            "n_bands": len(self.energies),
            "n_flat_levels": self.n_flat_levels,
            "first_band": self.first_band,
            "n_filled": self.first_band + self.rule.n_valence,
            "n_kpoints": len(self.frac_kpoints),
            "is_metal": self.is_metal,
            "band_gap_ev": self.of_crystal_ev,
            "band_gap_of_kpath_ev": self.kpath_gap_ev,
            "band_gap_of_these_kpoints_ev": self.band_gap,
            "direct_gap_of_these_kpoints_ev": self.direct_gap,
            "vbm_ev": None if vbm is None else vbm.energy,
            "vbm_kpoint": None if vbm is None else self.shown_kpoints[vbm.kpoint_index].tolist(),
            "cbm_ev": None if cbm is None else cbm.energy,
            "cbm_kpoint": None if cbm is None else self.shown_kpoints[cbm.kpoint_index].tolist(),
            "crossing_bands": list(self.crossing),
            "uncertainty_ev": self.uncertainty_ev,
            "warnings": list(self.warnings),
        }

    def as_dict(self) -> dict[str, Any]:
        """The document of a ``BandStructureSymmLine`` of pymatgen, without a path of a ``BandStructure``; it is not needed."""
        return bands_document(self, self.shown_crystal, self.shown_kpoints, self.labelled_points(), self.summary())

    def to_pymatgen(self) -> Any:
        """Convert to that class of pymatgen.

        Raises:
            MissingPackageError: pymatgen is not installed.
        """
        return band_structure(self.as_dict())

    @property
    def _top(self) -> Floats:
        return np.asarray(self.energies[self.rule.n_valence - 1])

    @property
    def _bottom(self) -> Floats:
        return np.asarray(self.energies[self.rule.n_valence])

    def _edge(self, energy: float, index: int) -> BandEdge:
        named = np.flatnonzero(self.label_indices == index)
        a, b, c = (float(value) for value in self.frac_kpoints[index])
        return BandEdge(energy, index, (a, b, c), self.labels[named[0]] if len(named) else None)


def bands_along(
    hamiltonian: CrystalHamiltonian, path: str | None = None, *, n_bands: int | None = None, original_cell: bool = False
) -> SampledBands:
    """Compute bands on a path.

    Args:
        hamiltonian: of the crystal.
        path: labels of its own k-path, such as ``G-X-W|U-L``; None for all of that.
        n_bands: so many around half filling, half of them above it; None for all.
        original_cell: tell k-points in the cell that the crystal came in; that of a prediction is a standard primitive one.

    Raises:
        UsageError: ``unknown-label``, ``bad-path``.
    """
    check_kind("hamiltonian", hamiltonian, CrystalHamiltonian)
    kpath = hamiltonian.kpath
    lines: KPath | KLines = kpath
    if path is not None:
        check_kind("path", path, str)
        lines = lines_between(parse_path(path, kpath.labels), kpath, hamiltonian.cell)
    return _sampled(hamiltonian, lines, n_bands, original_cell)


def bands_at(
    hamiltonian: CrystalHamiltonian, kpoints: Any, *, n_bands: int | None = None, original_cell: bool = False
) -> SampledBands:
    """Compute bands at any k-points.

    Args:
        hamiltonian: of the crystal.
        kpoints: (K, 3), fractional in the reciprocal of the standard primitive cell.
        n_bands: so many around half filling, half of them above it; None for all.
        original_cell: they are fractional in the reciprocal of the cell that the crystal came in; the crystal of a prediction is in
            a standard primitive one. Of a cell that is not primitive, bands are those of the primitive one, not folded.
    """
    check_kind("hamiltonian", hamiltonian, CrystalHamiltonian)
    points = hamiltonian.to_standard(kpoints) if original_cell else checked_kpoints(kpoints)
    return _sampled(hamiltonian, KLines(points, np.zeros(len(points)), (), np.zeros(0, np.int64)), n_bands, original_cell)


def _sampled(hamiltonian: CrystalHamiltonian, lines: KPath | KLines, n_bands: int | None, original_cell: bool) -> SampledBands:
    half, first, end = hamiltonian.n_filled, 0, hamiltonian.n_bands
    if n_bands is not None:
        each = checked_whole("n_bands", n_bands, at_least=2) // 2
        first, end = max(0, half - each), min(end, half + n_bands - each)
    energies = hamiltonian.eigenvalues(lines.frac_kpoints)[:, first:end]
    top, bottom = energies[:, half - first - 1].max(), energies[:, half - first].min()
    here = float(bottom - top)
    is_metal = hamiltonian.is_metal or here <= ZERO_GAP_EV
    return SampledBands(
        energies=np.ascontiguousarray(energies.T),
        frac_kpoints=lines.frac_kpoints,
        kpoint_distance=lines.kpoint_distance,
        labels=lines.labels,
        label_indices=lines.label_indices,
        crystal=hamiltonian.crystal,
        space_group=hamiltonian.cell.space_group,
        space_group_symbol=hamiltonian.cell.space_group_symbol,
        rule=BandRule(n_bands=end - first, n_valence=half - first),
        n_nonempty=hamiltonian.n_nonempty - first,
        first_band=first,
        is_metal=is_metal,
        of_crystal_ev=0.0 if is_metal else min(hamiltonian.band_gap, here),
        kpath_gap_ev=hamiltonian.kpath_gap,
        shown_kpoints=hamiltonian.to_original(lines.frac_kpoints) if original_cell else lines.frac_kpoints,
        shown_crystal=hamiltonian.original if original_cell else hamiltonian.crystal,
        warnings=hamiltonian.warnings,
        uncertainty_ev=hamiltonian.uncertainty_ev,
        n_flat_levels=int(np.isin(energies, hamiltonian.flat_levels).sum(axis=1).min()),
    )
