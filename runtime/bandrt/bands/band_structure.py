"""Band structures: what energies on a k-path say about a crystal.

Energies are in eV on the scale an engine predicts them on: zero is the Fermi level of a metal and mid-gap of an insulator. Bands
are numbered by energy at each k-point, so a band structure's bands never cross; `in_order` restores that after a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_choice, check_kind, checked_whole, not_allowed
from bandrt.bands.on_path import BandEdge, Energies
from bandrt.bands.visits import direct_gaps
from bandrt.crystal import Crystal
from bandrt.manifest import ZERO_GAP_EV, BandRule
from bandrt.quoting import shortened
from bandrt.recipe import Scheme

DEGENERACY_EV = 1e-4
"""eV: energies that differ by less are equal, which is what engines guarantee (the parity limit of fp32)."""


def in_order(energies: Energies) -> Energies:
    """Number bands by energy at each k-point.

    Args:
        energies: (..., n_bands, n_kpoints), eV.

    Returns:
        The same energies, ascending along the band axis.
    """
    return np.sort(energies, axis=-2)


def gaps(energies: Energies, rule: BandRule) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Apply the metal rule to one or many band structures.

    A crystal is a metal when its halves overlap or touch, ``min_k E_conduction - max_k E_valence <= ZERO_GAP_EV``, or when a band
    crosses zero by more than the tolerance on both sides; otherwise that is its gap. Bands outside the rule's window are not asked.

    Args:
        energies: (..., n_bands, n_kpoints), eV.
        rule: which bands are the lower half, and the tolerance.

    Returns:
        The gap in eV, zero for metals, and whether it is a metal, both (...).
    """
    asked = energies[..., rule.window, :]
    n_valence = rule.n_valence - rule.window.start
    top = asked.max(axis=-1).astype(np.float64)  # (..., bands of the window)
    bottom = asked.min(axis=-1).astype(np.float64)
    gap = bottom[..., n_valence:].min(axis=-1) - top[..., :n_valence].max(axis=-1)
    metal = crosses(asked, rule.metal_tolerance_ev).any(axis=-1) | (gap <= ZERO_GAP_EV)
    return np.where(metal, 0.0, gap), metal


def crosses(energies: Energies, tolerance_ev: float) -> NDArray[np.bool_]:
    """Which bands reach further than a tolerance beyond zero on both sides, (...).

    Args:
        energies: (..., n_kpoints), eV.
        tolerance_ev: of both sides.
    """
    return np.asarray((energies.max(axis=-1) > tolerance_ev) & (energies.min(axis=-1) < -tolerance_ev))


def level_of_overlap(valence_top: NDArray[np.floating[Any]], conduction_bottom: NDArray[np.floating[Any]]) -> float:
    """The energy nearest to zero, eV, at which halves overlap that overlap or touch.

    It lies two tolerances inside the overlap, so that the highest valence band crosses it; where the halves only touch, just below
    that, or just above it if the valence band is flat.

    Args:
        valence_top: (n_kpoints,) eV.
        conduction_bottom: (n_kpoints,) eV.
    """
    top, bottom = float(valence_top.max()), float(conduction_bottom.min())
    low, high = bottom + 2 * DEGENERACY_EV, top - 2 * DEGENERACY_EV
    is_flat = top - float(valence_top.min()) < 4 * DEGENERACY_EV
    return low if low > high and is_flat else float(np.clip(0.0, low, high))


