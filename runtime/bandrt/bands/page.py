"""Several band structures on one page, on one axis of energies, each alone or over a reference."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

from bandrt.arguments import check_kind, checked_whole, not_allowed
from bandrt.bands.branches import Branch
from bandrt.bands.figures import inches_of, lay_out, new_figure, require_matplotlib
from bandrt.bands.lettering import LABEL_POINTS
from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.over import add_legend, draw_both, set_both_texts
from bandrt.bands.plot import HEIGHT_INCHES, draw_lines, length_inches, set_texts
from bandrt.bands.reference import Comparison, Reference
from bandrt.bands.view import View, Zero, level

MOST_ACROSS = 12
"""Crystals beside or below each other."""
_ACROSS_INCHES, _DOWN_INCHES, _MARGIN_INCHES = 3.4, 2.9, 0.7
_SMALL_POINTS = 8.5
"""Height of letters at the axis where crystals are many."""
_ROOMY_INCHES = 4.0
"""Axes from this width on have letters of full height."""


def draw_page(
    bands: Sequence[BandsOnPath],
    *,
    names: Sequence[str] = (),
    references: Sequence[Reference | None] = (),
    rows: int | None = None,
    columns: int | None = None,
    ymin: float | None = None,
    ymax: float | None = None,
    zero: Zero | None = None,
    segments: Sequence[str] = (),
    full_walk: bool = False,
    width: float | None = None,
    height: float | None = None,
) -> Any:
    """Draw band structures beside and below each other as a matplotlib ``Figure``, on one axis of energies.

    Args:
        bands: of each crystal.
        names: shown beside the formula of each, usually the id.
        references: of each, drawn below the predicted bands with the mean error written in; None for none.
        rows: of crystals; as many as are needed for None.
        columns: of crystals; at most three for None.
        ymin: eV, the lowest energy shown; what is there for None.
        ymax: eV, the highest.
        zero: what energies are counted from, see `bandrt.bands.view.level`; as they are for None.
        segments: draw these alone, such as ``G-X``.
        full_walk: draw segments as often as the walk passes them.
        width: inches; what the page needs for None.
        height: inches.

    Raises:
        ArgumentError: ``bad-argument``, such as for more crystals than places.
        InputError: ``no-common-path`` of a reference.
        UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``.
        MissingPackageError: matplotlib is not installed.
    """
    check_kind("bands", bands, list, tuple)
    if not bands:
        raise not_allowed("bands", bands, "one band structure or more")
    for what, given, kinds in (("names", names, (str,)), ("references", references, (Reference, NoneType))):
        check_kind(what, given, list, tuple)
        for each in given:
            check_kind(f"each of {what}", each, *kinds)
        if len(given) not in (0, len(bands)):
            raise not_allowed(what, given, f"none, or {len(bands)}")
    columns = checked_whole("columns", min(3, len(bands)) if columns is None else columns, at_least=1, at_most=MOST_ACROSS)
    rows = checked_whole("rows", -(-len(bands) // columns) if rows is None else rows, at_least=1, at_most=MOST_ACROSS)
    if len(bands) > rows * columns:
        raise not_allowed("bands", f"{len(bands)} crystals", f"at most {rows * columns}, {rows} by {columns}")
    require_matplotlib()
    view = View(ymin, ymax, zero, segments, full_walk)
    drawn = [view.branches(one) for one in bands]
    alone = rows == columns == 1
    across = length_inches(drawn[0]) if alone else _ACROSS_INCHES * columns
    down = HEIGHT_INCHES if alone else _DOWN_INCHES * rows
    figure = new_figure(across + _MARGIN_INCHES if width is None else width, down if height is None else height)
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    found = [
        _drawn(axes, one, references[place] if references else None, own, view)
        for place, (axes, one, own) in enumerate(zip(panels, bands, drawn, strict=False))
    ]
    view.limit(panels[0])
    what = view.axis_name([level(one, zero).name for one in bands])
    for place, axes in enumerate(panels):
        axes.set_ylabel("" if place % columns else what)
        if place >= len(bands):
            axes.set_axis_off()
    over = next((axes for axes, comparison in zip(panels, found, strict=False) if comparison is not None), None)
    if over is not None and alone:
        add_legend(over)
    elif over is not None:
        figure.legend(*over.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    lay_out(figure)
    for place, (axes, one, own) in enumerate(zip(panels, bands, drawn, strict=False)):
        _write(axes, one, found[place], own, names[place] if names else "")
    return figure


def _drawn(axes: Any, bands: BandsOnPath, reference: Reference | None, drawn: list[Branch], view: View) -> Comparison | None:
    """Draw one crystal; what was found where it stands over a reference."""
    if reference is None:
        draw_lines(axes, bands, drawn, view, alone=False)
        return None
    return draw_both(axes, bands, reference, drawn, view)


def _write(axes: Any, bands: BandsOnPath, found: Comparison | None, drawn: list[Branch], name: str) -> None:
    """Write labels and titles, for as much room as there is."""
    inches = inches_of(axes)
    points = LABEL_POINTS if inches >= _ROOMY_INCHES else _SMALL_POINTS
    if found is None:
        set_texts(axes, bands, drawn, inches, name, points=points)
    else:
        set_both_texts(axes, bands, found, drawn, inches, name, points=points)
