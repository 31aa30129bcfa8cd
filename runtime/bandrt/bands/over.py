"""Figures of predicted bands over those of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bandrt.arguments import check_kind, not_allowed
from bandrt.bands.branches import Branch, ticks
from bandrt.bands.figures import axes_or_new, inches_of, look, require_matplotlib
from bandrt.bands.lettering import LABEL_POINTS, pretty_formula, set_path_axis, set_titles
from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.plot import HEIGHT_INCHES, draw_joints, draw_level
from bandrt.bands.reference import Comparison, Reference, compared, same_path
from bandrt.bands.view import View, Zero, level

NAMES = ("predicted", "DFT")
_WIDTH_INCHES = 4.6
_DASHES = (0, (4, 1.2))


def plot_over(
    predicted: BandsOnPath,
    reference: BandsOnPath | Reference,
    ax: Any = None,
    *,
    names: tuple[str, str] = NAMES,
    name: str = "",
    ymin: float | None = None,
    ymax: float | None = None,
    zero: Zero | None = None,
    segments: Sequence[str] = (),
    full_walk: bool = False,
) -> Any:
    """Draw predicted bands over others, with the mean error of the bands that both have written in.

    Bands are matched by counting from the highest filled one. Each is drawn from its own zero, which is marked and named.

    Args:
        predicted: bands on a path.
        reference: bands on the same k-points, or what `bandrt.bands.reference.onto_path` makes of those on others.
        ax: the axes to draw on; None makes a figure with ``pyplot``.
        names: of both, for the legend.
        name: shown beside the title, usually the id.
        ymin: eV, the lowest energy shown; what is there for None.
        ymax: eV, the highest.
        zero: what energies are counted from, see `bandrt.bands.view.level`; as they are for None.
        segments: draw these alone, such as ``G-X``.
        full_walk: draw segments as often as the walk passes them.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument`` for other k-points, or what is no axes.
        InputError: ``no-common-path``.
        UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``.
        MissingPackageError: matplotlib is not installed.
    """
    if not isinstance(reference, Reference):
        reference = same_path(reference, predicted)
    check_kind("name", name, str)
    if not isinstance(names, tuple) or len(names) != 2:
        raise not_allowed("names", names, f"two texts, such as {NAMES}")
    view = View(ymin, ymax, zero, segments, full_walk)
    drawn = view.branches(predicted)
    require_matplotlib()
    ax = axes_or_new(ax, (_WIDTH_INCHES, HEIGHT_INCHES))
    found = draw_both(ax, predicted, reference, drawn, view, names=names)
    view.limit(ax)
    add_legend(ax)
    set_both_texts(ax, predicted, found, drawn, inches_of(ax), name)
    return ax


def draw_both(
    axes: Any, predicted: BandsOnPath, reference: Reference, drawn: list[Branch], view: View, *, names: tuple[str, str] = NAMES
) -> Comparison:
    """Draw the lines of both on axes, from the level that both have in common, and compare them."""
    colors = look()
    found = compared(predicted, reference, drawn, view.zero)
    levels = level(predicted, view.zero), reference.levels[view.zero]
    both = (
        (reference.energies, levels[1], names[1], colors.ink, "solid"),
        (predicted.energies, levels[0], names[0], colors.conduction, _DASHES),
    )
    for values, at, label, color, style in both:
        shift = 0.0 if view.zero is None else at.energy
        for branch in drawn:
            for energies in values[:, branch.kpoints]:
                axes.plot(branch.distance, energies - shift, color=color, linewidth=1.3, linestyle=style, label=label)
                label = "_"
    draw_joints(axes, drawn)
    axes.margins(y=0.04)
    same = levels[0].name == levels[1].name
    draw_level(axes, levels[0].energy - view.shift(predicted), levels[0].name if same else "", view, alone=False)
    if not same:
        zeros = f"0: {levels[0].name} {names[0]}, {levels[1].name} {names[1]}"
        axes.text(0.985, 0.02, zeros, color=colors.ink, fontsize=8, ha="right", va="bottom", transform=axes.transAxes, zorder=5)
    axes.set_ylabel(view.axis_name([at.name for at in levels]), color=colors.ink)
    return found


def add_legend(axes: Any) -> None:
    """Say in the axes which line is whose."""
    axes.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=8, loc="best", handlelength=1.6)


def set_both_texts(
    axes: Any,
    predicted: BandsOnPath,
    found: Comparison,
    drawn: list[Branch],
    inches: float,
    name: str,
    *,
    points: float = LABEL_POINTS,
) -> None:
    """Name the points of the path, and write what was found above axes so many inches wide."""
    set_path_axis(axes, ticks(drawn), inches, points=points)
    set_titles(axes, f"{pretty_formula(predicted.crystal.formula)}   {found}", name, inches)