@dataclass(frozen=True, eq=False)
class BandStructure:
    """Energies of a crystal's bands around the Fermi level, on a labelled walk through its Brillouin zone.

    Attributes:
        energies: (n_bands, n_kpoints), eV, ascending along the band axis; the lower `rule.n_valence` bands are the valence half.
            Six, three of them valence, unless more were asked for: then those of them that the crystal has. Read-only: other
            energies are another band structure, ``dataclasses.replace(bands, energies=...)``.
        frac_kpoints: (n_kpoints, 3) float64, fractional in the reciprocal of `crystal`.
        kpoint_distance: (n_kpoints,) float64, 1/Å, length of the walk up to each point.
        labels: names of the walk's vertices, in walk order.
        label_indices: (n_labels,), which k-point each vertex is.
        crystal: the standard primitive cell.
        space_group: 1 to 230.
        space_group_symbol: international short symbol, e.g. ``Fm-3m``.
        scheme: the convention that chose the lines.
        rule: what decides between metal and insulator.
    """

    energies: Energies
    frac_kpoints: NDArray[np.float64]
    kpoint_distance: NDArray[np.float64]
    labels: tuple[str, ...]
    label_indices: NDArray[np.int64]
    crystal: Crystal
    space_group: int
    space_group_symbol: str
    scheme: Scheme
    rule: BandRule

    def __post_init__(self) -> None:
        """Refuse what is no band structure.

        Raises:
            ArgumentError: ``bad-argument``, naming the attribute.
        """
        check_kind("crystal", self.crystal, Crystal)
        check_kind("rule", self.rule, BandRule)
        check_kind("space_group_symbol", self.space_group_symbol, str)
        check_choice("scheme", self.scheme, Scheme)
        object.__setattr__(self, "space_group", checked_whole("space_group", self.space_group, at_least=1, at_most=230))
        object.__setattr__(self, "labels", tuple(self.labels))
        for name in ("energies", "frac_kpoints", "kpoint_distance", "label_indices"):
            check_kind(name, getattr(self, name), np.ndarray)
        if self.energies.ndim != 2 or len(self.energies) <= self.rule.n_valence or not self.energies.size:
            allowed = f"(n_bands, n_kpoints), more than {self.rule.n_valence} bands"
            raise not_allowed("the shape of energies", self.energies.shape, allowed)
        if not np.isfinite(self.energies).all():
            raise not_allowed("energies", self.energies, "finite numbers, eV")
        n_kpoints = self.energies.shape[1]
        for name, shape in (
            ("frac_kpoints", (n_kpoints, 3)),
            ("kpoint_distance", (n_kpoints,)),
            ("label_indices", (len(self.labels),)),
        ):
            if getattr(self, name).shape != shape:
                raise not_allowed(f"the shape of {name}", getattr(self, name).shape, str(shape))
        indices = self.label_indices.tolist()
        if indices and not 0 <= min(indices) <= max(indices) < n_kpoints:
            raise not_allowed("label_indices", self.label_indices, f"0 to {n_kpoints - 1}")
        if self.energies.flags.writeable:  # an array of somebody else's
            object.__setattr__(self, "energies", read_only(self.energies.copy()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        read_only(self.energies)  # copies and what comes out of a pickle can be written

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return len(self.energies)

    @property
    def band_gap(self) -> float:
        """Fundamental gap in eV, 0 for a metal."""
        return _extremes(self).gap

    @property
    def is_metal(self) -> bool:
        """Whether the halves overlap or a band crosses zero by more than the tolerance."""
        return _extremes(self).is_metal

    @property
    def is_direct(self) -> bool:
        """Whether valence maximum and conduction minimum lie at the same k-point, to within `DEGENERACY_EV`; False for a metal."""
        return not self.is_metal and self.direct_gap - self.band_gap <= DEGENERACY_EV

    @property
    def direct_gap(self) -> float:
        """Smallest distance between the halves at one k-point in eV, over all its visits; 0 for a metal."""
        return _extremes(self).direct_gap

    @property
    def vbm(self) -> BandEdge | None:
        """The valence-band maximum; None for a metal."""
        return None if self.is_metal else self._edge(float(self._valence_top.max()), int(self._valence_top.argmax()))

    @property
    def cbm(self) -> BandEdge | None:
        """The conduction-band minimum; None for a metal."""
        return None if self.is_metal else self._edge(float(self._conduction_bottom.min()), int(self._conduction_bottom.argmin()))

    @property
    def efermi(self) -> float:
        """The level between filled and empty states, eV: mid-gap of an insulator; zero for a metal, or where zero lies in no band
        the energy nearest to it at which the halves overlap."""
        top, bottom = float(self._valence_top.max()), float(self._conduction_bottom.min())
        if not self.is_metal:
            return 0.5 * (top + bottom)
        asked = self.energies[self.rule.window]
        return 0.0 if crosses(asked, DEGENERACY_EV).any() else level_of_overlap(self._valence_top, self._conduction_bottom)

    @property
    def n_nonempty(self) -> int:
        """How many of the bands are not empty, the lowest ones: those of the valence half."""
        return self.rule.n_valence

    @property
    def band_center(self) -> NDArray[np.float64]:
        """Mean energy of each band over the path, (n_bands,), eV."""
        return np.asarray(self.energies.mean(axis=1, dtype=np.float64))

    @property
    def band_dispersion(self) -> NDArray[np.float64]:
        """Energies relative to their band's centre, (n_bands, n_kpoints), eV."""
        return self.energies - self.band_center[:, None]

    def __repr__(self) -> str:
        n_bands, n_kpoints = self.energies.shape
        return f"BandStructure({shortened(self.crystal.formula)}, {n_bands} bands x {n_kpoints} k-points, {self.verdict})"

    @property
    def verdict(self) -> str:
        """Metal or gap in words: ``metal``, ``gap 5.01 eV direct``, ``gap 1.17 eV indirect``."""
        return "metal" if self.is_metal else f"gap {self.band_gap:.2f} eV {'direct' if self.is_direct else 'indirect'}"

    def _repr_html_(self) -> str:
        from bandrt.bands.html import shown

        return shown("BandStructure", self.facts, self)

    def facts(self) -> dict[str, str]:
        """What a short table says of it: values as text, by name."""
        edges = {"valence maximum": self.vbm, "conduction minimum": self.cbm}
        return {
            "formula": self.crystal.formula,
            "space group": f"{self.space_group_symbol} ({self.space_group})",
            "atoms": str(self.crystal.n_atoms),
            "bands": self.verdict,
            **{name: str(edge) for name, edge in edges.items() if edge},
            "path": f"{self.scheme}, {self.energies.shape[1]} k-points",
        }

    def plot(
        self,
        ax: Any = None,
        *,
        name: str = "",
        full_walk: bool = False,
        ymin: float | None = None,
        ymax: float | None = None,
        zero: Literal["midgap", "vbm", "efermi"] | None = None,
        segments: Sequence[str] = (),
    ) -> Any:
        """Draw it on axes of matplotlib, which are returned; on new ones if none are given.

        Args:
            ax: the axes to draw on; None makes a figure with ``pyplot``.
            name: shown beside the formula, usually the id.
            full_walk: draw segments as often as the walk passes them.
            ymin: eV, the lowest energy shown; what is there for None.
            ymax: eV, the highest.
            zero: what energies are counted from: the highest filled one (``vbm``), ``midgap``, or the level that a band structure
                calls `efermi`, which is that of every metal; as they are for None.
            segments: draw these alone, such as ``G-X``.

        Raises:
            ArgumentError: ``bad-argument``, such as for what is no axes, text, or yes or no.
            UsageError: ``unknown-label``, ``bad-path``, or ``unknown-segment`` for what is not on the path.
            MissingPackageError: matplotlib is not installed.
        """
        from bandrt.bands.plot import plot

        check_kind("name", name, str)
        return plot(self, ax, name=name, full_walk=full_walk, ymin=ymin, ymax=ymax, zero=zero, segments=segments)

    def to_pymatgen(self) -> Any:
        """Convert to a pymatgen ``BandStructureSymmLine`` that keeps every branch and label and agrees on gap and metal.

        Raises:
            MissingPackageError: pymatgen is not installed.
        """
        from bandrt.bands.pymatgen import band_structure_to_pymatgen

        return band_structure_to_pymatgen(self)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "energies": self.energies.tolist(),
            "frac_kpoints": self.frac_kpoints.tolist(),
            "kpoint_distance": self.kpoint_distance.tolist(),
            "labels": list(self.labels),
            "label_indices": self.label_indices.tolist(),
            "lattice": self.crystal.lattice.tolist(),
            "atomic_numbers": self.crystal.atomic_numbers.tolist(),
            "frac_coords": self.crystal.frac_coords.tolist(),
            "space_group": self.space_group,
            "space_group_symbol": self.space_group_symbol,
            "scheme": self.scheme,
            "n_valence": self.rule.n_valence,
            "band_gap": self.band_gap,
            "is_metal": self.is_metal,
            "direct_gap": self.direct_gap,
            "is_direct": self.is_direct,
            "efermi": self.efermi,
            "vbm": None if self.vbm is None else self.vbm._asdict(),
            "cbm": None if self.cbm is None else self.cbm._asdict(),
        }

    @property
    def _valence_top(self) -> NDArray[np.float64]:
        return _extremes(self).valence_top

    @property
    def _conduction_bottom(self) -> NDArray[np.float64]:
        return _extremes(self).conduction_bottom

    @property
    def _vertical_gaps(self) -> NDArray[np.float64]:
        return self._conduction_bottom - self._valence_top  # (n_kpoints,)

    def _edge(self, energy: float, kpoint_index: int) -> BandEdge:
        vertical = self._vertical_gaps
        if float(vertical.min()) - self.band_gap <= DEGENERACY_EV:  # of several visits of a corner, show both edges at the same one
            kpoint_index = int(vertical.argmin())
        named = np.flatnonzero(self.label_indices == kpoint_index)
        a, b, c = (float(f) for f in self.frac_kpoints[kpoint_index])
        return BandEdge(energy, kpoint_index, (a, b, c), self.labels[named[0]] if len(named) else None)


def read_only(energies: Energies) -> Energies:
    """Energies, (n_bands, n_kpoints), that nobody changes any more, so that a gap that was told stays that of the bands."""
    energies.flags.writeable = False
    return energies


class _Extremes(NamedTuple):
    """What gap and band edges are read from."""

    gap: float
    is_metal: bool
    valence_top: NDArray[np.float64]
    """(n_kpoints,): the highest of the lower bands at each k-point."""
    conduction_bottom: NDArray[np.float64]
    """(n_kpoints,): the lowest of the upper bands at each k-point."""
    direct_gap: float


@lru_cache(maxsize=1)
def _extremes(bands: BandStructure) -> _Extremes:
    """Remembered for the one band structure that was asked last: a summary asks a dozen times in a row."""
    gap, metal = gaps(bands.energies, bands.rule)
    top = np.asarray(bands.energies[: bands.rule.n_valence].max(axis=0), np.float64)
    bottom = np.asarray(bands.energies[bands.rule.n_valence :].min(axis=0), np.float64)
    direct_gap = 0.0 if metal else float(direct_gaps(bands.frac_kpoints, top, bottom))
    return _Extremes(float(gap), bool(metal), top, bottom, direct_gap)
