"""The first Brillouin zone of any lattice, as combinatorics.

Every lattice has an obtuse superbase: vectors v_0 + v_1 + v_2 + v_3 = 0, of which three are a basis, with all Selling
parameters p_ij = -v_i . v_j >= 0. Its Voronoi cell is a permutohedron. There is one vertex per order (i, j, k, l) of
the four vectors, which solves x . s = |s|^2 / 2 for the partial sums s = v_i, v_i + v_j, v_i + v_j + v_k; two orders
that differ by a swap of neighbours m, n are joined by an edge of length proportional to p_mn; the face of a proper
subset of the vectors carries the orders that begin with it and is centred on half their sum. Where Selling parameters
vanish, edges shrink to points and narrow faces disappear.

So every vertex, edge midpoint and face centre is the mean of two permutohedron vertices, each of which is the inverse
metric times a **linear** function of the metric, and nothing else about the zone depends on the metric. Here the
lattice is the reciprocal one; its metric is ``reciprocal @ reciprocal.T``.
Source: Conway and Sloane, Proc. R. Soc. Lond. A 436, 55 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

Vectors = tuple[tuple[int, ...], ...]

VANISHING = 1e-5
"""Cosine: two superbase vectors this close to a right angle count as orthogonal. Symmetric cells have right angles to 1e-12;
in cells that miss one by less than this, corners of the zone move by less than this part of a reciprocal vector."""

PAIRS = tuple(combinations(range(4), 2))
"""The six pairs of superbase vectors; bit b of a `vanishing` mask stands for ``PAIRS[b]``."""
BIT = {pair: 1 << b for b, (i, j) in enumerate(PAIRS) for pair in ((i, j), (j, i))}
ORDERS = tuple(permutations(range(4)))
"""The 24 orders of the superbase vectors, one permutohedron vertex each."""
_FLIPS = tuple(
    tuple(PAIRS.index((min(a, b), max(a, b))) for a, b in combinations((i, j, *(m for m in range(4) if m not in (i, j))), 2))
    for i, j in PAIRS
)
"""For each pair ij the positions in `PAIRS` of ij, ik, il, jk, jl, kl, where k and l are the two others."""
_ORDER_INDEX = {order: index for index, order in enumerate(ORDERS)}
_SUBSETS = tuple(frozenset(s) for size in (1, 2, 3) for s in combinations(range(4), size))


@dataclass(frozen=True)
class Superbase:
    """An obtuse superbase of a reciprocal lattice.

    Attributes:
        vectors: four integer rows in the reciprocal basis; they sum to zero.
        vanishing: bit mask over `PAIRS`, set where the two vectors are orthogonal.
    """

    vectors: Vectors
    vanishing: int


@dataclass(frozen=True, eq=False)
class BrillouinZone:
    """The points and lines of a Brillouin zone; which they are, not where.

    Attributes:
        points: (n_points, 2) the two `ORDERS` whose vertices each point is the mean of. Point 0 is Γ; face centres,
            edge midpoints and vertices follow.
        lines: (n_lines, 2) pairs of points, lower index first, sorted: Γ with every other point, and on each face the centre with
            all points around it and each vertex with the midpoints next to it.
        corners: (n_corners, 3) every face centre, edge midpoint and vertex that lie in one another.
    """

    points: NDArray[np.int64]
    lines: NDArray[np.int64]
    corners: NDArray[np.int64]


def reduced_superbase(metric: NDArray[np.float64]) -> Superbase:
    """Find an obtuse superbase by Selling's reduction.

    Args:
        metric: (3, 3), of the reciprocal lattice.

    Returns:
        One of the obtuse superbases; `equivalent_superbases` gives the others.
    """
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = metric.tolist()
    p = [-xy, -xz, xx + xy + xz, -yz, xy + yy + yz, xz + yz + zz]  # Selling parameters in the order of PAIRS
    vectors = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]]
    while True:
        p01, p02, p03, p12, p13, p23 = p
        squares = p01 + p02 + p03, p01 + p12 + p13, p02 + p12 + p23, p03 + p13 + p23  # |v_i|^2
        worst, flip, vanishing = -(VANISHING**2), None, 0
        for b, (i, j) in enumerate(PAIRS):
            square = squares[i] * squares[j]
            if p[b] > 0.0 and p[b] * p[b] > VANISHING**2 * square:
                continue
            vanishing |= 1 << b
            cosine = p[b] * abs(p[b]) / square  # sign and square of it
            if cosine < worst:
                worst, flip = cosine, b
        if flip is None:
            return Superbase(tuple(map(tuple, vectors)), vanishing)
        ij, ik, il, jk, jl, kl = _FLIPS[flip]
        step = p[ij]
        p[ij], p[ik], p[il] = -step, p[il] + step, p[ik] + step
        p[jk], p[jl], p[kl] = p[jk] + step, p[jl] + step, p[kl] - step
        vectors = _flipped(vectors, *PAIRS[flip])


def equivalent_superbases(superbase: Superbase) -> list[Superbase]:
    """All obtuse superbases of the lattice, up to order and sign, sorted.

    A generic lattice has one. Where p_ij vanishes, reversing v_i and adding it to the two others gives one more,
    with p_ik and p_il exchanged.
    """
    start = _normalised(superbase.vectors, superbase.vanishing)
    found, queue = {start}, [start]
    while queue:
        current = queue.pop()
        for i, j in permutations(range(4), 2):
            if not current.vanishing & BIT[i, j]:
                continue
            k, l = (m for m in range(4) if m not in (i, j))  # noqa: E741
            mask = current.vanishing & ~(BIT[i, k] | BIT[i, l])
            mask |= BIT[i, l] if current.vanishing & BIT[i, k] else 0
            mask |= BIT[i, k] if current.vanishing & BIT[i, l] else 0
            other = _normalised(tuple(map(tuple, _flipped([list(v) for v in current.vectors], i, j))), mask)
            if other not in found:
                found.add(other)
                queue.append(other)
    return sorted(found, key=lambda base: base.vectors)


def reordered(superbase: Superbase, order: tuple[int, ...]) -> Superbase:
    """The same superbase with its vectors in another order."""
    mask = 0
    for i, j in PAIRS:
        if superbase.vanishing & BIT[order[i], order[j]]:
            mask |= BIT[i, j]
    return Superbase(tuple(superbase.vectors[i] for i in order), mask)


def vertex_map(vectors: Vectors) -> NDArray[np.float64]:
    """The linear map from the metric to the 24 permutohedron vertices.

    Args:
        vectors: four integer rows of a superbase.

    Returns:
        (24, 3, 9) c: with the metric m in one row, vertex i in fractional coordinates is ``inv(metric) @ (c[i] @ m)``.
    """
    sums = np.cumsum(np.array(vectors)[np.array(ORDERS)[:, :3]], axis=1)  # (24, 3, 3)
    halves = np.einsum("vsi,vsj->vsij", sums, sums).reshape(24, 3, 9) / 2  # |s|^2 / 2 as a function of m
    return np.asarray(np.rint(np.linalg.inv(sums)) @ halves)


def brillouin_zone(vanishing: int) -> BrillouinZone:
    """Build the zone of a lattice whose Selling parameters vanish as the mask says."""
    vertex = list(range(24))  # each order's vertex, named by its first order
    swaps = [(a, _swapped(a, place), place) for a in range(24) for place in range(3)]
    for _ in range(6):  # the longest chain of merges is six swaps
        for a, b, place in swaps:
            if vanishing & BIT[ORDERS[a][place], ORDERS[a][place + 1]]:
                vertex[a] = vertex[b] = min(vertex[a], vertex[b])
    on_face = {s: [a for a in range(24) if frozenset(ORDERS[a][: len(s)]) == s] for s in _SUBSETS}
    faces = [s for s in _SUBSETS if len({vertex[a] for a in on_face[s]}) > 2]
    edges: dict[frozenset[int], tuple[int, int]] = {}  # the two vertices of an edge -> one pair of orders that spans it
    for a, b, _ in swaps:
        if vertex[a] != vertex[b]:
            edges.setdefault(frozenset((vertex[a], vertex[b])), (a, b))

    points = [(0, 23)]  # opposite vertices: their mean is Γ
    center = {}
    for s in faces:
        center[s] = len(points)
        first = ORDERS[on_face[s][0]]
        opposite = first[: len(s)][::-1] + first[len(s) :][::-1]
        points.append((_ORDER_INDEX[first], _ORDER_INDEX[opposite]))
    middle = {}
    for ends, (a, b) in edges.items():
        middle[ends] = len(points)
        points.append((a, b))
    corner = {}
    for a in sorted(set(vertex)):
        corner[a] = len(points)
        points.append((a, a))

    corners = set()
    for a, b, place in swaps:
        if vertex[a] != vertex[b]:
            for s in faces:
                if len(s) != place + 1 and a in on_face[s]:
                    corners.add((center[s], middle[frozenset((vertex[a], vertex[b]))], corner[vertex[a]]))
    lines = {(0, point) for point in range(1, len(points))}
    for flag in corners:
        lines |= set(combinations(flag, 2))
    return BrillouinZone(np.array(points), np.array(sorted(lines)), np.array(sorted(corners)))


def _flipped(vectors: list[list[int]], i: int, j: int) -> list[list[int]]:
    """Reverse vector i and add it to the two others than i and j."""
    step = vectors[i]
    moved = [v if m == j else [a + b for a, b in zip(v, step, strict=True)] for m, v in enumerate(vectors)]
    moved[i] = [-a for a in step]
    return moved


def _normalised(vectors: Vectors, vanishing: int) -> Superbase:
    """One form for all orders and both signs of a superbase: the vectors descend, and come before those reversed."""
    reverse = tuple(tuple(-a for a in v) for v in vectors)
    chosen = max((vectors, reverse), key=lambda rows: sorted(rows, reverse=True))
    order = sorted(range(4), key=lambda m: chosen[m], reverse=True)
    return reordered(Superbase(chosen, vanishing), tuple(order))


def _swapped(order_index: int, place: int) -> int:
    """The order with the vectors at `place` and the next place exchanged."""
    order = list(ORDERS[order_index])
    order[place], order[place + 1] = order[place + 1], order[place]
    return _ORDER_INDEX[tuple(order)]
