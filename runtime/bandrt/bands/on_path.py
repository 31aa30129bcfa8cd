"""What figures and other packages' objects are made of: energies on a labelled walk, and where their edges lie."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.manifest import BandRule
from bandrt.quoting import shortened

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
