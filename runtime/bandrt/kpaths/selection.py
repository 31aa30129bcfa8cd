"""The Latimer-Munro selection: which lines of a Brillouin zone are special, decided without knowing the metric.

Lines run between Γ, the face centres, edge midpoints and vertices of the zone. Two points are equivalent when an
operation of the Laue group and a reciprocal lattice vector carry one to the other, two lines when they do so to both
ends at once.

1. A line is selected when an operation other than the identity and the inversion (a two-fold axis, a mirror or a three-
   fold axis) fixes every point of it, up to a reciprocal lattice vector.
2. A point that is on no selected line, and is fixed by the inversion or by a two-, four- or six-fold axis, is joined to
   Γ.
3. One line of each set of equivalent lines is kept, chosen by `wedge.representatives`.

All of it is the same for every metric with one pattern of vanishing Selling parameters and one Laue group: the zone's
points move, but what coincides, what is equivalent and what is fixed does not change. So it is worked out once, for a
stand-in metric with all other Selling parameters equal and averaged over the group, and kept as a `Template`.
Source: Munro, Latimer, Horton, Dwaraknath and Persson, npj Comput. Mater. 6, 112 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.kpaths.brillouin_zone import BIT, PAIRS, brillouin_zone, vertex_map
from bandrt.kpaths.wedge import representatives

Matrix = tuple[int, int, int, int, int, int, int, int, int]

EXACT = 1e-6
"""Fractional coordinates of the stand-in metric are small fractions: equal to rounding or far apart."""


@dataclass(frozen=True)
class Template:
    """The selected lines of a zone, in the basis of its superbase.

    Attributes:
        nodes: each node as the two `brillouin_zone.ORDERS` whose vertices it is the mean of; node 0 is Γ, then face centres,
            edge midpoints, vertices.
        orbits: label of each node's set of equivalent points; 0 is Γ.
        edges: pairs of nodes.
    """

    nodes: tuple[tuple[int, int], ...]
    orbits: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]


def build_template(vanishing: int, rotations: tuple[Matrix, ...]) -> Template:
    """Select the lines of the zone of a superbase.

    Args:
        vanishing: mask of orthogonal superbase vectors.
        rotations: the Laue group on column fractional coordinates in the basis of the first three superbase vectors.

    Raises:
        InputError: ``kpath-failed`` when the group does not carry the zone to itself.
    """
    group = np.array(rotations).reshape(-1, 3, 3)
    metric = stand_in_metric(vanishing, group)
    zone = brillouin_zone(vanishing)
    points = vertex_map(((1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, -1, -1))) @ metric.ravel() @ np.linalg.inv(metric)
    points = points[zone.points].mean(axis=1)  # (n_points, 3)
    action = _action(points, group)
    shifts = points[:, None] - points[None]  # (n_points, n_points, 3)
    congruent = _integer(shifts)  # equal up to a reciprocal vector
    point_orbits = _orbits(np.concatenate([_pairs(row) for row in action] + [np.argwhere(congruent)]), len(points))
    lines = zone.lines
    line_orbits = _line_orbits(lines, action, shifts, congruent)
    chosen = _selected_orbits(lines, line_orbits, point_orbits, points, group)

    inner = np.linalg.cholesky(metric)
    edges = representatives(zone, points @ inner, action, [lines[line_orbits == orbit] for orbit in chosen])
    used = sorted({0, *(int(p) for edge in edges for p in edge)})
    number = {point: node for node, point in enumerate(used)}
    names: dict[int, int] = {}
    return Template(
        nodes=tuple((int(zone.points[p, 0]), int(zone.points[p, 1])) for p in used),
        orbits=tuple(names.setdefault(int(point_orbits[p]), len(names)) for p in used),
        edges=tuple(sorted((number[a], number[b]) for a, b in edges)),
    )


def stand_in_metric(vanishing: int, group: NDArray[np.int64]) -> NDArray[np.float64]:
    """A metric with this pattern of vanishing Selling parameters and this Laue group, in the superbase's basis.

    Metrics of one pattern form a convex cone that the group carries to itself, so the average over the group is in it.

    Raises:
        InputError: ``kpath-failed`` when it is not, because the group does not belong to such a lattice.
    """
    p = np.zeros((4, 4))
    for i, j in PAIRS:
        p[i, j] = p[j, i] = 0.0 if vanishing & BIT[i, j] else 1.0
    products = np.diag(p.sum(axis=1)) - p  # (4, 4): v_i . v_j
    metric = np.einsum("rji,jk,rkl->il", group, products[:3, :3], group) / len(group)
    to_all = np.vstack([np.eye(3), -np.ones(3)])
    average = to_all @ metric @ to_all.T
    for i, j in PAIRS:
        if (average[i, j] < -EXACT) == bool(vanishing & BIT[i, j]) or average[i, j] > EXACT:
            raise InputError("kpath-failed", "the Laue group does not carry the Brillouin zone to itself", stage="kpath")
    return np.asarray(metric)


def _action(points: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each operation carries each point, (n_operations, n_points)."""
    images = np.einsum("rij,pj->rpi", group, points)
    same = (np.abs(images[:, :, None] - points) < EXACT).all(axis=-1)
    if not same.any(axis=-1).all():
        raise InputError("kpath-failed", "the Laue group does not carry the Brillouin zone to itself", stage="kpath")
    return np.asarray(same.argmax(axis=-1))


