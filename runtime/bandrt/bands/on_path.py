"""What figures and other packages' objects are made of: energies on a labelled walk, and where their edges lie."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.manifest import BandRule
from bandrt.quoting import shortened

Energies = NDArray[np.floating[Any]]
SAME_LABEL = 1e-4
"""Fractional: pymatgen gives a k-point the label of any labelled point this close."""
GREEK = {"Γ": "\\Gamma", "Σ": "\\Sigma", "Λ": "\\Lambda", "Δ": "\\Delta"}
"""As pymatgen writes what labels begin with."""


class BandEdge(NamedTuple):
    """A valence-band maximum or a conduction-band minimum."""

    energy: float
    """eV."""
    kpoint_index: int
    """Where on the path."""
    frac_kpoint: tuple[float, float, float]
    """Fractional in the reciprocal of the standard primitive cell."""
    label: str | None
    """Name of the k-point when it is a labelled one."""

    def __str__(self) -> str:
        place = shortened(self.label or f"({', '.join(f'{_rounded(f, 4):g}' for f in self.frac_kpoint)})")
        return f"{_rounded(self.energy, 3):.3f} eV at {place}"

    def __repr__(self) -> str:
        return f"BandEdge({self})"


def _rounded(number: float, digits: int) -> float:
    """A number to be shown, of which rounding noise is gone, its sign with it: 0 for -1e-16."""
    return round(float(number), digits) + 0.0


class BandsOnPath(Protocol):
    """Bands on a walk through the Brillouin zone; `bandrt.bands.band_structure.BandStructure` says what each of these is."""

    @property
    def energies(self) -> Energies: ...
    @property
    def frac_kpoints(self) -> NDArray[np.float64]: ...
    @property
    def kpoint_distance(self) -> NDArray[np.float64]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def label_indices(self) -> NDArray[np.int64]: ...
    @property
    def crystal(self) -> Crystal: ...
    @property
    def space_group_symbol(self) -> str: ...
    @property
    def rule(self) -> BandRule: ...
    @property
    def n_nonempty(self) -> int: ...
    @property
    def band_gap(self) -> float: ...
    @property
    def is_metal(self) -> bool: ...
    @property
    def is_direct(self) -> bool: ...
    @property
    def efermi(self) -> float: ...
    @property
    def vbm(self) -> BandEdge | None: ...
    @property
    def cbm(self) -> BandEdge | None: ...


class Walked(Protocol):
    """A walk with labels: a `bandrt.kpaths.path.KPath`, or bands on one."""

    @property
    def kpoint_distance(self) -> NDArray[np.float64]: ...
    @property
    def label_indices(self) -> NDArray[np.int64]: ...


def segments(bands: Walked) -> list[tuple[int, int]]:
    """First and last k-point of each segment between two labels; where the path jumps there is none, for a jump has no length."""
    ends = zip(bands.label_indices[:-1].tolist(), bands.label_indices[1:].tolist(), strict=True)
    return [(start, end) for start, end in ends if bands.kpoint_distance[end] > bands.kpoint_distance[start]]


def segment_by_segment(bands: BandsOnPath, kpoints: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """k-points (P, 3) and energies (n_bands, P) of one segment after the other, each with both its ends.

    So pymatgen finds them: a new one begins where two labelled points are neighbours. One of two points gets the mean of both
    between them, or pymatgen would take it for a jump.

    Args:
        bands: on a path.
        kpoints: (K, 3), in whatever cell they shall be told.
    """
    points: list[int] = []
    between: list[int] = []  # places that get a mean
    for start, end in segments(bands):
        if end - start == 1:
            between.append(len(points) + 1)
            points += (start, start, end)
        else:
            points += range(start, end + 1)
    places, energies = kpoints[points], bands.energies[:, points].astype(np.float64)
    for place in between:
        places[place] = places[[place - 1, place + 1]].mean(axis=0)
        energies[:, place] = energies[:, [place - 1, place + 1]].mean(axis=1)
    return places, energies


def labelled_points(labels: tuple[str, ...], places: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Fractional coordinates by unique name, Greek letters as pymatgen writes them.

    Args:
        labels: of the ends of segments; those that share a name but not a place are told apart by primes.
        places: (n_labels, 3).
    """
    points: dict[str, NDArray[np.float64]] = {}
    same = (np.abs(places[:, None] - places).max(axis=2) < SAME_LABEL / 2).tolist()  # (n_labels, n_labels)
    taken: list[int] = []
    for index, (label, place) in enumerate(zip(labels, places, strict=True)):
        if any(same[index][known] for known in taken):
            continue
        taken.append(index)
        name = GREEK.get(label[:1], label[:1]) + label[1:]
        while name in points:
            name += "'"
        points[name] = place
    return points
