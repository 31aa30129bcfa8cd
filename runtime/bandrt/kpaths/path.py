"""A k-path: the nouns every scheme speaks, and the one rule that puts points on a walk.

The sampling rule, stated here once. Let d_i be the length of the walk up to its i-th vertex, D the whole length and K the
number of points. Vertex i sits at grid index ``floor((K - 1) d_i / D + 1/2)``, where ties go up, and indices are then made
strictly increasing, first to the right and, at the end of the grid, to the left. Within a segment the points are equally spaced.
So every vertex is a grid point, the spacing is uniform to within half a step per segment, and no energy is ever
interpolated across a corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_choice
from bandrt.errors import InputError
from bandrt.outcomes import only, onward
from bandrt.quoting import shortened
from bandrt.recipe import Scheme

TIE_TOLERANCE = 1e-3
"""Grid steps: a vertex this close below the middle between two grid points counts as on it, so that rounding noise in
the lattice (1e-6 relative, times 255 steps) cannot move a point."""


_SHOWN_LABELS = 8


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

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, Scheme)

    def __repr__(self) -> str:
        walk = "-".join(self.labels[:_SHOWN_LABELS]) + ("-..." if len(self.labels) > _SHOWN_LABELS else "")
        return f"KPath({self.scheme}, {len(self.frac_kpoints)} k-points, {shortened(walk)})"


class Walk(NamedTuple):
    """A continuous walk over the lines of a scheme.

    Attributes:
        vertices: (n_vertices, 3), fractional, in walk order, corners repeated as often as the walk passes them.
        labels: one name per vertex.
        reciprocal: (3, 3), rows, 1/Å.
    """

    vertices: NDArray[np.float64]
    labels: tuple[str, ...]
    reciprocal: NDArray[np.float64]


def sample(walk: Walk, n_kpoints: int, scheme: Scheme) -> KPath:
    """Put points on a walk by the rule of this module.

    Args:
        walk: where it goes.
        n_kpoints: how many points.
        scheme: recorded in the result.

    Raises:
        InputError: ``kpath-failed`` when the grid has fewer steps than the walk has segments, or the walk has no length.
    """
    return only(sample_walks([walk], n_kpoints, scheme))


def sample_walks(walks: Sequence[Walk], n_kpoints: int, scheme: Scheme) -> list[KPath | InputError]:
    """Do as `sample` for each of several walks; an error is given back in the place of the path."""
    return onward([_with_room(walk, n_kpoints, scheme) for walk in walks], lambda fit: _sampled(fit, n_kpoints, scheme))


def _with_room(walk: Walk, n_kpoints: int, scheme: Scheme) -> Walk | InputError:
    n_vertices = len(walk.vertices)
    if 2 <= n_vertices <= n_kpoints:
        return walk
    return InputError(
        "kpath-failed",
        f"the {scheme} path has {n_vertices - 1} segments, {n_kpoints} k-points hold 1 to {n_kpoints - 1}; ask for more k-points",
        stage="kpath",
    )


def _sampled(walks: Sequence[Walk], n_kpoints: int, scheme: Scheme) -> list[KPath | InputError]:
    """Sample walks that are no longer than the grid.

    All are laid out as long as the longest, their last vertex repeated. There is no product of matrices in this: how it is rounded
    can depend on how many rows they have.
    """
    last = n_kpoints - 1
    sizes = [len(walk.vertices) for walk in walks]
    width = max(sizes)
    corners = np.empty((4, len(walks), width))  # coordinates and distance, which are interpolated at once
    for i, (size, walk) in enumerate(zip(sizes, walks, strict=True)):
        corners[:3, i, :size] = walk.vertices.T
        corners[:3, i, size:] = walk.vertices[-1, :, None]
    steps = corners[:3, :, 1:] - corners[:3, :, :-1]
    reciprocal = np.array([walk.reciprocal for walk in walks]).transpose(1, 2, 0)[..., None]  # (3, 3, n_walks, 1)
    cartesian = (steps[:, None] * reciprocal).sum(axis=0)  # (3, n_walks, width - 1)
    cartesian *= cartesian
    distance = corners[3]
    distance[:, 0] = 0.0
    np.sqrt(cartesian.sum(axis=0)).cumsum(axis=1, out=distance[:, 1:])
    lengths = distance[:, -1].tolist()
    unusable = [i for i, length in enumerate(lengths) if not 0.0 < length < inf]
    if unusable:
        distance[unusable] = np.arange(width)  # anything that can be sampled

    at = (distance * (last / distance[:, -1:]) + (0.5 + TIE_TOLERANCE)).astype(np.int64)  # (n_walks, width)
    n_points = np.ones(at.shape, dtype=np.int64)  # the points of each segment but its last, and the last point of all
    np.subtract(at[:, 1:], at[:, :-1], out=n_points[:, :-1])
    for i, (size, empty) in enumerate(zip(sizes, (n_points == 0).sum(axis=1).tolist(), strict=True)):
        if empty > width - size:
            order = np.arange(size)
            at[i, :size] = np.minimum(np.maximum.accumulate(at[i, :size] - order), last - size + 1) + order
            n_points[i, : size - 1] = at[i, 1:size] - at[i, : size - 1]

    slopes = np.zeros(corners.shape)
    np.divide(corners[..., 1:] - corners[..., :-1], np.maximum(n_points[:, :-1], 1), out=slopes[..., :-1])
    segment = np.arange(at.size).repeat(n_points.ravel())  # (n_walks * n_kpoints,): that begins at or before each point
    points = slopes.reshape(4, -1).take(segment, axis=1).reshape(4, -1, n_kpoints)
    points *= np.arange(n_kpoints) - at.take(segment).reshape(-1, n_kpoints)
    points += corners.reshape(4, -1).take(segment, axis=1).reshape(4, -1, n_kpoints)
    frac_kpoints = points[:3].transpose(1, 2, 0)
    paths: list[KPath | InputError] = [
        KPath(scheme, frac_kpoints[i], points[3, i], walk.labels, at[i, :size])
        for i, (walk, size) in enumerate(zip(walks, sizes, strict=True))
    ]
    for i in unusable:
        paths[i] = InputError("kpath-failed", f"the {scheme} path has length {lengths[i]} 1/Å", stage="kpath")
    return paths
