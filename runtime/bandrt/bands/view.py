"""What of a band structure a figure shows: which energies, from which zero, along which segments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bandrt.arguments import check_choice, check_kind, check_text, checked_number, not_allowed
from bandrt.bands.branches import Branch, branches
from bandrt.bands.on_path import BandsOnPath

Zero = Literal["midgap", "vbm", "efermi"]
E_F, MID_GAP, VBM = "$E_\\mathrm{F}$", "mid-gap", "VBM"
"""Levels as figures print them."""
MOST_EV = 1000.0
"""Energies that can be shown."""


class Level(NamedTuple):
    """An energy that figures mark or count from."""

    energy: float
    """eV, on the scale of the bands."""
    name: str
    """As it is printed."""


def level(bands: BandsOnPath, zero: Zero | None = None) -> Level:
    """The level that is marked, and counted from where that is asked for.

    Args:
        bands: the band structure.
        zero: ``vbm``, the highest filled energy on the path, or ``midgap``, the middle between both edges on the path; of a metal,
            which has neither, its Fermi level. ``efermi`` and None: the Fermi level of a metal, mid-gap of an insulator.
    """
    if bands.is_metal or bands.vbm is None or bands.cbm is None:
        return Level(bands.efermi, E_F)
    if zero == "vbm":
        return Level(bands.vbm.energy, VBM)
    return Level(0.5 * (bands.vbm.energy + bands.cbm.energy) if zero == "midgap" else bands.efermi, MID_GAP)


@dataclass(frozen=True)
class View:
    """What of band structures a figure shows.

    Attributes:
        ymin: eV, the lowest energy; None for what is there.
        ymax: eV, the highest.
        zero: the level that energies are counted from, see `level`; None: as they are predicted.
        segments: these alone, such as ``G-X``; none: all of the path.
        full_walk: segments as often as the walk passes them.

    Raises:
        ArgumentError: ``bad-argument``.
    """

    ymin: float | None = None
    ymax: float | None = None
    zero: Zero | None = None
    segments: Sequence[str] = ()
    full_walk: bool = False

    def __post_init__(self) -> None:
        for name in ("ymin", "ymax"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, checked_number(name, given, at_least=-MOST_EV, at_most=MOST_EV))
        if self.ymin is not None and self.ymax is not None and self.ymin >= self.ymax:
            raise not_allowed("ymin", self.ymin, f"less than ymax, {self.ymax:g}")
        if self.zero is not None:
            check_choice("zero", self.zero, Zero)
        check_kind("full_walk", self.full_walk, bool)
        if isinstance(self.segments, str):
            object.__setattr__(self, "segments", (self.segments,))
        check_kind("segments", self.segments, list, tuple)
        for one in self.segments:
            check_text("each of segments", one)
        if self.segments and self.full_walk:
            raise not_allowed("full_walk", True, "False where segments are chosen, each of which is drawn once")

    def branches(self, bands: BandsOnPath) -> list[Branch]:
        """What is drawn of a path.

        Raises:
            UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``.
        """
        return branches(bands, full_walk=self.full_walk, segments=self.segments)

    def shift(self, bands: BandsOnPath) -> float:
        """What is taken from energies before they are drawn, eV."""
        return 0.0 if self.zero is None else level(bands, self.zero).energy

    def shows(self, energy: float) -> bool:
        """Whether an energy, from the zero of the figure, lies within it."""
        return (self.ymin is None or energy >= self.ymin) and (self.ymax is None or energy <= self.ymax)

    def axis_name(self, levels: Collection[str]) -> str:
        """What the axis of energies is called, of bands that are counted from these levels."""
        return "energy (eV)" if self.zero is None else f"energy from {' or '.join(sorted(set(levels), reverse=True))} (eV)"

    def limit(self, ax: Any) -> None:
        """Set the limits of energies that were asked for.

        Raises:
            ArgumentError: ``bad-argument`` for one beyond all that is drawn.
        """
        low, high = (float(end) for end in ax.get_ylim())
        if self.ymax is None and self.ymin is not None and self.ymin >= high:
            raise not_allowed("ymin", self.ymin, f"less than {high:.1f}, above which nothing is drawn, or give ymax, too")
        if self.ymin is None and self.ymax is not None and self.ymax <= low:
            raise not_allowed("ymax", self.ymax, f"more than {low:.1f}, below which nothing is drawn, or give ymin, too")
        if not (self.ymin is None and self.ymax is None):
            ax.set_ylim(self.ymin if self.ymin is not None else low, self.ymax if self.ymax is not None else high)