def _line_orbits(
    lines: NDArray[np.int64], action: NDArray[np.int64], shifts: NDArray[np.float64], congruent: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Label each line by the lowest line equivalent to it, (n_lines,)."""
    n_points = action.shape[1]
    index = np.zeros((n_points, n_points), dtype=np.int64)
    index[lines[:, 0], lines[:, 1]] = index[lines[:, 1], lines[:, 0]] = np.arange(len(lines))
    relations = [_pairs(index[row[lines[:, 0]], row[lines[:, 1]]]) for row in action]
    a, b = lines.T
    for c, d in (lines.T, lines.T[::-1]):
        first, second = shifts[a[:, None], c], shifts[b[:, None], d]  # (n_lines, n_lines, 3)
        moved = congruent[a[:, None], c] & congruent[b[:, None], d] & (np.abs(first - second) < EXACT).all(axis=-1)
        relations.append(np.argwhere(moved))
    return _orbits(np.concatenate(relations), len(lines))


def _selected_orbits(
    lines: NDArray[np.int64],
    line_orbits: NDArray[np.int64],
    point_orbits: NDArray[np.int64],
    points: NDArray[np.float64],
    group: NDArray[np.int64],
) -> list[int]:
    """The sets of lines that the two criteria of this module select, ascending."""
    identity = np.eye(3, dtype=np.int64)
    proper = np.linalg.det(group) > 0
    is_identity = (group == identity).all(axis=(1, 2))
    is_inversion = (group == -identity).all(axis=(1, 2))
    involution = (group @ group == identity).all(axis=(1, 2))
    three_fold = (group @ group @ group == identity).all(axis=(1, 2)) & ~is_identity
    marks_line = (involution & ~is_identity & ~is_inversion) | three_fold
    marks_point = is_inversion | (proper & ~is_identity & ~three_fold)

    offsets = np.einsum("rij,pj->rpi", group, points) - points  # (n_operations, n_points, 3)
    fixed = _integer(offsets)
    a, b = lines.T
    fixed_line = fixed[:, a] & fixed[:, b] & (np.abs(offsets[:, a] - offsets[:, b]) < EXACT).all(axis=-1)
    chosen = set(line_orbits[fixed_line[marks_line].any(axis=0)].tolist())
    on_path = set(point_orbits[lines[np.isin(line_orbits, list(chosen))]].ravel().tolist())
    for point in np.flatnonzero(fixed[marks_point].any(axis=0)).tolist():
        if point and point_orbits[point] not in on_path:
            on_path.add(int(point_orbits[point]))
            chosen.add(int(line_orbits[(lines == (0, point)).all(axis=1)][0]))
    return sorted(chosen)


def _integer(vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which vectors (..., 3) are whole numbers."""
    return np.asarray((np.abs(vectors - np.rint(vectors)) < EXACT).all(axis=-1))


def _pairs(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each index with its image, (n, 2)."""
    return np.column_stack([np.arange(len(images)), images])


def _orbits(relations: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Label each of n things by the lowest one that a chain of relations (m, 2) leads to, (n,)."""
    labels, before = np.arange(n), None
    while before is None or (labels != before).any():
        before = labels.copy()
        np.minimum.at(labels, relations[:, 0], before[relations[:, 1]])
        np.minimum.at(labels, relations[:, 1], before[relations[:, 0]])
    return labels
