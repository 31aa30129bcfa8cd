"""What figures and other packages' objects are made of: energies on a labelled walk, and where their edges lie."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.manifest import BandRule

Energies = NDArray[np.floating[Any]]


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
        return f"{self.energy:.3f} eV at {self.label or '({:.4g}, {:.4g}, {:.4g})'.format(*self.frac_kpoint)}"

    def __repr__(self) -> str:
        return f"BandEdge({self})"


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
