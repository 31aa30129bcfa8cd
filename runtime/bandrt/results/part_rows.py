"""Rows of ``summary.csv`` of a whole part at once, from its arrays, when it is written and when a resumed run finds it.

They are those of `bandrt.results.summary.summary_row` for each prediction, in a tenth of the time, since none is made. Of a part in
which anything is out of the ordinary there are none here: its predictions are made one by one, and say what is wrong, if anything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import DEGENERACY_EV, gaps
from bandrt.bands.visits import direct_gaps
from bandrt.crystal import MIN_VOLUME_PER_ATOM, formula_of
from bandrt.elements import MAX_ATOMIC_NUMBER
from bandrt.limits import MAX_ATOMS, MAX_FRACTION, MAX_VECTOR, MAX_VOLUME_PER_ATOM
from bandrt.manifest import BandRule
from bandrt.recipe import Scheme
from bandrt.results.arrays import Arrays, kept_of, predictions_of
from bandrt.results.summary import UNCERTAINTY_COLUMN, cell_of, kept_cells, summary_row, written

_AT_THE_EDGE = 1e-6
"""Relative: a cell that comes as near to a limit is looked at by itself, since sums may round otherwise here."""


def part_rows(arrays: Arrays, frame: BandRule, keep: Sequence[str]) -> list[list[str]] | None:
    """The row of each crystal.

    Args:
        arrays: those of a part, verified.
        frame: the bands that were asked for in it.
        keep: columns of the inputs that stand after ours.

    Returns:
        Cells by crystal; None unless every value is that of a prediction with all its bands.
    """
    kept = kept_of(arrays)
    if kept is None or not (_bands_are_plain(arrays) and _cells_are_plain(arrays)):
        return None
    energies: NDArray[np.floating[Any]] = arrays["energies"]
    gap, is_metal = gaps(energies, frame)
    top = energies[:, : frame.n_valence].max(axis=1).astype(np.float64)  # (n, n_kpoints)
    bottom = energies[:, frame.n_valence :].min(axis=1).astype(np.float64)
    has_gap, direct_gap = np.flatnonzero(~is_metal), np.zeros(len(gap))
    direct_gap[has_gap] = direct_gaps(arrays["frac_kpoints"][has_gap], top[has_gap], bottom[has_gap])
    is_direct = ~is_metal & (direct_gap - gap <= DEGENERACY_EV)
    cells = [arrays["atomic_numbers"][start:end] for start, end in itertools.pairwise(arrays["atom_offsets"].tolist())]
    columns: list[list[str]] = [
        [cell_of(text) for text in arrays["id"]],
        [cell_of(text) for text in arrays["path"]],
        [formula_of(numbers) for numbers in cells],
        [str(number) for number in arrays["space_group"].tolist()],
        [str(len(numbers)) for numbers in cells],
        [written(value) for value in gap.tolist()],
        [written(value) for value in direct_gap.tolist()],
        [written(value) for value in is_metal.tolist()],
        [written(value) for value in is_direct.tolist()],
        _edges(top.max(axis=1), is_metal),
        _edges(bottom.min(axis=1), is_metal),
        arrays["warnings"].tolist(),
    ]
    if UNCERTAINTY_COLUMN in arrays:
        columns.append([written(float(value)) for value in arrays[UNCERTAINTY_COLUMN]])
    return [[*own, *kept_cells(values, keep)] for *own, values in zip(*columns, kept, strict=True)]


def rows_of(arrays: Arrays, frame: BandRule, keep: Sequence[str], path: Path) -> list[list[str]]:
    """The row of each crystal, all at once or one by one, of the numbers that the part holds: the same whoever writes the summary.

    Args:
        arrays: those of a part, verified, or about to be written.
        frame: the bands that were asked for in it.
        keep: columns of the inputs that stand after ours.
        path: the part, for messages.

    Raises:
        BadPartError: its values are those of no prediction.
    """
    rows = part_rows(arrays, frame, keep)
    return [summary_row(one, keep) for one in predictions_of(arrays, path, frame)] if rows is None else rows


def _edges(energies: NDArray[np.float64], is_metal: NDArray[np.bool_]) -> list[str]:
    return ["" if metal else written(value) for value, metal in zip(energies.tolist(), is_metal.tolist(), strict=True)]


def _bands_are_plain(arrays: Arrays) -> bool:
    """Whether all bands of all crystals are there, on paths whose labels are told as they should."""
    energies, indices = arrays["energies"], arrays["label_indices"]
    n_crystals, _, n_kpoints = energies.shape
    there = indices >= 0
    return bool(
        n_crystals
        and n_kpoints
        and arrays["frac_kpoints"].shape == (n_crystals, n_kpoints, 3)
        and arrays["kpoint_distance"].shape == (n_crystals, n_kpoints)
        and arrays["labels"].shape == indices.shape
        and (there[:, :-1] >= there[:, 1:]).all()
        and indices.max(initial=-1) < n_kpoints
        and np.isfinite(energies).all()
        and np.isin(arrays["scheme"], get_args(Scheme)).all()
        and not np.isinf(arrays.get(UNCERTAINTY_COLUMN, 0.0)).any()
    )


def _cells_are_plain(arrays: Arrays) -> bool:
    """Whether every crystal is well within the limits of one."""
    lattice, coords = arrays["lattice"], arrays["frac_coords"]
    numbers, groups, n_atoms = arrays["atomic_numbers"], arrays["space_group"], np.diff(arrays["atom_offsets"])
    if lattice.shape != (len(n_atoms), 3, 3) or coords.shape != (len(numbers), 3) or not np.isfinite(lattice).all():
        return False
    volumes = np.abs(np.linalg.det(lattice)) / np.maximum(n_atoms, 1)
    return bool(
        n_atoms.min() >= 1
        and n_atoms.max() <= MAX_ATOMS
        and numbers.min() >= 1
        and numbers.max() <= MAX_ATOMIC_NUMBER
        and groups.min() >= 1
        and groups.max() <= 230
        and np.abs(lattice).max() * math.sqrt(3) < MAX_VECTOR
        and volumes.min() > MIN_VOLUME_PER_ATOM * (1 + _AT_THE_EDGE)
        and volumes.max() < MAX_VOLUME_PER_ATOM * (1 - _AT_THE_EDGE)
        and np.isfinite(coords).all()
        and np.abs(coords).max() <= MAX_FRACTION
    )
