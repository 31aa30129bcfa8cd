"""Features: everything an engine is fed for one crystal, made here and nowhere else, for training and for inference."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.graph import crystal_graph
from bandrt.kpath import kpath_of
from bandrt.kpath.path import KPath
from bandrt.readers import to_crystal
from bandrt.recipe import Recipe
from bandrt.symmetry import StandardCell, standardize

DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True, eq=False)
class Features:
    """A crystal as an engine sees it; `bandrt.batch` pads several into one input.

    Attributes:
        crystal: the standard primitive cell, in standard orientation; all indices and k-points refer to it.
        space_group: number, 1 to 230.
        space_group_symbol: international short symbol, e.g. ``Fm-3m``.
        atomic_numbers: (n_atoms,) int32.
        neighbor_index: (n_atoms, n_slots) int32, see `bandrt.graph.CrystalGraph`.
        neighbor_distance: (n_atoms, n_slots) float32, Å.
        neighbor_mask: (n_atoms, n_slots) bool.
        neighbor_image: (n_atoms, n_slots, 3) int32, in cell vectors.
        atom_mask: (n_atoms,) bool, all true: padding comes with the batch.
        kpath: the k-path with its labels.
        kpoints: (n_kpoints, 3) float32 in the frame of the recipe: fractional, or Cartesian in 1/Å.
    """

    crystal: Crystal
    space_group: int
    space_group_symbol: str
    atomic_numbers: NDArray[np.int32]
    neighbor_index: NDArray[np.int32]
    neighbor_distance: NDArray[np.float32]
    neighbor_mask: NDArray[np.bool_]
    neighbor_image: NDArray[np.int32]
    atom_mask: NDArray[np.bool_]
    kpath: KPath
    kpoints: NDArray[np.float32]


def featurize(item: Any, recipe: Recipe = DEFAULT_RECIPE, *, name: str | None = None) -> Features:
    """Read a crystal and make its features.

    Args:
        item: anything `bandrt.readers.to_crystal` takes: a path, CIF text, a pymatgen or ASE object, a `Crystal`.
        recipe: the choices the engine was trained with.
        name: what to call it in an error; the file name for a path.

    Raises:
        InputError: the crystal can not be read or used; its ``code`` and ``stage`` say why and where.
    """
    if name is None and (isinstance(item, os.PathLike) or (isinstance(item, str) and "\n" not in item)):
        name = os.path.basename(os.fspath(item))
    return featurize_crystal(to_crystal(item, name=name), recipe, name=name or "crystal")


def featurize_crystal(crystal: Crystal, recipe: Recipe = DEFAULT_RECIPE, *, name: str = "crystal") -> Features:
    """Make the features of a crystal in any cell and orientation.

    Args:
        crystal: any cell of the crystal.
        recipe: the choices the engine was trained with.
        name: what to call it in an error.

    Raises:
        InputError: at stage ``symmetry``, ``graph`` or ``kpath``.
    """
    return featurize_cell(standardize(crystal, recipe.symmetry, name=name), recipe, name=name)


def featurize_cell(cell: StandardCell, recipe: Recipe = DEFAULT_RECIPE, *, name: str = "crystal") -> Features:
    """Make the features of a standard primitive cell.

    Args:
        cell: from `bandrt.symmetry.standardize`, by the recipe's symmetry.
        recipe: the choices the engine was trained with.
        name: what to call it in an error.

    Raises:
        InputError: at stage ``graph`` or ``kpath``.
    """
    primitive = cell.crystal
    heaviest = int(primitive.atomic_numbers.max())
    if heaviest > recipe.max_atomic_number:
        raise InputError(
            "unsupported-element",
            f"{name}: holds {SYMBOLS[heaviest]} (atomic number {heaviest}), this model knows the elements up to"
            f" {SYMBOLS[recipe.max_atomic_number]} ({recipe.max_atomic_number})",
            stage="graph",
        )
    graph = crystal_graph(primitive, cell.orbits, recipe.graph, name=name)
    try:
        kpath = kpath_of(cell, recipe.kpath)
    except InputError as error:
        raise InputError(error.code, f"{name}: {error.message}", stage=error.stage) from error
    kpoints = kpath.frac_kpoints
    if recipe.kpath.frame == "cartesian":
        kpoints = kpoints @ primitive.reciprocal
    return Features(
        crystal=primitive,
        space_group=cell.space_group,
        space_group_symbol=cell.space_group_symbol,
        atomic_numbers=primitive.atomic_numbers,
        neighbor_index=graph.neighbor_index,
        neighbor_distance=graph.neighbor_distance,
        neighbor_mask=graph.neighbor_mask,
        neighbor_image=graph.neighbor_image,
        atom_mask=np.ones(primitive.n_atoms, dtype=np.bool_),
        kpath=kpath,
        kpoints=kpoints.astype(np.float32),
    )
