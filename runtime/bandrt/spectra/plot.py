"""Figures of densities of states, alone and beside bands, and of several crystals beside each other.

Functions that take axes of matplotlib draw on them and give them back; those that make a figure give the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_choice, check_kind, not_allowed
from bandrt.bands.figures import MOST_INCHES, axes_or_new, inches_of, lay_out, look, new_figure, require_matplotlib
from bandrt.bands.lettering import pretty_formula, set_titles
from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.plot import plot
from bandrt.bands.view import View, Zero
from bandrt.bands.view import level as level_of
from bandrt.spectra.dos import DensityOfStates

Floats = NDArray[np.float64]
By = Literal["element", "shell", "total"]
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
"""Of elements, in the order of their atomic numbers: told apart by every kind of colour vision (Okabe and Ito)."""
SHELL_LINES = {"s": (0, (1, 1.2)), "p": "solid", "d": (0, (5, 1.5))}
_BANDS_INCHES, _DOS_INCHES, _HEIGHT_INCHES = 4.6, 1.9, 4.4
_BEYOND_EV = 6.0
"""How far beyond the edges a figure goes."""
_LEAST_SHARE = 0.01
"""Of the highest total: parts that are nowhere higher are not drawn, nor named."""
_HEADROOM = 1.05


def energy_range(band_gap: float) -> tuple[float, float]:
    """What of the energies a figure shows, eV, where nobody says."""
    return -0.5 * band_gap - _BEYOND_EV, 0.5 * band_gap + _BEYOND_EV


def shown_states(bands: BandsOnPath, window: tuple[float, float] | None, zero: Zero | None) -> tuple[float, float]:
    """The energies of a crystal that a figure of its bands shows, eV on their own scale: what a density beside them must hold.

    Args:
        bands: on a path.
        window: eV from the zero of the figure, from and to where; None: what `draw_bands` takes then.
        zero: what energies are counted from in the figure.
    """
    low, high = window or _shown([bands], zero)
    shift = View(zero=zero).shift(bands)
    return low + shift, high + shift


def _shown(bands: Sequence[BandsOnPath], zero: Zero | None) -> tuple[float, float]:
    """What of the energies a figure of several crystals shows, eV from its zero."""
    low, high = energy_range(max(one.band_gap for one in bands))
    shifts = [View(zero=zero).shift(one) for one in bands]
    return low - max(shifts), high - min(shifts)


def plot_dos(
    dos: DensityOfStates,
    ax: Any = None,
    *,
    by: str = "element",
    upright: bool = False,
    window: tuple[float, float] | None = None,
    level: float | None = None,
    shift: float = 0.0,
) -> Any:
    """Draw a density of states on axes of matplotlib.

    Args:
        dos: the density.
        ax: the axes to draw on; None makes a figure with ``pyplot``.
        by: its parts: ``element``, ``shell`` (s, p and d of each element) or ``total`` alone.
        upright: energies upwards, as beside bands.
        window: eV, from and to where.
        level: eV, marked by a line; None marks the Fermi level or mid-gap of the density itself.
        shift: eV, the energy of the density at which the axis has its zero; window is told on that axis.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument``.
        MissingPackageError: matplotlib is not installed.
    """
    check_kind("dos", dos, DensityOfStates)
    check_choice("by", by, By)
    require_matplotlib(what="drawing a density of states")
    ax = axes_or_new(ax, (_DOS_INCHES + 0.6, _HEIGHT_INCHES) if upright else (6.4, 3.6))
    colors, energies = look(), dos.energies - shift
    low, high = window or energy_range(dos.band_gap)
    shown = (energies >= low) & (energies <= high)
    top = float(dos.total[shown].max()) if shown.any() else 0.0
    ink: dict[str, Any] = {"color": colors.ink, "linewidth": 1.0, "label": "total", "zorder": 3}
    if upright:
        ax.fill_betweenx(energies, dos.total, color=colors.faint, alpha=0.35, linewidth=0, zorder=1)
        ax.plot(dos.total, energies, **ink)
    else:
        ax.fill_between(energies, dos.total, color=colors.faint, alpha=0.35, linewidth=0, zorder=1)
        ax.plot(energies, dos.total, **ink)
    for label, values, style in _parts(dos, by):
        if values[shown].max(initial=0.0) > _LEAST_SHARE * top:
            line = (values, energies) if upright else (energies, values)
            ax.plot(*line, label=label, linewidth=1.2, zorder=4, **style)
    marked: dict[str, Any] = {"color": colors.ink, "linewidth": 0.8, "linestyle": (0, (5, 4)), "zorder": 2}
    at = (dos.efermi if level is None else level) - shift
    most = _HEADROOM * top or 1.0
    if upright:
        ax.axhline(at, **marked)
        ax.set(xlim=(0.0, most), ylim=(low, high))
        ax.set_xlabel("DOS (1/eV)\nper cell,\nboth spins", fontsize=8)
    else:
        ax.axvline(at, **marked)
        name = "density of states, both spins\n(1/eV per primitive cell)"
        ax.set(ylim=(0.0, most), xlim=(low, high), ylabel=name, xlabel="energy (eV)")
    ax.tick_params(direction="in", labelsize=9)
    ax.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=8, handlelength=1.6, loc="best")
    return ax


def draw_dos(
    dos: DensityOfStates,
    *,
    by: str = "element",
    window: tuple[float, float] | None = None,
    name: str = "",
    width: float | None = None,
    height: float | None = None,
) -> Any:
    """Draw a density of states as a matplotlib ``Figure``, so many inches wide and high; see `plot_dos`."""
    require_matplotlib(what="drawing a density of states")
    figure = new_figure(6.4 if width is None else width, 3.6 if height is None else height)
    axes = plot_dos(dos, figure.add_subplot(), by=by, window=window)
    lay_out(figure)
    set_titles(axes, f"{pretty_formula(dos.crystal.formula)}   {dos.verdict}", name, inches_of(axes))
    return figure


def draw_bands(
    bands: Sequence[BandsOnPath],
    dos: Sequence[DensityOfStates] = (),
    *,
    names: Sequence[str] = (),
    by: str = "element",
    window: tuple[float, float] | None = None,
    zero: Zero | None = None,
    full_walk: bool = True,
    width: float | None = None,
    height: float | None = None,
) -> Any:
    """Draw bands of one or several crystals beside each other as a matplotlib ``Figure``, with densities of states if given.

    All have one energy axis.

    Args:
        bands: of each crystal, on a path.
        dos: of each, or none.
        names: shown beside the formula of each.
        by: parts of the densities, see `plot_dos`.
        window: eV, from and to where.
        zero: what energies are counted from, see `bandrt.bands.view.level`; as they are for None.
        full_walk: draw segments as often as a path passes them; else each once.
        width: inches; what the crystals need for None.
        height: inches.

    Raises:
        ArgumentError: ``bad-argument`` for densities or names that are not as many, a size or zero that there is not.
        MissingPackageError: matplotlib is not installed.
    """
    for what, given in (("dos", dos), ("names", names)):
        if len(given) not in (0, len(bands)):
            raise not_allowed(what, given, f"none, or {len(bands)}")
    require_matplotlib()
    view = View(*(window or _shown(bands, zero)), zero=zero)
    widths = [width for _ in bands for width in ((_BANDS_INCHES, _DOS_INCHES) if dos else (_BANDS_INCHES,))]
    figure = new_figure(
        min(sum(widths) + 0.7, MOST_INCHES) if width is None else width, _HEIGHT_INCHES if height is None else height
    )
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    axes[0].set_ylabel("energy (eV)")
    lay_out(figure)
    names_of_levels = [level_of(one, zero).name for one in bands]
    each = 2 if dos else 1
    for index, one in enumerate(bands):
        own = axes[each * index]
        plot(
            one, own, name=names[index] if names else "", full_walk=full_walk, ymin=view.ymin, ymax=view.ymax, zero=zero,
        )  # fmt: skip
        own.set_ylabel("" if index else view.axis_name(names_of_levels))
        if dos:
            plot_dos(
                dos[index], axes[each * index + 1], by=by, upright=True, window=own.get_ylim(), level=level_of(one, zero).energy,
                shift=view.shift(one),
            )  # fmt: skip
    return figure


def element_colors(symbols: Sequence[str]) -> Mapping[str, str]:
    """A colour for each element of a crystal."""
    return {symbol: PALETTE[place % len(PALETTE)] for place, symbol in enumerate(dict.fromkeys(symbols))}


def _parts(dos: DensityOfStates, by: str) -> list[tuple[str, Floats, dict[str, Any]]]:
    """Name, values and style of each part."""
    if by == "total":
        return []
    colors = element_colors(dos.crystal.symbols)
    if by == "element":
        return [(element, values, {"color": colors[element]}) for element, values in dos.by_element().items()]
    return [
        (f"{element} {shell}", values, {"color": colors[element], "linestyle": SHELL_LINES[shell]})
        for (element, shell), values in dos.by_shell().items()
    ]
