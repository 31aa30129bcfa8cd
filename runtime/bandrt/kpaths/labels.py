"""Conventional names: which points of any scheme are a Γ, X, K, ... of Setyawan and Curtarolo.

Two points are equivalent when an operation of the crystal's Laue group and a reciprocal lattice vector carry one to the
other. Several names can belong to one set of equivalent points; the name given is, in this order:

1. a plain name (no subscript) whose point lies on the given one by the Laue group alone, so that plain names of points
   equivalent only through a reciprocal lattice vector stay apart: K and U of FCC, X and Q of RHL1;
2. the first plain name of the table that is equivalent;
3. the first subscripted name.

Points whose coordinates do not depend on the lattice parameters lie on a grid of twenty-fourths and are looked up; the
others are compared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.kpaths.setyawan_curtarolo import place
from bandrt.kpaths.special_points import VariationName, point_table

if TYPE_CHECKING:
    from bandrt.symmetry.standard_cell import StandardCell

LABEL_TOLERANCE = 1e-5
"""Fractional coordinates: special points are exact to rounding, different ones are far apart."""

_GRID = 24
"""Thirds, quarters and eighths are whole numbers of twenty-fourths."""

Naming = tuple[VariationName, bytes]

_GridPoint = tuple[int, int, int]


def conventional_labels(frac: NDArray[np.float64], cell: StandardCell) -> tuple[str | None, ...]:
    """Name each point that is equivalent to a special point of the cell's variation.

    Args:
        frac: (n, 3), fractional in the reciprocal of the standard primitive cell.
        cell: the crystal.

    Returns:
        One name per point, None where there is none.
    """
    name, weights, basis = place(cell)
    stars = _stars(name, cell.rotations.tobytes())
    points = frac if basis is None else frac @ np.linalg.inv(basis)  # the inversion is all a triclinic crystal has
    scaled = _GRID * points
    nearest = np.rint(scaled)
    on_grid = np.abs(scaled - nearest).max(axis=1) < _GRID * LABEL_TOLERANCE
    names: list[str | None] = [None] * len(points)
    for i, (on, (x, y, z)) in enumerate(zip(on_grid.tolist(), nearest.astype(np.int64).tolist(), strict=True)):
        if on:
            names[i] = stars.fixed.get((x, y, z)) or stars.fixed_modulo.get((x % _GRID, y % _GRID, z % _GRID))
    if stars.labels and (unnamed := [i for i, found in enumerate(names) if found is None]):
        for i, found in zip(unnamed, _compare(points[unnamed], stars, weights), strict=True):
            names[i] = found
    return tuple(names)


def naming(cell: StandardCell) -> Naming:
    """Tell what decides the names, beside the Laue group: the variation and, for triclinic cells, the axes its table means.

    A point that depends on the lattice parameters in one way has one name in all cells of equal naming.
    """
    name, _, basis = place(cell)
    return name, b"" if basis is None else basis.tobytes()


class _Stars(NamedTuple):
    """Every special point of a variation with its images under a Laue group.

    Attributes:
        fixed: plain names of points that do not depend on parameters, by their place on the grid.
        fixed_modulo: names of such points, by their place on the grid up to reciprocal vectors.
        labels: (n_images,) names of the points that depend on parameters, in order of preference.
        coefficients: (n_images, 3, 1 + n_parameters), as in a `PointTable`.
        score: (n_images,) int64, the number of images from this one to the last.
        plain: (n_images,) bool, whether the name has no subscript.
    """

    fixed: dict[_GridPoint, str]
    fixed_modulo: dict[_GridPoint, str]
    labels: tuple[str, ...]
    coefficients: NDArray[np.float64]
    score: NDArray[np.int64]
    plain: NDArray[np.bool_]


def _compare(points: NDArray[np.float64], stars: _Stars, weights: NDArray[np.float64]) -> list[str | None]:
    """Name points (n, 3) after those that depend on parameters."""
    delta = points[:, None] - stars.coefficients @ weights  # (n, n_images, 3)
    shift = np.rint(delta)
    matches = np.abs(delta - shift).max(axis=2) < LABEL_TOLERANCE
    score = np.where(matches, stars.score, 0)
    score[matches & stars.plain & ~shift.any(axis=2)] += len(stars.score)
    best = score.argmax(axis=1).tolist()
    return [stars.labels[j] if score[i, j] else None for i, j in enumerate(best)]


@lru_cache(maxsize=256)
def _stars(name: VariationName, rotations: bytes) -> _Stars:
    table = point_table(name)
    group = np.frombuffer(rotations, dtype=np.int64).reshape(-1, 3, 3)
    fixed: dict[_GridPoint, str] = {}
    fixed_modulo: dict[_GridPoint, str] = {}
    moving: dict[bytes, tuple[str, NDArray[np.float64]]] = {}
    named: set[bytes] = set()  # points that depend on parameters, up to reciprocal vectors
    for label, point in sorted(zip(table.labels, table.coefficients, strict=True), key=lambda entry: "_" in entry[0]):
        plain = "_" not in label
        for image in np.einsum("rij,jp->rip", group, point) + 0.0:  # + 0.0 makes -0.0 equal 0.0
            if image[:, 1:].any():
                modulo = np.column_stack([image[:, 0] % 1.0, image[:, 1:]]).tobytes()
                if plain or modulo not in named:
                    moving.setdefault(image.tobytes(), (label, image))
                named.add(modulo)
            else:
                x, y, z = np.rint(_GRID * image[:, 0]).astype(int).tolist()
                if plain:
                    fixed.setdefault((x, y, z), label)
                fixed_modulo.setdefault((x % _GRID, y % _GRID, z % _GRID), label)
    labels = tuple(label for label, _ in moving.values())
    return _Stars(
        fixed,
        fixed_modulo,
        labels,
        np.array([image for _, image in moving.values()]).reshape(len(labels), *table.coefficients.shape[1:]),
        np.arange(len(labels), 0, -1),
        np.array(["_" not in label for label in labels], dtype=bool),
    )
