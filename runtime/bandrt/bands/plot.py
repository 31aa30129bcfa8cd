"""Figures of band structures."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from warnings import catch_warnings, filterwarnings

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import not_allowed
from bandrt.bands.on_path import BandEdge, BandsOnPath, segments
from bandrt.errors import MissingPackageError
from bandrt.files import replaced
from bandrt.quoting import shortened

FIGURE_FORMATS = ("png", "svg", "pdf")
CREATOR = "bandrt.bands.plot"
"""Who made a figure, as its file says."""

_SAME_KPOINT = 1e-6
"""Fractional: k-points closer than this are one."""
_VALENCE, _CONDUCTION = "#0072B2", "#D55E00"  # blue and vermilion: told apart by every kind of colour vision, and in grey
_INK, _FAINT = "#222222", "#B0B0B0"
_HEIGHT_INCHES = 4.4
_LETTER_INCHES, _MARGIN_INCHES = 0.08, 0.9
"""Width of a letter of a label, and of what stands left and right of the axes."""
_TITLE_INCHES, _NAME_INCHES = 0.092, 0.065
"""Width of a letter of the title, at 12 points, and of the name, at 8."""


_Place = tuple[int, int, int]
"""A k-point that can be compared: its fractional coordinates in units of `_SAME_KPOINT`."""


class Branch(NamedTuple):
    """A line between two labelled points, as it is drawn."""

    kpoints: NDArray[np.int64]
    """Which k-points of the walk, in drawing order."""
    labels: tuple[str, str]
    distance: NDArray[np.float64]
    """Position of each k-point on the axis, 1/Å."""
    joined: bool
    """Whether it goes on where the branch before it ends."""


class _Line(NamedTuple):
    kpoints: NDArray[np.int64]
    labels: tuple[str, str]
    ends: tuple[_Place, _Place]

    def reversed(self) -> _Line:
        return _Line(self.kpoints[::-1], self.labels[::-1], self.ends[::-1])


def branches(bands: BandsOnPath, *, full_walk: bool = False) -> list[Branch]:
    """Choose what is drawn, and in which order.

    The walk is closed, so it passes some lines twice. Each line is drawn once: from Γ along lines not yet drawn, in the order of
    the walk, and where there is none left, on from a point where a single line ends.

    Args:
        bands: the band structure.
        full_walk: draw the walk as it is, repeats included.
    """
    walked = _lines(bands)
    ordered = walked if full_walk else _each_once(walked)
    drawn: list[Branch] = []
    offset, before = 0.0, None
    for line in ordered:
        distance = np.abs(bands.kpoint_distance[line.kpoints] - bands.kpoint_distance[line.kpoints[0]]) + offset
        drawn.append(Branch(line.kpoints, line.labels, distance, before == line.ends[0]))
        offset, before = float(distance[-1]), line.ends[1]
    return drawn


def ticks(drawn: list[Branch]) -> list[tuple[float, str]]:
    """Positions and names along the axis; ``X|K`` where the drawing jumps."""
    marks = [(0.0, drawn[0].labels[0])]
    for branch, following in zip(drawn, [*drawn[1:], None], strict=True):
        jump = f"|{following.labels[0]}" if following is not None and not following.joined else ""
        marks.append((float(branch.distance[-1]), branch.labels[1] + jump))
    return marks


def draw(bands: BandsOnPath, *, name: str = "", full_walk: bool = False) -> Any:
    """Draw a band structure as a matplotlib ``Figure``.

    Args:
        bands: the band structure.
        name: shown beside the formula, usually the id.
        full_walk: draw segments as often as the walk passes them.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    drawn = branches(bands, full_walk=full_walk)
    length = _length(drawn)
    figure = Figure(figsize=(length + _MARGIN_INCHES, _HEIGHT_INCHES), layout="constrained")
    _draw_on(figure.add_subplot(), bands, drawn, length, name, alone=True)
    return figure


def plot(bands: BandsOnPath, ax: Any = None, *, name: str = "", full_walk: bool = False) -> Any:
    """Draw a band structure on axes of matplotlib.

    Args:
        bands: the band structure.
        ax: the axes to draw on; None makes a figure with ``pyplot``, which notebooks and ``pyplot.show()`` show.
        name: shown beside the formula, usually the id.
        full_walk: draw segments as often as the walk passes them.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument`` for what is no axes.
        MissingPackageError: matplotlib is not installed.
    """
    require_matplotlib()
    drawn = branches(bands, full_walk=full_walk)
    alone = ax is None
    length = _length(drawn)
    ax = axes_or_new(ax, (length + _MARGIN_INCHES, _HEIGHT_INCHES))
    _draw_on(ax, bands, drawn, length if alone else inches_of(ax), name, alone=alone)
    return ax


