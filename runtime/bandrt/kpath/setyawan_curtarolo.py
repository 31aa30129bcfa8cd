"""The Setyawan-Curtarolo scheme: which variation a lattice is, its special points and the lines between them.

Source: Setyawan & Curtarolo, Comput. Mater. Sci. 49, 299 (2010). Points are fractional in the reciprocal of the
standard primitive cell.

Boundaries between variations: two quantities closer than `VARIATION_TOLERANCE` (relative) count as equal, so that noise
can not choose. Equality is a variation of its own where the paper has one (ORCF3, MCLC2, MCLC4, TRI2a); BCT with c = a is
BCT2, a rhombohedral angle of 90 degrees is RHL2.

Triclinic: the paper wants a reciprocal cell whose angles are all acute or all obtuse, with gamma the nearest to 90 degrees.
It is built here from the three shortest reciprocal vectors, and the points are expressed back in the standard cell. With
one or more right angles the obtuse cell is taken (TRI2a). Gamma is chosen by the smallest dot product instead of the
smallest cosine: with it the seven lines always run from Γ to the seven face centres of the Brillouin zone, which do not
depend on the choice of a cell.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import gcd, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.kpath.path import Segments
from bandrt.kpath.special_points import VariationName, template

if TYPE_CHECKING:
    from bandrt.symmetry import StandardCell

VARIATION_TOLERANCE = 1e-5
"""Relative: lattice parameters come with 1e-6 to 1e-9 noise from files and symmetry finders."""

_BY_BRAVAIS: dict[str, VariationName] = {
    "cP": "CUB", "cF": "FCC", "cI": "BCC", "tP": "TET", "oP": "ORC", "oI": "ORCI", "oC": "ORCC", "hP": "HEX", "mP": "MCL",
}  # fmt: skip


class Placement(NamedTuple):
    """Where a cell stands among the variations.

    Attributes:
        name: the variation.
        weights: (1 + n_parameters,) float64: 1, then the parameters; a point is ``template.coefficients @ weights``.
        basis: (3, 3) int64, rows: the reciprocal vectors the table means, in terms of the cell's; None where the same.
    """

    name: VariationName
    weights: NDArray[np.float64]
    basis: NDArray[np.int64] | None = None


def variation(cell: StandardCell) -> VariationName:
    """Name the lattice variation of a standard cell, e.g. ``BCT1``."""
    return place(cell).name


def segments(cell: StandardCell) -> Segments:
    """Give the lines of the Setyawan-Curtarolo path; node 0 is Γ, the nodes are the special points that lie on a line."""
    name, weights, basis = place(cell)
    table = template(name)
    nodes = table.coefficients[: table.n_path_points] @ weights  # (n_path_points, 3)
    return Segments(nodes if basis is None else nodes @ basis, table.labels[: table.n_path_points], table.edges)


def special_points(cell: StandardCell) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Give every named point of the variation, on the path or not: names and (n_points, 3) coordinates, Γ first."""
    name, weights, basis = place(cell)
    table = template(name)
    points = table.coefficients @ weights  # (n_points, 3)
    return table.labels, points if basis is None else points @ basis


def place(cell: StandardCell) -> Placement:
    """Decide the variation of a standard cell and evaluate its parameters."""
    bravais = cell.bravais
    if bravais == "aP":
        triclinic, basis = triclinic_basis(cell.crystal.reciprocal)
        return Placement(triclinic, np.ones(1), basis)
    if bravais == "hR":
        a1, a2, _ = cell.crystal.lattice.tolist()
        a = b = c = sqrt(_dot(a1, a1))
        cos = _dot(a1, a2) / (a * a)
        name: VariationName = "RHL1" if cos > VARIATION_TOLERANCE else "RHL2"
    else:
        va, vb, vc = cell.conventional.tolist()
        a, b, c = sqrt(_dot(va, va)), sqrt(_dot(vb, vb)), sqrt(_dot(vc, vc))
        cos = _dot(vb, vc) / (b * c)
        name = _BY_BRAVAIS.get(bravais) or _by_shape(bravais, a, b, c, cos)
    return Placement(name, np.array((1.0, *template(name).parameters(a, b, c, cos))))


