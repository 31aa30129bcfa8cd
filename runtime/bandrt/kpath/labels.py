"""Conventional names: which points of any scheme are a Γ, X, K, ... of Setyawan and Curtarolo.

Two points are equivalent when an operation of the crystal's Laue group and a reciprocal lattice vector carry one to the
other. Several names can belong to one set of equivalent points; the name given is, in this order:

1. a plain name (no subscript) whose point lies on the given one by the Laue group alone, so that K and U of the
   face-centred cubic zone, equivalent only through a reciprocal lattice vector, keep their names;
2. the first plain name of the table that is equivalent;
3. the first subscripted name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.kpath.setyawan_curtarolo import place
from bandrt.kpath.special_points import VariationName, template

if TYPE_CHECKING:
    from bandrt.symmetry import StandardCell

LABEL_TOLERANCE = 1e-5
"""Fractional coordinates: special points are exact to rounding, different ones are far apart."""


def conventional_labels(frac: NDArray[np.float64], cell: StandardCell) -> tuple[str | None, ...]:
    """Name each point that is equivalent to a special point of the cell's variation.

    Args:
        frac: (n, 3), fractional in the reciprocal of the standard primitive cell.
        cell: the crystal.

    Returns:
        One name per point, None where there is none.
    """
    name, weights, basis = place(cell)
    stars = _stars(name, cell.rotations.astype(np.int8).tobytes())
    points = frac if basis is None else frac @ np.linalg.inv(basis)  # inversion is all a triclinic crystal has
    delta = points[:, None] - stars.coefficients @ weights  # (n, n_star_points, 3)
    shift = np.rint(delta)
    matches = np.abs(delta - shift).max(axis=2) < LABEL_TOLERANCE  # (n, n_star_points)
    score = np.where(matches, stars.score, 0)  # (n, n_star_points)
    score[matches & stars.plain & ~shift.any(axis=2)] += len(stars.score)
    best = score.argmax(axis=1)
    return tuple(stars.labels[j] if score[i, j] else None for i, j in enumerate(best.tolist()))


class _Stars(NamedTuple):
    """Every special point of a variation with its images under a Laue group, in order of preference.

    Attributes:
        labels: (n_star_points,) name of each.
        coefficients: (n_star_points, 3, 1 + n_parameters), as in a `Template`.
        score: (n_star_points,) int64, the number of points from this one to the last.
        plain: (n_star_points,) bool, whether the name has no subscript.
    """

    labels: tuple[str, ...]
    coefficients: NDArray[np.float64]
    score: NDArray[np.int64]
    plain: NDArray[np.bool_]


@lru_cache(maxsize=256)
def _stars(name: VariationName, rotations: bytes) -> _Stars:
    table = template(name)
    group = np.frombuffer(rotations, dtype=np.int8).reshape(-1, 3, 3)
    labels: list[str] = []
    images = []
    for label, point in sorted(zip(table.labels, table.coefficients, strict=True), key=lambda entry: "_" in entry[0]):
        star = np.unique(np.einsum("rij,jp->rip", group, point) + 0.0, axis=0)  # + 0.0 makes -0.0 equal 0.0
        labels += [label] * len(star)
        images.append(star)
    return _Stars(
        tuple(labels),
        np.concatenate(images),
        np.arange(len(labels), 0, -1),
        np.array(["_" not in label for label in labels]),
    )
