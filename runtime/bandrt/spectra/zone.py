"""The Brillouin zone as a figure: its edges in three dimensions, with a k-path in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import not_allowed
from bandrt.bands.figures import look, require_matplotlib
from bandrt.bands.lettering import pretty_label
from bandrt.bands.on_path import segments
from bandrt.crystal import Crystal
from bandrt.kpaths.brillouin_zone import brillouin_zone, reduced_superbase, vertex_map

Floats = NDArray[np.float64]
_FAINT, _PATH = "#8A8A8A", "#D55E00"
_SAME = 1e-6
_ELEVATION, _AZIMUTH = 16.0, 28.0
_BESIDE = 0.09
"""How far labels stand from their points, outwards, in parts of the zone."""
_BEYOND, _NAMED = 0.11, 0.2
"""How far out of the zone reciprocal vectors are drawn, and named, in parts of the zone."""


def zone_edges(crystal: Crystal) -> list[tuple[Floats, Floats]]:
    """Edges of the Brillouin zone of a crystal, pairs of Cartesian points in 1/Å."""
    reciprocal = crystal.reciprocal
    metric = reciprocal @ reciprocal.T
    base = reduced_superbase(metric)
    corners = np.linalg.solve(metric, (vertex_map(base.vectors) @ metric.ravel()).T).T @ reciprocal  # (24, 3)
    zone = brillouin_zone(base.vanishing)
    places = corners[zone.points].mean(axis=1)  # faces' centres, edges' middles and vertices
    kept: dict[int, set[int]] = {}
    for _, middle, vertex in zone.corners.tolist():
        kept.setdefault(middle, set()).add(vertex)
    return [(places[a], places[b]) for ends in kept.values() for a, b in combinations(sorted(ends), 2)]


def plot_zone(crystal: Crystal, path: Any = None, ax: Any = None) -> Any:
    """Draw the Brillouin zone of a crystal on three-dimensional axes of matplotlib, with a path if there is one.

    Args:
        crystal: its standard primitive cell.
        path: a `bandrt.KPath` or bands on one, fractional in the reciprocal of that cell.
        ax: axes with ``projection="3d"``; None makes a figure with ``pyplot``.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``bad-argument`` for axes of two dimensions.
        MissingPackageError: matplotlib is not installed.
    """
    require_matplotlib(what="drawing a Brillouin zone")
    from matplotlib import pyplot

    if ax is None:
        ax = pyplot.figure(figsize=(5.0, 5.0)).add_subplot(projection="3d")
    elif not hasattr(ax, "get_zlim"):
        raise not_allowed("ax", ax, 'None, or axes of three dimensions, such as figure.add_subplot(projection="3d")')
    edges = zone_edges(crystal)
    eye = _towards_eye()
    for start, end in edges:
        behind = (start + end) @ eye < 0.0
        ax.plot(
            *np.stack([start, end]).T, color=_FAINT, linewidth=0.8 if behind else 1.3, linestyle=(0, (3, 2)) if behind else "solid"
        )
    if path is not None:
        _draw_path(ax, crystal, path)
    _draw_axes(ax, crystal, float(np.linalg.norm(edges, axis=2).max()))
    extent = 1.12 * np.abs(np.array(edges)).max(axis=(0, 1))  # along x, y and z
    ax.set(xlim=(-extent[0], extent[0]), ylim=(-extent[1], extent[1]), zlim=(-extent[2], extent[2]))
    ax.set_box_aspect(extent, zoom=1.3)
    ax.view_init(elev=_ELEVATION, azim=_AZIMUTH)
    ax.set_axis_off()
    return ax


def draw_zone(crystal: Crystal, path: Any = None) -> Any:
    """Draw the Brillouin zone of a crystal as a matplotlib ``Figure``; see `plot_zone`."""
    require_matplotlib(what="drawing a Brillouin zone")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 5.0))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), projection="3d")
    plot_zone(crystal, path, axes)
    return figure


def _draw_path(ax: Any, crystal: Crystal, path: Any) -> None:
    from matplotlib.patheffects import withStroke

    points = np.asarray(path.frac_kpoints) @ crystal.reciprocal
    drawn: set[frozenset[tuple[float, ...]]] = set()
    for start, end in segments(path):
        ends = frozenset(tuple(np.round(points[i], 5).tolist()) for i in (start, end))
        if ends not in drawn:
            drawn.add(ends)
            ax.plot(*points[[start, end]].T, color=_PATH, linewidth=2.0)
    named: list[tuple[str, Floats]] = []
    for label, index in zip(path.labels, path.label_indices, strict=True):
        place = points[index]
        if not any(np.linalg.norm(place - other) < _SAME for _, other in named):
            named.append((label, place))
    gap = _BESIDE * _farthest(named)
    middle = np.mean([place for _, place in named], axis=0)
    ink, paper = look().ink, look().paper
    for label, place in named:
        outward = place if np.linalg.norm(place) > _SAME else -middle
        size = float(np.linalg.norm(outward)) or 1.0
        ax.plot(*place[:, None], "o", color=_PATH, markersize=4.0)
        text = ax.text(*(place + gap / size * outward), pretty_label(label), fontsize=11, color=ink, ha="center", va="center")
        text.set(zorder=9, path_effects=[withStroke(linewidth=2.5, foreground=paper)])


def _farthest(named: Sequence[tuple[str, Floats]]) -> float:
    """How far labelled points lie from Γ at most, 1/Å."""
    return float(max(np.linalg.norm(place) for _, place in named))


def _draw_axes(ax: Any, crystal: Crystal, size: float) -> None:
    """Reciprocal vectors, as far as a little out of the zone."""
    for vector, name in zip(crystal.reciprocal, ("b_1", "b_2", "b_3"), strict=True):
        length = float(np.linalg.norm(vector))
        end, place = (vector * (0.5 + beyond * size / length) for beyond in (_BEYOND, _NAMED))
        ax.plot(*np.stack([np.zeros(3), end]).T, color=_FAINT, linewidth=0.6, linestyle=(0, (1, 2)))
        ax.text(*place, f"${name}$", fontsize=9, color=_FAINT, ha="center", va="center")


def _towards_eye() -> Floats:
    elevation, azimuth = np.radians(_ELEVATION), np.radians(_AZIMUTH)
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
