"""Figures of densities of states, alone and beside bands, and of several crystals beside each other.

Functions that take axes of matplotlib draw on them and give them back; those that make a figure give the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_choice, check_kind, not_allowed
from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.plot import (
    axes_or_new,
    branches,
    inches_of,
    plot,
    pretty_formula,
    require_matplotlib,
    set_path_axis,
    set_titles,
    ticks,
)
from bandrt.spectra.dos import DensityOfStates

Floats = NDArray[np.float64]
By = Literal["element", "shell", "total"]
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
"""Of elements, in the order of their atomic numbers: told apart by every kind of colour vision (Okabe and Ito)."""
SHELL_LINES = {"s": (0, (1, 1.2)), "p": "solid", "d": (0, (5, 1.5))}
_INK, _FAINT, _PREDICTED, _REFERENCE = "#222222", "#B0B0B0", "#D55E00", "#333333"
_BANDS_INCHES, _DOS_INCHES, _HEIGHT_INCHES = 4.6, 1.9, 4.4
_BEYOND_EV = 6.0
"""How far beyond the edges a figure goes."""
_LEAST_SHARE = 0.01
"""Of the highest total: parts that are nowhere higher are not drawn, nor named."""
_HEADROOM = 1.05


def energy_range(band_gap: float) -> tuple[float, float]:
    """What of the energies a figure shows, eV, where nobody says."""
    return -0.5 * band_gap - _BEYOND_EV, 0.5 * band_gap + _BEYOND_EV


def plot_dos(
    dos: DensityOfStates,
    ax: Any = None,
    *,
    by: str = "element",
    upright: bool = False,
    window: tuple[float, float] | None = None,
    level: float | None = None,
) -> Any:
    """Draw a density of states on axes of matplotlib.

    Args:
        dos: the density.
        ax: the axes to draw on; None makes a figure with ``pyplot``.
        by: its parts: ``element``, ``shell`` (s, p and d of each element) or ``total`` alone.
        upright: energies upwards, as beside bands.
        window: eV, from and to where.
        level: eV, marked by a line; None marks the Fermi level or mid-gap of the density itself.

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
    low, high = window or energy_range(dos.band_gap)
    shown = (dos.energies >= low) & (dos.energies <= high)
    top = float(dos.total[shown].max()) if shown.any() else 0.0
    ink: dict[str, Any] = {"color": _INK, "linewidth": 1.0, "label": "total", "zorder": 3}
    if upright:
        ax.fill_betweenx(dos.energies, dos.total, color=_FAINT, alpha=0.35, linewidth=0, zorder=1)
        ax.plot(dos.total, dos.energies, **ink)
    else:
        ax.fill_between(dos.energies, dos.total, color=_FAINT, alpha=0.35, linewidth=0, zorder=1)
        ax.plot(dos.energies, dos.total, **ink)
    for label, values, style in _parts(dos, by):
        if values[shown].max(initial=0.0) > _LEAST_SHARE * top:
            line = (values, dos.energies) if upright else (dos.energies, values)
            ax.plot(*line, label=label, linewidth=1.2, zorder=4, **style)
    marked: dict[str, Any] = {"color": _INK, "linewidth": 0.8, "linestyle": (0, (5, 4)), "zorder": 2}
    at = dos.efermi if level is None else level
    name, most = "density of states (1/eV)", _HEADROOM * top or 1.0
    if upright:
        ax.axhline(at, **marked)
        ax.set(xlim=(0.0, most), ylim=(low, high), xlabel="DOS (1/eV)")
    else:
        ax.axvline(at, **marked)
        ax.set(ylim=(0.0, most), xlim=(low, high), ylabel=name, xlabel="energy (eV)")
    ax.tick_params(direction="in", labelsize=9)
    ax.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=8, handlelength=1.6, loc="best")
    return ax


def draw_dos(dos: DensityOfStates, *, by: str = "element", window: tuple[float, float] | None = None, name: str = "") -> Any:
    """Draw a density of states as a matplotlib ``Figure``."""
    require_matplotlib(what="drawing a density of states")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = plot_dos(dos, figure.add_subplot(), by=by, window=window)
    _lay_out(figure)
    set_titles(axes, f"{pretty_formula(dos.crystal.formula)}   {dos.verdict}", name, inches_of(axes))
    return figure


