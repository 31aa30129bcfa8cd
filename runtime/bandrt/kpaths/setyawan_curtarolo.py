"""The Setyawan-Curtarolo scheme: which variation a lattice is, its special points and the lines between them.

Source: Setyawan & Curtarolo, Comput. Mater. Sci. 49, 299 (2010). Points are fractional in the reciprocal of the
standard primitive cell.

Boundaries between variations: two quantities closer than `VARIATION_TOLERANCE` (relative) count as equal, so that noise
cannot choose. Equality is a variation of its own where the paper has one (ORCF3, MCLC2, MCLC4, TRI2a); BCT with c = a is
BCT2, a rhombohedral angle of 90 degrees is RHL2.

Triclinic tables speak of a reciprocal cell of their own (`bandrt.kpaths.triclinic`); the points are expressed back in the
standard cell.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.kpaths.eulerian import closed_walk
from bandrt.kpaths.path import Segments, Walk
from bandrt.kpaths.special_points import VariationName, point_table
from bandrt.kpaths.triclinic import wanted_cell

if TYPE_CHECKING:
    from bandrt.symmetry.standard_cell import StandardCell

VARIATION_TOLERANCE = 1e-5
"""Relative: lattice parameters come with 1e-6 to 1e-9 noise from files and symmetry finders."""

_BY_BRAVAIS: dict[str, VariationName] = {
    "cP": "CUB", "cF": "FCC", "cI": "BCC", "tP": "TET", "oP": "ORC", "oI": "ORCI", "oC": "ORCC", "hP": "HEX", "mP": "MCL",
}  # fmt: skip


class PlacedVariation(NamedTuple):
    """Where a cell stands among the variations.

    Attributes:
        name: the variation.
        weights: (1 + n_parameters,) float64: 1, then the parameters; a point is ``table.coefficients @ weights``.
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
    table = point_table(name)
    nodes = table.coefficients[: table.n_path_points] @ weights  # (n_path_points, 3)
    return Segments(nodes if basis is None else nodes @ basis, table.labels[: table.n_path_points], table.edges)


def walk(cell: StandardCell) -> Walk:
    """Give the closed walk over the Setyawan-Curtarolo path: that of `eulerian.closed_walk` over `segments`."""
    selected = segments(cell)
    nodes = list(closed_walk(len(selected.nodes), selected.edges))
    return Walk(selected.nodes[nodes], tuple([selected.labels[node] for node in nodes]), cell.crystal.reciprocal)


def special_points(cell: StandardCell) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Give every named point of the variation, on the path or not: names and (n_points, 3) coordinates, Γ first."""
    name, weights, basis = place(cell)
    table = point_table(name)
    points = table.coefficients @ weights  # (n_points, 3)
    return table.labels, points if basis is None else points @ basis


def place(cell: StandardCell) -> PlacedVariation:
    """Decide the variation of a standard cell and evaluate its parameters."""
    bravais = cell.bravais
    if bravais == "aP":
        (smallest, *_), basis = wanted_cell(cell.crystal.reciprocal)
        return PlacedVariation("TRI1b" if smallest > 0 else "TRI1a" if smallest < 0 else "TRI2a", np.ones(1), basis)
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
    return PlacedVariation(name, np.array((1.0, *point_table(name).parameters(a, b, c, cos))))


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


def _dot(u: list[float], v: list[float]) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def _compare(x: float, y: float) -> int:
    """-1, 0 or 1 as x is below, equal to within the tolerance, or above y."""
    return 0 if abs(x - y) <= VARIATION_TOLERANCE * abs(y) else -1 if x < y else 1
