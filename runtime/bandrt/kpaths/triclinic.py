"""The reciprocal cell that Setyawan and Curtarolo's triclinic tables speak of.

The paper wants a reduced reciprocal cell whose angles are all acute or all obtuse, with gamma the nearest to 90 degrees. It is
built from the three shortest reciprocal vectors. With one or more right angles the obtuse cell is taken. Gamma belongs to
the smallest dot product instead of the smallest cosine: with it the seven lines of the tables always run from Γ to the seven
face centres of the Brillouin zone, which do not depend on the choice of a cell.

Lengths and dot products closer than `METRIC_TOLERANCE` count as equal, and of equals the one that is simplest in terms of
the given cell is taken, so that noise cannot choose. Plain Python: for three vectors it is several times faster than arrays.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bandrt.symmetry.standard_lattice import IntVector, determinant

METRIC_TOLERANCE = 1e-5
"""Relative, of squared lengths: lattice parameters come with 1e-6 to 1e-9 noise from files and symmetry finders."""

PackedMetric = tuple[float, float, float, float, float, float]
"""xx, yy, zz, yz, xz, xy"""
_SIGNS = ((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1))


def wanted_cell(reciprocal: NDArray[np.float64]) -> tuple[tuple[float, float, float], NDArray[np.int64]]:
    """Find the reciprocal cell of the tables.

    Args:
        reciprocal: (3, 3), rows, 1/Å, any cell.

    Returns:
        The dot products b1.b2, b1.b3 and b2.b3 of the wanted vectors, 1/Å^2, zero for right angles: all positive, or none,
        and the first the smallest in size; the wanted vectors as integer rows, (3, 3), in terms of those of `reciprocal`.
    """
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = (reciprocal @ reciprocal.T).tolist()
    metric = xx, yy, zz, yz, xz, xy
    squared = {face: _dot(face, metric, face) for face in _face_vectors(metric)}
    first = _shortest(squared)
    tolerance = METRIC_TOLERANCE * squared.pop(first)
    second = _shortest(squared)
    third = _shortest({face: length for face, length in squared.items() if determinant(first, second, face)})

    def dot(u: IntVector, v: IntVector) -> float:
        value = _dot(u, metric, v)
        return value if abs(value) > tolerance else 0.0

    choices = ((first, second, third), (first, third, second), (second, third, first))
    products = [dot(b1, b2) for b1, b2, _ in choices]
    smallest = min(map(abs, products))
    chosen = next(choice for choice, value in zip(choices, products, strict=True) if abs(value) <= smallest + tolerance)
    b1, b2, b3 = chosen
    dots = dot(b1, b2), dot(b1, b3), dot(b2, b3)
    kind = 1 if dots[0] * dots[1] * dots[2] > 0 else -1  # flipping a vector changes two of the three signs
    for r, s, t in _SIGNS:
        turned = r * s * dots[0], r * t * dots[1], s * t * dots[2]
        if all(kind * value >= 0 for value in turned):
            break
    return turned, np.array((r, s, t))[:, None] * np.array(chosen)


def _face_vectors(metric: PackedMetric) -> list[IntVector]:
    """The seven pairs of lattice points that bound the Brillouin zone, one of each pair, the simplest first.

    Selling's reduction: four vectors that add up to zero are changed until no two of them make an acute angle; the seven
    vectors are the sums of one or two of them. The shortest vectors of the lattice are among these.
    """
    superbase: list[IntVector] = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, -1, -1)]
    scale = METRIC_TOLERANCE * min(metric[:3])
    while acute := next(((i, j) for i, j in combinations(range(4), 2) if _dot(superbase[i], metric, superbase[j]) > scale), None):
        i, _ = acute
        turned = superbase[i]
        superbase = [_add(v, turned) if k not in acute else v for k, v in enumerate(superbase)]
        superbase[i] = (-turned[0], -turned[1], -turned[2])
    u, v, w, x = superbase
    faces = (u, v, w, x, _add(u, v), _add(u, w), _add(v, w))
    upward = [max(f, (-f[0], -f[1], -f[2])) for f in faces]
    return sorted(upward, key=lambda f: (abs(f[0]) + abs(f[1]) + abs(f[2]), -f[0], -f[1], -f[2]))


def _shortest(squared: dict[IntVector, float]) -> IntVector:
    """The shortest vector, the first among equals."""
    limit = min(squared.values()) * (1 + METRIC_TOLERANCE)
    return next(vector for vector, length in squared.items() if length <= limit)


def _dot(u: IntVector, metric: PackedMetric, v: IntVector) -> float:
    xx, yy, zz, yz, xz, xy = metric
    (a, b, c), (x, y, z) = u, v
    return a * x * xx + b * y * yy + c * z * zz + (b * z + c * y) * yz + (a * z + c * x) * xz + (a * y + b * x) * xy


def _add(u: IntVector, v: IntVector) -> IntVector:
    return u[0] + v[0], u[1] + v[1], u[2] + v[2]