def _by_shape(bravais: str, a: float, b: float, c: float, cos: float) -> VariationName:
    """Choose between the variations of one Bravais lattice."""
    if bravais == "tI":
        return "BCT1" if _compare(c, a) < 0 else "BCT2"
    if bravais == "oF":
        return _ORCF[_compare((a / b) ** 2 + (a / c) ** 2, 1.0)]
    height = (b / a) ** 2 * (1 - cos * cos)  # (b sin alpha / a)^2: above 1 the reciprocal angle gamma is obtuse
    if _compare(height, 1.0) >= 0:
        return "MCLC1" if _compare(height, 1.0) else "MCLC2"
    return _MCLC[_compare(b * cos / c + height, 1.0)]


_ORCF: dict[int, VariationName] = {-1: "ORCF1", 0: "ORCF3", 1: "ORCF2"}
_MCLC: dict[int, VariationName] = {-1: "MCLC3", 0: "MCLC4", 1: "MCLC5"}


def triclinic_basis(reciprocal: NDArray[np.float64]) -> tuple[VariationName, NDArray[np.int64]]:
    """Find the reciprocal cell the paper wants: reduced, all angles acute or all obtuse, gamma the nearest to 90 degrees.

    Args:
        reciprocal: (3, 3), rows, 1/Å, of a reduced cell.

    Returns:
        The variation, and the wanted vectors as integer rows, (3, 3), in terms of those of `reciprocal`.
    """
    metric = reciprocal @ reciprocal.T
    triples = _primitive_triples()
    squared = np.einsum("ij,ij->i", triples @ metric, triples)
    first = _shortest(squared, np.ones(len(triples), dtype=bool))
    second = _shortest(squared, np.arange(len(triples)) != first)
    third = _shortest(squared, triples @ _cross(triples[first], triples[second]) != 0)
    vectors = triples[[first, second, third]]

    length = np.sqrt(squared[[first, second, third]])
    dots = vectors @ metric @ vectors.T
    dots[np.abs(dots) < VARIATION_TOLERANCE * np.outer(length, length)] = 0.0
    pairs = np.array((dots[0, 1], dots[0, 2], dots[1, 2]))
    kind = 1 if pairs.prod() > 0 else -1  # all acute or all obtuse: flipping a vector changes two signs and can not leave the kind
    signs = next(s for s in _SIGNS if (kind * dots * np.outer(s, s) >= 0)[_ABOVE_DIAGONAL].all())
    smallest = np.abs(pairs).min()
    gamma = int(np.flatnonzero(np.abs(pairs) <= smallest + VARIATION_TOLERANCE * length[0] ** 2)[0])
    order = ((0, 1, 2), (0, 2, 1), (1, 2, 0))[gamma]
    name: VariationName = "TRI1b" if kind > 0 else "TRI1a" if smallest > 0 else "TRI2a"
    return name, (signs[:, None] * vectors)[list(order)]


_SIGNS = tuple(np.array((1, s, t)) for s in (1, -1) for t in (1, -1))
_ABOVE_DIAGONAL = np.triu_indices(3, k=1)


@lru_cache(maxsize=1)
def _primitive_triples() -> NDArray[np.int64]:
    """Integer vectors up to sign without a common divisor, simple ones first: where shortest vectors of a reduced cell lie."""
    triples = [t for t in product(range(-2, 3), repeat=3) if gcd(*t) == 1 and next(i for i in t if i) > 0]
    return np.array(sorted(triples, key=lambda t: (sum(map(abs, t)), tuple(-i for i in t))))


def _shortest(squared: NDArray[np.float64], allowed: NDArray[np.bool_]) -> int:
    """Index of the shortest allowed vector, the first among equals."""
    limit = squared[allowed].min() * (1 + VARIATION_TOLERANCE)
    return int(np.argmax(allowed & (squared <= limit)))


def _cross(u: NDArray[np.int64], v: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array((u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]))


def _dot(u: list[float], v: list[float]) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def _compare(x: float, y: float) -> int:
    """-1, 0 or 1 as x is below, equal to within the tolerance, or above y."""
    return 0 if abs(x - y) <= VARIATION_TOLERANCE * abs(y) else -1 if x < y else 1
