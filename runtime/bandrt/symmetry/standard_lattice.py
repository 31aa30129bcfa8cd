"""The standard frame: which basis of a crystal's lattice is the standard one, and how it lies in space.

A *setting* is an integer matrix whose rows are the standard conventional vectors (the axes of Setyawan and Curtarolo) written in
the finder's conventional vectors; its determinant is +1, so no crystal is ever mirrored. `settings` lists every setting that the
rules below allow. Nearly always that is one; where several remain, the lattices they give agree within `LENGTH_TOLERANCE` and the
atoms decide (`standard_cell`). Lengths that differ by less than this tolerance are equal, projections shorter than it are zero.

- cubic, tetragonal, hexagonal: the axes of the International Tables, c the unique one; rhombohedral: obverse. Laue groups with
  fewer rotations than the lattice leave a choice: 4/m, 6/m, m-3, -3, and -3m on a hexagonal lattice.
- orthorhombic: a <= b <= c; if one face is centred it is C, and a <= b.
- monoclinic: a is the unique axis, b and c make at most a right angle. Primitive: b <= c are the two shortest vectors of the plane;
  with a glide plane (Pc, P2/c, P2_1/c) one is the shortest vector it can glide along, the other the shortest of the rest.
  Base-centred: the face of a and b is centred, b the shortest vector for which it is, c the shortest that completes the basis.
- triclinic: a <= b <= c are the three shortest independent vectors; no reciprocal angle is acute unless all three are. Where
  lengths tie, the basis with the greatest (a.b, a.c, b.c).

Source: lattices of Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299 (2010), as pymatgen 2026.10 builds them
(`get_primitive_standard_structure(international_monoclinic=False)`). The two differ where pymatgen sorts axes by length that
symmetry already tells apart (monoclinic cells with right angles, tetragonal ones with a = c) and in triclinic cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations, product
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

IntVector = tuple[int, int, int]
Setting = tuple[IntVector, IntVector, IntVector]
Metric = Sequence[Sequence[float]]
"""(3, 3) nested lists: scalar products of three lattice vectors, Å^2."""

LENGTH_TOLERANCE: Final = 1e-4
"""Å: lengths that differ by less are equal. Far above rounding in files, far below what a relaxation resolves."""

_IDENTITY: Final[Setting] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_TWO_Z: Final[Setting] = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
_TWO_X: Final[Setting] = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_TWO_XY: Final[Setting] = ((0, 1, 0), (1, 0, 0), (0, 0, -1))
_TWO_X_Y: Final[Setting] = ((0, -1, 0), (-1, 0, 0), (0, 0, -1))
_FOUR_Z: Final[Setting] = ((0, 1, 0), (-1, 0, 0), (0, 0, 1))

_GLIDE_PLANE: Final = frozenset((7, 13, 14))
"""Primitive monoclinic space groups with a glide plane."""

_SIDE: Final[dict[str, tuple[tuple[float, ...], ...]]] = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "I": ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
    "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
    "mC": ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0, 1)),
    "oC": ((0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)),
}


def primitive_vectors(bravais: str) -> NDArray[np.float64]:
    """Rows of the primitive vectors in conventional vectors, (3, 3), determinant positive.

    Args:
        bravais: Pearson-like symbol, e.g. ``cF``.
    """
    return np.array(_SIDE.get(bravais) or _SIDE[bravais[1]], dtype=np.float64)


def settings(number: int, bravais: str, metric: Metric) -> tuple[Setting, ...]:
    """List the standard settings of a lattice, all equally good as far as the lattice goes.

    Args:
        number: space group, 1 to 230.
        bravais: Pearson-like symbol, e.g. ``cF``.
        metric: of the finder's conventional vectors (International Tables; monoclinic unique axis b; Niggli-reduced if triclinic).
    """
    if number >= 75:
        return _fixed_settings(number, bravais)
    lengths = [sqrt(metric[i][i]) for i in range(3)]
    if number >= 16:
        if bravais != "oC":
            return _orthorhombic(lengths, (0, 1, 2), ())
        return _orthorhombic(lengths, (1, 2), (0,)) if 38 <= number <= 41 else _orthorhombic(lengths, (0, 1), (2,))
    return _monoclinic(number, bravais, metric) if number >= 3 else _triclinic(metric)


def conventional_lattice(bravais: str, metric: Metric) -> NDArray[np.float64]:
    """Place standard conventional vectors in space: (3, 3), Å, rows, right-handed.

    Args:
        bravais: Pearson-like symbol.
        metric: of the standard conventional vectors; what the Bravais type makes equal or zero is averaged or ignored.
    """
    family = bravais[0]
    (aa, ab, ac), (_, bb, bc), (_, _, cc) = metric
    if family == "c":
        a = sqrt((aa + bb + cc) / 3)
        return np.array([[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]])
    if family == "t":
        a = sqrt((aa + bb) / 2)
        return np.array([[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, sqrt(cc)]])
    if family == "o":
        return np.array([[sqrt(aa), 0.0, 0.0], [0.0, sqrt(bb), 0.0], [0.0, 0.0, sqrt(cc)]])
    if bravais == "hR":
        return _rhombohedral(aa, bb, cc)
    if family == "h":
        half = sqrt((aa + bb) / 2) / 2
        return np.array([[half, -half * sqrt(3), 0.0], [half, half * sqrt(3), 0.0], [0.0, 0.0, sqrt(cc)]])
    a, b = sqrt(aa), sqrt(bb)
    if family == "m":
        along = bc / b
        return np.array([[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, along, sqrt(cc - along * along)]])
    along = ab / a
    across = sqrt(bb - along * along)
    x = ac / a
    y = (bc - along * x) / across
    return np.array([[a, 0.0, 0.0], [along, across, 0.0], [x, y, sqrt(cc - x * x - y * y)]])


def _rhombohedral(aa: float, bb: float, cc: float) -> NDArray[np.float64]:
    """The hexagonal axes of a rhombohedral lattice, turned so that its primitive vectors mirror each other in the xz plane."""
    a = sqrt((aa + bb) / 2)
    radial, axial = a / sqrt(3), sqrt(cc) / 3  # of each primitive vector, across and along the threefold axis
    edge = sqrt(radial * radial + axial * axial)
    half = sqrt(edge * edge - a * a / 4)  # the x of the first two vectors: they are a apart, at y = -a / 2 and a / 2
    third = (axial * axial - radial * radial / 2) / half
    x, y, z = [half, -a / 2, 0.0], [half, a / 2, 0.0], [third, 0.0, sqrt(edge * edge - third * third)]
    return np.array(
        [
            [x[i] - y[i] for i in range(3)],
            [y[i] - z[i] for i in range(3)],
            [x[i] + y[i] + z[i] for i in range(3)],
        ]
    )


def _fixed_settings(number: int, bravais: str) -> tuple[Setting, ...]:
    """Settings of Bravais types whose axes symmetry fixes: the rotations of the lattice that the Laue group lacks."""
    if 75 <= number <= 88:  # 4/m
        return _IDENTITY, _TWO_X
    if 143 <= number <= 148:  # -3
        return (_IDENTITY, _TWO_XY) if bravais == "hR" else (_IDENTITY, _TWO_Z, _TWO_XY, _TWO_X_Y)
    if 149 <= number <= 167 and bravais == "hP":  # -3m
        return _IDENTITY, _TWO_Z
    if 168 <= number <= 176:  # 6/m
        return _IDENTITY, _TWO_XY
    if 195 <= number <= 206:  # m-3
        return _IDENTITY, _FOUR_Z
    return (_IDENTITY,)


def _orthorhombic(lengths: Sequence[float], sorted_axes: tuple[int, ...], last: tuple[int, ...]) -> tuple[Setting, ...]:
    """Settings with the given axes in order of length, ties in every order, then the remaining axis."""
    return tuple(
        _AXIS_ORDERS[order + last]
        for order in permutations(sorted_axes)
        if all(lengths[i] <= lengths[j] + LENGTH_TOLERANCE for i, j in pairwise(order))
    )


def _axis_order(order: tuple[int, ...]) -> Setting:
    """The proper setting that takes the axes in this order, all reversed if the order is odd."""
    sign = 1 if order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) else -1
    rows = [[sign if column == axis else 0 for column in range(3)] for axis in order]
    return _setting(rows)


def _setting(rows: Sequence[Sequence[int]]) -> Setting:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return (a, b, c), (d, e, f), (g, h, i)


_AXIS_ORDERS: Final = {order: _axis_order(order) for order in permutations(range(3))}


def _monoclinic(number: int, bravais: str, metric: Metric) -> tuple[Setting, ...]:
    """Settings with the unique axis first and the shortest allowed pair of vectors of the plane after it."""
    aa, ac, cc = metric[0][0], metric[0][2], metric[2][2]

    def dot(u: tuple[int, int], v: tuple[int, int]) -> float:
        return u[0] * v[0] * aa + (u[0] * v[1] + u[1] * v[0]) * ac + u[1] * v[1] * cc

    u, v = (1, 0), (0, 1)
    while True:  # Lagrange's reduction of the plane
        if dot(u, u) > dot(v, v):
            u, v = v, u
        shift = round(dot(u, v) / dot(u, u))
        if shift == 0:
            break
        v = (v[0] - shift * u[0], v[1] - shift * u[1])
    shortest = [u, v, (u[0] + v[0], u[1] + v[1]), (v[0] - u[0], v[1] - u[1])]  # hold every shortest vector of each parity
    length = {w: sqrt(dot(w, w)) for w in shortest}
    parity = {w: (w[0] % 2, w[1] % 2) for w in shortest}
    if bravais == "mC":
        wanted: tuple[int, int] | None = (1, 0)  # the a of the finder, whose face with the unique axis is centred
    else:
        wanted = (0, 1) if number in _GLIDE_PLANE else None  # the c of the finder, which the plane glides along
    first = _shortest([w for w in shortest if wanted is None or parity[w] == wanted], length)
    found: list[Setting] = []
    for s in first:
        for t in _shortest([w for w in shortest if parity[w] != parity[s]], length):
            pairs = [(s, t)]
            if bravais != "mC" and length[t] <= length[s] + LENGTH_TOLERANCE:
                pairs = [(t, s), (s, t)] if length[s] <= length[t] + LENGTH_TOLERANCE else [(t, s)]
            for b, c in pairs:
                projection = dot(b, c) / max(length[b], length[c])
                for sign in (1, -1):
                    if sign * projection >= -LENGTH_TOLERANCE:
                        c0, c1 = sign * c[0], sign * c[1]
                        found.append(((0, b[1] * c0 - b[0] * c1, 0), (b[0], 0, b[1]), (c0, 0, c1)))
    return tuple(dict.fromkeys(found))


def _shortest(vectors: list[tuple[int, int]], length: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    limit = min(length[w] for w in vectors) + LENGTH_TOLERANCE
    return [w for w in vectors if length[w] <= limit]


_HALF_SPACE: Final[tuple[IntVector, ...]] = tuple((i, j, k) for i, j, k in product((-1, 0, 1), repeat=3) if (i, j, k) > (0, 0, 0))
"""One of each pair of opposite vectors: the shortest vectors of a Niggli-reduced lattice are among them."""
_HALF_SPACE_ROWS: Final = np.array(_HALF_SPACE, dtype=np.float64)
_PROPER_SIGNS: Final = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))


def _triclinic(metric: Metric) -> tuple[Setting, ...]:
    """Settings with the three shortest independent vectors in order and reciprocal angles all acute or none."""
    products = (_HALF_SPACE_ROWS @ np.asarray(metric) @ _HALF_SPACE_ROWS.T).tolist()  # (13, 13)
    found: list[tuple[tuple[float, float, float], Setting]] = []
    for (i, j, k), handedness in _shortest_bases([sqrt(products[i][i]) for i in range(len(products))]):
        aa, bb, cc = products[i][i], products[j][j], products[k][k]
        tolerance = LENGTH_TOLERANCE * sqrt(aa * bb * cc)
        for x, y, z in _PROPER_SIGNS:
            ab, ac, bc = x * y * products[i][j], x * z * products[i][k], y * z * products[j][k]
            reciprocal = (ac * bc - ab * cc, ab * bc - ac * bb, ab * ac - bc * aa)  # products of reciprocal vectors, up to a factor
            n_acute = sum(p > tolerance for p in reciprocal)
            if n_acute in (0, 3):
                rows = [[sign * handedness * w for w in _HALF_SPACE[n]] for sign, n in ((x, i), (y, j), (z, k))]
                found.append(((ab / sqrt(bb), ac / sqrt(cc), bc / sqrt(cc)), _setting(rows)))
    for term in range(3):
        limit = max(shifts[term] for shifts, _ in found) - LENGTH_TOLERANCE
        found = [(shifts, setting) for shifts, setting in found if shifts[term] >= limit]
    return tuple(setting for _, setting in found)


def _shortest_bases(lengths: Sequence[float]) -> list[tuple[IntVector, int]]:
    """Bases of the shortest vectors in order of length, as positions in `_HALF_SPACE`, each with its determinant, 1 or -1."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    bases: list[tuple[float, IntVector, int]] = []
    for i in order:
        if lengths[i] > lengths[order[0]] + LENGTH_TOLERANCE:
            break
        others = [j for j in order if j != i]
        for j in others:
            if lengths[j] > lengths[others[0]] + LENGTH_TOLERANCE:
                break
            shortest = np.inf
            for k in others:
                if lengths[k] > shortest + LENGTH_TOLERANCE:
                    break
                volume = determinant(_HALF_SPACE[i], _HALF_SPACE[j], _HALF_SPACE[k])
                if abs(volume) == 1 and lengths[k] >= lengths[j] - LENGTH_TOLERANCE:
                    shortest = min(shortest, lengths[k])
                    bases.append((lengths[k], (i, j, k), volume))
    limit = min(length for length, _, _ in bases) + LENGTH_TOLERANCE
    return [(basis, volume) for length, basis, volume in bases if length <= limit]


def determinant(a: IntVector, b: IntVector, c: IntVector) -> int:
    """The volume of the cell of three vectors, in cells of the lattice; its sign says whether they are right-handed."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