def draw_bands(
    bands: Sequence[BandsOnPath],
    dos: Sequence[DensityOfStates] = (),
    *,
    names: Sequence[str] = (),
    by: str = "element",
    window: tuple[float, float] | None = None,
    full_walk: bool = True,
) -> Any:
    """Draw bands of one or several crystals beside each other as a matplotlib ``Figure``, with densities of states if given.

    All have one energy axis.

    Args:
        bands: of each crystal, on a path.
        dos: of each, or none.
        names: shown beside the formula of each.
        by: parts of the densities, see `plot_dos`.
        window: eV, from and to where.
        full_walk: draw segments as often as a path passes them; else each once.

    Raises:
        ArgumentError: ``bad-argument`` for densities or names that are not as many.
        MissingPackageError: matplotlib is not installed.
    """
    for what, given in (("dos", dos), ("names", names)):
        if len(given) not in (0, len(bands)):
            raise not_allowed(what, given, f"none, or {len(bands)}")
    require_matplotlib()
    from matplotlib.figure import Figure

    low, high = window or energy_range(max(one.band_gap for one in bands))
    widths = [width for _ in bands for width in ((_BANDS_INCHES, _DOS_INCHES) if dos else (_BANDS_INCHES,))]
    figure = Figure(figsize=(sum(widths) + 0.7, _HEIGHT_INCHES), layout="constrained")
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    axes[0].set_ylabel("energy (eV)")
    _lay_out(figure)
    each = 2 if dos else 1
    for index, one in enumerate(bands):
        own = axes[each * index]
        plot(one, own, name=names[index] if names else "", full_walk=full_walk)
        own.set_ylim(low, high)
        if index:
            own.set_ylabel("")
        if dos:
            plot_dos(dos[index], axes[each * index + 1], by=by, upright=True, window=(low, high), level=one.efermi)
    return figure


def plot_over(
    predicted: BandsOnPath, reference: BandsOnPath, ax: Any = None, *, names: tuple[str, str] = ("predicted", "DFT")
) -> Any:
    """Draw predicted bands over others on the same k-points, with the mean error of the bands that both have written in.

    Args:
        predicted: bands on a path.
        reference: others; both have the same k-points, and bands are matched by counting from the highest filled one.
        ax: the axes to draw on; None makes a figure with ``pyplot``.
        names: of both, for the legend.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument`` for other k-points, or what is no axes.
        MissingPackageError: matplotlib is not installed.
    """
    if (
        predicted.frac_kpoints.shape != reference.frac_kpoints.shape
        or np.abs(predicted.frac_kpoints - reference.frac_kpoints).max() > 1e-4
    ):
        raise not_allowed("reference", reference, "bands on the k-points of the others")
    require_matplotlib()
    ax = axes_or_new(ax, (_BANDS_INCHES, _HEIGHT_INCHES))
    drawn = branches(predicted)
    for bands, color, name, style in ((reference, _REFERENCE, names[1], "solid"), (predicted, _PREDICTED, names[0], (0, (4, 1.2)))):
        for branch in drawn:
            for energies in bands.energies[:, branch.kpoints]:
                ax.plot(branch.distance, energies, color=color, linewidth=1.3, linestyle=style, label=name)
                name = "_"
    for branch in drawn[1:]:
        ax.axvline(branch.distance[0], color=_FAINT, linewidth=0.6, zorder=1)
    set_path_axis(ax, ticks(drawn), inches_of(ax))
    ax.set_ylabel("energy (eV)")
    ax.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=8, loc="best", handlelength=1.6)
    error = mean_error(predicted, reference)
    ax.set_title(f"{pretty_formula(predicted.crystal.formula)}   mean error {error:.2f} eV", loc="left", fontsize=11, color=_INK)
    return ax


def mean_error(predicted: BandsOnPath, reference: BandsOnPath) -> float:
    """Mean absolute difference of the bands that both have, counted from the highest filled one, in eV."""
    below = min(predicted.rule.n_valence, reference.rule.n_valence)
    above = min(len(one.energies) - one.rule.n_valence for one in (predicted, reference))
    first, second = (
        one.energies[one.rule.n_valence - below : one.rule.n_valence + above].astype(np.float64) for one in (predicted, reference)
    )
    return float(np.abs(first - second).mean())


def element_colors(symbols: Sequence[str]) -> Mapping[str, str]:
    """A colour for each element of a crystal."""
    return {symbol: PALETTE[place % len(PALETTE)] for place, symbol in enumerate(dict.fromkeys(symbols))}


def _lay_out(figure: Any) -> None:
    """Give axes the places that they will have: titles are set by how wide they are."""
    figure.get_layout_engine().execute(figure)


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