def axes_or_new(ax: Any, inches: tuple[float, float]) -> Any:
    """The axes that are given; without, those of a new figure of ``pyplot``, so wide and high.

    Raises:
        ArgumentError: ``bad-argument`` for what is no axes.
    """
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    if ax is None:
        return pyplot.subplots(figsize=inches, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise not_allowed("ax", ax, "None, or axes of matplotlib, such as pyplot.subplots() gives beside the figure")
    return ax


def inches_of(ax: Any) -> float:
    """How wide axes are."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def set_path_axis(ax: Any, marks: list[tuple[float, str]], inches: float) -> None:
    """Name the points of a path along axes so many inches wide."""
    length = marks[-1][0]
    ax.set_xlim(0.0, length)
    ax.set_xticks([position for position, _ in marks], tick_texts(marks, inches / length), fontsize=10)
    ax.tick_params(axis="x", length=0, pad=5)
    ax.tick_params(axis="y", direction="in", labelsize=9)


def require_matplotlib(*, extra: str = "plot", what: str = "drawing a band structure") -> None:
    """Find out before the work that figures cannot be drawn.

    Args:
        extra: of this package, that installs matplotlib.
        what: needs it.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("matplotlib", extra, what) from error


def save(bands: BandsOnPath, path: Path, *, name: str = "", full_walk: bool = False) -> None:
    """Draw a band structure into a file, see `save_figure`.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    save_figure(draw(bands, name=name, full_walk=full_walk), path)


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib ``Figure`` to a file, whose suffix says the format: png, svg or pdf; equal figures give equal files."""
    from matplotlib import rc_context

    kind = path.suffix.lstrip(".").lower()
    about: dict[str, dict[str, str | None]] = {
        "png": {"Software": CREATOR},
        "svg": {"Creator": CREATOR, "Date": None},
        "pdf": {"Creator": CREATOR, "CreationDate": None},
    }
    with rc_context({"svg.hashsalt": "bandrt", "pdf.fonttype": 42}), catch_warnings(), replaced(path, "wb") as file:
        filterwarnings("ignore", message="Glyph", category=UserWarning)  # a letter that the font lacks becomes a box
        figure.savefig(file, format=kind, dpi=200, metadata=about.get(kind))


def pretty_label(label: str) -> str:
    """A k-point's name as it is printed: ``X_1`` with a subscript, ``X'`` with a prime."""
    return re.sub(r"_(\w+)", r"$_{\1}$", label).replace("'", "′")


def pretty_formula(formula: str) -> str:
    """A formula with subscripts."""
    return re.sub(r"(\d+)", r"$_{\1}$", formula)


def pretty_space_group(symbol: str) -> str:
    """A Hermann-Mauguin symbol with bars and subscripts, in italics."""
    return "$" + re.sub(r"_(\d)", r"_{\1}", re.sub(r"-(\d)", r"\\bar{\1}", symbol)) + "$"


def _draw_on(axes: Any, bands: BandsOnPath, drawn: list[Branch], inches: float, name: str, *, alone: bool) -> None:
    """Draw branches on axes so many inches long; what is not alone in its figure keeps within its frame."""
    for branch in drawn:
        for index, energies in enumerate(bands.energies[:, branch.kpoints]):
            color = _VALENCE if index < bands.rule.n_valence else _CONDUCTION
            axes.plot(branch.distance, energies, color=color, linewidth=1.4, solid_capstyle="butt", zorder=3)
    for branch in drawn[1:]:
        axes.axvline(branch.distance[0], color=_FAINT if branch.joined else _INK, linewidth=0.6 if branch.joined else 0.9, zorder=1)
    axes.axhline(bands.efermi, color=_INK, linewidth=0.8, linestyle=(0, (5, 4)), zorder=2)
    axes.text(
        1.01 if alone else 0.985, bands.efermi, "$E_\\mathrm{F}$" if bands.is_metal else "mid-gap", color=_INK, fontsize=8,
        va="center" if alone else "bottom", ha="left" if alone else "right", transform=axes.get_yaxis_transform(), zorder=5,
        bbox=None if alone else {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
    )  # fmt: skip
    if bands.vbm is not None and bands.cbm is not None:
        axes.axhspan(bands.vbm.energy, bands.cbm.energy, color=_FAINT, alpha=0.18, linewidth=0, zorder=0)
        for edge, color in ((bands.vbm, _VALENCE), (bands.cbm, _CONDUCTION)):
            places = edge_places(bands, drawn, edge)
            axes.plot(
                places, [edge.energy] * len(places), "o", color=color, markersize=5.5, markeredgecolor="white", markeredgewidth=0.9,
                zorder=4, clip_on=False,
            )  # fmt: skip
    axes.margins(y=0.04)
    set_path_axis(axes, ticks(drawn), inches)
    axes.set_ylabel("energy (eV)", color=_INK)
    for side in axes.spines.values():
        side.set_linewidth(0.8)
    set_titles(axes, _title(bands), name, inches)


def _length(drawn: list[Branch]) -> float:
    """Inches that the axes of these branches are long."""
    return float(np.clip(3.4 + 0.42 * len(drawn), 5.2, 14.0)) - _MARGIN_INCHES


def set_titles(axes: Any, title: str, name: str, inches: float) -> None:
    """The title and, right of it or, where that is too narrow, above it, the name: no letter on another, none beyond the axes."""
    wide = _TITLE_INCHES * len(re.sub(r"\\bar|[${}_]", "", title))
    name = shortened(name, max(12, int(inches / _NAME_INCHES)))
    beside = wide + _NAME_INCHES * (len(name) + 2) <= inches
    axes.set_title(title, loc="left", fontsize=12 * min(1.0, max(0.5, inches / wide)), color=_INK)
    axes.set_title(
        name if beside or not name else f"{name}\n", loc="right", fontsize=8, color="#666666", parse_math=False, linespacing=2.2
    )


def _title(bands: BandsOnPath) -> str:
    gap = f"{bands.band_gap:.2f} eV {'direct' if bands.is_direct else 'indirect'} gap"
    verdict = "metal" if bands.is_metal else gap
    return f"{pretty_formula(bands.crystal.formula)}   {pretty_space_group(bands.space_group_symbol)}   {verdict}"


def tick_texts(marks: list[tuple[float, str]], inches: float) -> list[str]:
    """Names as printed, of which the axis gives so many inches per 1/Å; of two that would touch the second is set a line lower."""
    texts = [pretty_label(marks[0][1])]
    lowered = False
    for (before, name_before), (position, name) in pairwise(marks):
        touching = (position - before) * inches < _LETTER_INCHES * (1 + (len(name) + len(name_before)) / 2)
        lowered = touching and not lowered
        texts.append(("\n" if lowered else "") + pretty_label(name))
    return texts


def _lines(bands: BandsOnPath) -> list[_Line]:
    names = dict(zip(bands.label_indices.tolist(), bands.labels, strict=True))
    return [
        _Line(np.arange(start, end + 1), (names[start], names[end]), (_place(bands, start), _place(bands, end)))
        for start, end in segments(bands)
    ]


def _each_once(walked: list[_Line]) -> list[_Line]:
    """Every line once, in few strokes of the pen."""
    first_pass: dict[frozenset[_Place], _Line] = {}
    for line in walked:
        first_pass.setdefault(frozenset(line.ends), line)
    left = list(first_pass.values())
    ordered: list[_Line] = []
    pen = walked[0].ends[0]
    while left:
        index = next((i for i, line in enumerate(left) if pen in line.ends), None)
        if index is None:
            ends = Counter(end for line in left for end in line.ends)
            pen = next((end for line in left for end in line.ends[::-1] if ends[end] % 2), left[0].ends[0])
            continue
        line = left.pop(index)
        ordered.append(line if line.ends[0] == pen else line.reversed())
        pen = ordered[-1].ends[1]
    return ordered


def _place(bands: BandsOnPath, index: int) -> _Place:
    a, b, c = np.round(bands.frac_kpoints[index] / _SAME_KPOINT).astype(np.int64).tolist()
    return a, b, c


def edge_places(bands: BandsOnPath, drawn: list[Branch], edge: BandEdge) -> list[float]:
    """Where on the axis the k-point of a band edge is drawn."""
    wanted = _place(bands, edge.kpoint_index)
    places: set[float] = set()
    for branch in drawn:
        here = [_place(bands, k) == wanted for k in branch.kpoints.tolist()]
        places.update(branch.distance[here].tolist())
    return sorted(places)
