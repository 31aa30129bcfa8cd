"""Figures of one band structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandrt.bands.branches import Branch, edge_places, ticks
from bandrt.bands.figures import axes_or_new, inches_of, look, new_figure, require_matplotlib, save_figure
from bandrt.bands.lettering import LABEL_POINTS, pretty_formula, pretty_space_group, set_path_axis, set_titles
from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.view import View, Zero, level

HEIGHT_INCHES = 4.4
_MARGIN_INCHES = 0.9
"""Width of what stands left and right of the axes."""
JUMP, JOINT = 0.9, 0.6
"""Widths of the lines at labelled points, in points: where the path jumps, and where it goes on."""


def draw(
    bands: BandsOnPath,
    *,
    name: str = "",
    full_walk: bool = False,
    ymin: float | None = None,
    ymax: float | None = None,
    zero: Zero | None = None,
    segments: Sequence[str] = (),
    width: float | None = None,
    height: float | None = None,
) -> Any:
    """Draw a band structure as a matplotlib ``Figure``.

    Args:
        bands: the band structure.
        name: shown beside the formula, usually the id.
        full_walk: draw segments as often as the walk passes them.
        ymin: eV, the lowest energy shown; what is there for None.
        ymax: eV, the highest.
        zero: what energies are counted from, see `bandrt.bands.view.level`; as they are for None.
        segments: draw these alone, such as ``G-X``.
        width: inches; what the path needs for None.
        height: inches.

    Raises:
        ArgumentError: ``bad-argument``.
        UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``.
        MissingPackageError: matplotlib is not installed.
    """
    require_matplotlib()
    view = View(ymin, ymax, zero, segments, full_walk)
    drawn = view.branches(bands)
    figure = new_figure(
        length_inches(drawn) + _MARGIN_INCHES if width is None else width, HEIGHT_INCHES if height is None else height
    )
    axes = figure.add_subplot()
    draw_lines(axes, bands, drawn, view, alone=True)
    view.limit(axes)
    set_texts(axes, bands, drawn, float(figure.get_figwidth()) - _MARGIN_INCHES, name)
    return figure


def plot(
    bands: BandsOnPath,
    ax: Any = None,
    *,
    name: str = "",
    full_walk: bool = False,
    ymin: float | None = None,
    ymax: float | None = None,
    zero: Zero | None = None,
    segments: Sequence[str] = (),
) -> Any:
    """Draw a band structure on axes of matplotlib; colours are those of its style, if that has its own.

    Args:
        bands: the band structure.
        ax: the axes to draw on; None makes a figure with ``pyplot``, which notebooks and ``pyplot.show()`` show.
        name: shown beside the formula, usually the id.
        full_walk: draw segments as often as the walk passes them.
        ymin: eV, the lowest energy shown; what is there for None.
        ymax: eV, the highest.
        zero: what energies are counted from, see `bandrt.bands.view.level`; as they are for None.
        segments: draw these alone, such as ``G-X``.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument``.
        UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``.
        MissingPackageError: matplotlib is not installed.
    """
    require_matplotlib()
    view = View(ymin, ymax, zero, segments, full_walk)
    drawn = view.branches(bands)
    alone = ax is None
    length = length_inches(drawn)
    ax = axes_or_new(ax, (length + _MARGIN_INCHES, HEIGHT_INCHES))
    draw_lines(ax, bands, drawn, view, alone=alone)
    view.limit(ax)
    set_texts(ax, bands, drawn, length if alone else inches_of(ax), name)
    return ax


def save(bands: BandsOnPath, path: Path, *, name: str = "", full_walk: bool = False) -> None:
    """Draw a band structure into a file, see `save_figure`.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    save_figure(draw(bands, name=name, full_walk=full_walk), path)


def draw_lines(axes: Any, bands: BandsOnPath, drawn: list[Branch], view: View, *, alone: bool) -> None:
    """Draw bands and their edges on axes; what is not alone in its figure keeps within its frame."""
    colors, shift = look(), view.shift(bands)
    for branch in drawn:
        for index, energies in enumerate(bands.energies[:, branch.kpoints]):
            color = colors.valence if index < bands.rule.n_valence else colors.conduction
            axes.plot(branch.distance, energies - shift, color=color, linewidth=1.4, solid_capstyle="butt", zorder=3)
    draw_joints(axes, drawn)
    if bands.vbm is not None and bands.cbm is not None:
        axes.axhspan(bands.vbm.energy - shift, bands.cbm.energy - shift, color=colors.faint, alpha=0.18, linewidth=0, zorder=0)
        for edge, color in ((bands.vbm, colors.valence), (bands.cbm, colors.conduction)):
            at = edge_places(bands, drawn, edge) if view.shows(edge.energy - shift) else []
            if at:
                axes.plot(
                    at, [edge.energy - shift] * len(at), "o", color=color, markersize=5.5, markeredgecolor=colors.paper,
                    markeredgewidth=0.9, zorder=4, clip_on=False,
                )  # fmt: skip
    axes.margins(y=0.04)
    marked = level(bands, view.zero)
    draw_level(axes, marked.energy - shift, marked.name, view, alone=alone)
    axes.set_ylabel(view.axis_name([marked.name]), color=colors.ink)


def draw_joints(axes: Any, drawn: list[Branch]) -> None:
    """Mark where one branch ends and the next begins."""
    colors = look()
    for branch in drawn[1:]:
        color, width = (colors.faint, JOINT) if branch.joined else (colors.ink, JUMP)
        axes.axvline(branch.distance[0], color=color, linewidth=width, zorder=1)
    for side in axes.spines.values():
        side.set_linewidth(0.8)


def draw_level(axes: Any, energy: float, name: str, view: View, *, alone: bool) -> None:
    """Mark a level, with its name if it has one, where it is shown."""
    colors = look()
    if not view.shows(energy):
        return
    axes.axhline(energy, color=colors.ink, linewidth=0.8, linestyle=(0, (5, 4)), zorder=2)
    if not name:
        return
    axes.text(
        1.01 if alone else 0.985, energy, name, color=colors.ink, fontsize=8, va="center" if alone else "bottom",
        ha="left" if alone else "right", transform=axes.get_yaxis_transform(), zorder=5,
        bbox=None if alone else {"facecolor": colors.paper, "alpha": 0.7, "linewidth": 0, "pad": 0.6},
    )  # fmt: skip


def set_texts(
    axes: Any, bands: BandsOnPath, drawn: list[Branch], inches: float, name: str, *, points: float = LABEL_POINTS
) -> None:
    """Name the points of the path, and write title and name above axes so many inches wide."""
    set_path_axis(axes, ticks(drawn), inches, points=points)
    set_titles(axes, title_of(bands), name, inches)


def length_inches(drawn: list[Branch]) -> float:
    """Inches that the axes of these branches are long."""
    return float(np.clip(3.4 + 0.42 * len(drawn), 5.2, 14.0)) - _MARGIN_INCHES


def title_of(bands: BandsOnPath) -> str:
    """Formula, space group, and metal or gap."""
    gap = f"{bands.band_gap:.2f} eV {'direct' if bands.is_direct else 'indirect'} gap"
    verdict = "metal" if bands.is_metal else gap
    return f"{pretty_formula(bands.crystal.formula)}   {pretty_space_group(bands.space_group_symbol)}   {verdict}"
