"""One line of each set of equivalent lines, so that those kept are close together.

For a direction u the wedge of u is the set of points that no operation of the Laue group brings closer to u: an
irreducible part of the zone. Every line that lies in the wedge as a whole is kept; where none of a set does, which can
happen on the zone's surface, the line that shares most ends with those kept is taken. Directions are tried in the
middle of the cone over each corner triangle (face centre, edge midpoint, vertex), one of each set of equivalent
triangles, and the best is the one whose lines fall into the fewest parts, miss the wedge least, have the fewest ends,
and the fewest ends of odd degree. At last, single lines are exchanged for equivalent ones where that lowers the number
of parts, of ends, or of ends of odd degree, which the walk has to pass twice.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bandrt.kpaths.brillouin_zone import BrillouinZone

Line = tuple[int, int]
Score = tuple[int, int, int, int]

INSIDE = 1e-7
"""Relative: points on the wedge's border belong to it."""
WEIGHTS = ((1.0, 0.3, 0.1), (0.3, 1.0, 0.1), (0.1, 0.3, 1.0))
"""Where in a corner triangle a direction points: near its face centre, its edge midpoint, its vertex."""


def representatives(
    zone: BrillouinZone, cartesian: NDArray[np.float64], action: NDArray[np.int64], line_sets: list[NDArray[np.int64]]
) -> list[Line]:
    """Choose one line of each set.

    Args:
        zone: the zone the lines are in.
        cartesian: (n_points, 3), its points in an orthonormal basis.
        action: (n_operations, n_points), where the Laue group carries the points.
        line_sets: sets of equivalent lines, each (n_lines, 2) pairs of points, ascending.

    Returns:
        One pair of points per set.
    """
    sets = [[(int(a), int(b)) for a, b in lines] for lines in line_sets]
    unit = np.zeros_like(cartesian)
    unit[1:] = cartesian[1:] / np.linalg.norm(cartesian[1:], axis=1, keepdims=True)
    tried: list[tuple[Score, list[Line]]] = []
    for corner in _irreducible_corners(zone, action):
        for weights in WEIGHTS:
            direction = np.array(weights) @ unit[corner]
            toward = cartesian @ direction
            inside = (toward >= toward[action] - INSIDE).all(axis=0)
            tried.append(_kept(sets, inside.tolist()))
    return _improved(sets, min(tried, key=lambda candidate: candidate[0])[1])


def _irreducible_corners(zone: BrillouinZone, action: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first of each set of corner triangles that the Laue group carries to one another, (n, 3)."""
    n_points = action.shape[1]
    place = np.array([n_points**2, n_points, 1])
    code = zone.corners @ place
    images = action[:, zone.corners] @ place  # (n_operations, n_corners)
    return np.asarray(zone.corners[code == images.min(axis=0)])


def _kept(sets: list[list[Line]], inside: list[bool]) -> tuple[Score, list[Line]]:
    """Keep the first line of each set that is inside, complete the rest, and judge the outcome: lower is better."""
    kept = [next((line for line in lines if inside[line[0]] and inside[line[1]]), None) for lines in sets]
    missing = [i for i, line in enumerate(kept) if line is None]
    n_outside = len(missing)
    ends = {0} | {point for line in kept if line is not None for point in line}
    while missing:
        # the set and the line in it that hold on to what is kept best; ties go to the first
        _, _, i, line = max(
            ((line[0] in ends) + (line[1] in ends), -rank, i, line)
            for rank, (i, line) in enumerate((i, line) for i in missing for line in sets[i])
        )
        kept[i] = line
        ends |= set(line)
        missing.remove(i)
    lines = [line for line in kept if line is not None]
    n_parts, n_ends, n_odd = _score(lines)
    return (n_parts, n_outside, n_ends, n_odd), lines


def _improved(sets: list[list[Line]], lines: list[Line]) -> list[Line]:
    """Exchange single lines for equivalent ones as long as that makes the outcome better."""
    best, better = _score(lines), True
    while better:
        better = False
        for i, members in enumerate(sets):
            for line in members:
                exchanged = [*lines[:i], line, *lines[i + 1 :]]
                score = _score(exchanged)
                if score < best:
                    best, lines, better = score, exchanged, True
    return lines


def _score(lines: list[Line]) -> tuple[int, int, int]:
    """Numbers of connected parts, of ends, and of ends of odd degree; Γ is always counted among the parts and the ends."""
    degree = Counter(point for line in lines for point in line)
    return _n_parts(lines), len(degree.keys() | {0}), sum(count % 2 for count in degree.values())


def _n_parts(lines: list[Line]) -> int:
    """Number of connected parts of a graph, that of Γ always counted."""
    parts: list[set[int]] = [{0}]
    for line in lines:
        touched = [part for part in parts if part & set(line)]
        parts = [part for part in parts if not part & set(line)] + [set(line).union(*touched)]
    return len(parts)
