"""A k-path: the nouns every scheme speaks, and the one rule that puts points on a walk.

The sampling rule, stated here once. Let d_i be the length of the walk up to its i-th vertex, D the whole length and K the
number of points. Vertex i sits at grid index ``floor((K - 1) d_i / D + 1/2)``, where ties go up, and indices are then made
strictly increasing, first to the right and, at the end of the grid, to the left. Within a segment the points are equally spaced.
So every vertex is a grid point, the spacing is uniform to within half a step per segment, and no energy is ever
interpolated across a corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap
from math import dist, inf

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.recipe import Scheme

TIE_TOLERANCE = 1e-3
"""Grid steps: a vertex this close below the middle between two grid points counts as on it, so that rounding noise in
the lattice (1e-6 relative, times 255 steps) can not move a point."""


@dataclass(frozen=True, eq=False)
class Segments:
    """The straight lines a scheme selects in the Brillouin zone.

    Attributes:
        nodes: (n_nodes, 3) float64, fractional in the reciprocal of the standard primitive cell; node 0 is Γ.
        labels: the name of each node.
        edges: pairs of node indices, each line once.
    """

    nodes: NDArray[np.float64]
    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class KPath:
    """Points along one continuous walk through the Brillouin zone.

    Attributes:
        scheme: which convention selected the lines.
        frac_kpoints: (n_kpoints, 3) float64, fractional in the reciprocal of the standard primitive cell.
        kpoint_distance: (n_kpoints,) float64, 1/Å, length of the walk up to each point; starts at 0.
        labels: the name of each vertex, in walk order.
        label_indices: (n_labels,) int64, the grid index of each vertex: the first is 0, the last n_kpoints - 1.
    """

    scheme: Scheme
    frac_kpoints: NDArray[np.float64]
    kpoint_distance: NDArray[np.float64]
    labels: tuple[str, ...]
    label_indices: NDArray[np.int64]


def sample(
    vertices: NDArray[np.float64],
    labels: tuple[str, ...],
    reciprocal: NDArray[np.float64],
    n_kpoints: int,
    scheme: Scheme,
) -> KPath:
    """Put points on a walk by the rule of this module.

    Args:
        vertices: (n_vertices, 3), fractional, in walk order, corners repeated as often as the walk passes them.
        labels: one name per vertex.
        reciprocal: (3, 3), rows, 1/Å.
        n_kpoints: how many points.
        scheme: recorded in the result.

    Raises:
        InputError: ``kpath-failed`` when the grid has fewer steps than the walk has segments, or the walk has no length.
    """
    last, n_vertices = n_kpoints - 1, len(vertices)
    if not 2 <= n_vertices <= n_kpoints:
        raise InputError(
            "kpath-failed",
            f"the {scheme} path has {n_vertices - 1} segments, {n_kpoints} k-points hold 1 to {last}; ask for more k-points",
            stage="kpath",
        )
    cartesian = vertices @ reciprocal
    distance = list(accumulate(starmap(dist, pairwise(cartesian.tolist())), initial=0.0))
    if not 0.0 < distance[-1] < inf:
        raise InputError("kpath-failed", f"the {scheme} path has length {distance[-1]} 1/Å", stage="kpath")
    scale = last / distance[-1]
    at = np.array([int(d * scale + 0.5 + TIE_TOLERANCE) for d in distance])
    n_steps = at[1:] - at[:-1]
    if n_steps.min() < 1:
        order = np.arange(n_vertices)
        at = np.minimum(np.maximum.accumulate(at - order), last - n_vertices + 1) + order
        n_steps = at[1:] - at[:-1]

    corners = np.empty((n_vertices, 4))  # coordinates and distance are interpolated at once
    corners[:, :3] = vertices
    corners[:, 3] = distance
    slopes = (corners[1:] - corners[:-1]) / n_steps[:, None]
    segment = np.arange(n_vertices - 1).repeat(n_steps)  # (n_kpoints - 1,): the segment that begins at or before each point
    points = np.empty((n_kpoints, 4))
    np.multiply(slopes.take(segment, axis=0), (np.arange(last) - at.take(segment))[:, None], out=points[:-1])
    points[:-1] += corners.take(segment, axis=0)
    points[-1] = corners[-1]
    return KPath(scheme, points[:, :3], points[:, 3], labels, at)
