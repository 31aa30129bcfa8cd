"""Positions that a CIF gives in Cartesian axes: read by the matrix that the file says turns them into fractional ones."""

from __future__ import annotations

import math

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.crystal import metric_difference
from bandrt.errors import InputError
from bandrt.readers.cif_tags import CARTESIAN, COORDINATES, cif_number, cif_numbers, value_of

METRIC_TOLERANCE = 0.01
"""How far, as `metric_difference` counts, the cell may differ from that of the matrix."""
SMALLEST_DETERMINANT = 1e-12
"""1/Å^3, of a matrix that makes fractional coordinates: that of a cell of 10^12 Å^3."""
_ROWS = range(1, 4)
_MATRICES = (
    "_atom_sites_{kind}_tran_matrix_{i}{j}",
    "_atom_sites.{kind}_transf_matrix[{i}][{j}]",
    "_atom_sites_{kind}_transform.mat_{i}{j}",
)
_VECTORS = ("_atom_sites_{kind}_tran_vector_{i}", "_atom_sites.{kind}_transf_vector[{i}]", "_atom_sites_{kind}_transform.vec_{i}")
"""Names in the dictionaries of small molecules, old and new, and of large ones."""


def fractional_columns(
    block: cif.Block, columns: dict[str, list[str]], lattice: NDArray[np.float64], name: str
) -> dict[str, list[str]]:
    """Columns of fractional coordinates, one token per site.

    Args:
        block: that has the matrix.
        columns: of the atom-site loop, with Cartesian coordinates.
        lattice: (3, 3) rows, Å, in any orientation.
        name: what to call the file.

    Raises:
        InputError: ``cif-incomplete`` for a file that does not say how its axes lie, ``bad-coordinates`` for a matrix that is not
            that of the cell, or what is no number.
    """
    found = _transform(block)
    missing = [tag for tag in CARTESIAN if tag not in columns]
    if found is None or missing:
        lacking = missing[0] if missing else "_atom_sites_fract_tran_matrix"
        raise InputError(
            "cif-incomplete", f"{name}: Cartesian positions only, and {lacking} is missing; write fractional coordinates"
        )
    matrix, shift = found
    if not (np.isfinite(matrix).all() and np.isfinite(shift).all() and abs(np.linalg.det(matrix)) > SMALLEST_DETERMINANT):
        raise InputError("bad-coordinates", f"{name}: the matrix of the Cartesian axes cannot be read")
    metric = lattice @ lattice.T
    to_cartesian = np.linalg.inv(matrix)
    if metric_difference(metric, to_cartesian.T @ to_cartesian) > METRIC_TOLERANCE:
        raise InputError("bad-coordinates", f"{name}: the matrix of the Cartesian axes is not that of the unit cell")
    positions = np.array([cif_numbers(columns[tag]) for tag in CARTESIAN])  # (3, n_sites)
    with np.errstate(over="ignore", invalid="ignore"):
        fractions = matrix @ positions + shift[:, None]
    return {
        tag: [repr(value) if math.isfinite(value) else "?" for value in axis]
        for tag, axis in zip(COORDINATES, fractions.tolist(), strict=True)
    }


def _transform(block: cif.Block) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Matrix (3, 3) and vector (3,) that make fractional columns of Cartesian ones; None if the file has none."""
    for kind in ("fract", "Cartn"):
        matrix = _elements(block, kind, _MATRICES, [(i, j) for i in _ROWS for j in _ROWS])
        if matrix is None:
            continue
        shift = _elements(block, kind, _VECTORS, [(i, 0) for i in _ROWS])
        turn, origin = np.array(matrix).reshape(3, 3), np.array(shift or [0.0, 0.0, 0.0])
        if kind == "fract":
            return turn, origin
        if not np.isfinite(turn).all() or abs(np.linalg.det(turn)) < SMALLEST_DETERMINANT:
            return turn, origin  # which is refused
        inverse = np.linalg.inv(turn)
        return inverse, -inverse @ origin
    return None


def _elements(block: cif.Block, kind: str, tags: tuple[str, ...], places: list[tuple[int, int]]) -> list[float] | None:
    """Elements of a matrix or vector by their names in one of the dictionaries; None unless all are there."""
    for tag in tags:
        values = [block.find_value(tag.format(kind=kind, i=i, j=j)) for i, j in places]
        if all(value is not None and value_of(value) for value in values):
            return [cif_number(value) for value in values if value is not None]
    return None
