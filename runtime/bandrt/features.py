"""Features: everything an engine is fed for one crystal, made here and nowhere else, for training and for inference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind, check_type, not_allowed
from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.graph.crystal_graph import CrystalGraph, crystal_graphs
from bandrt.items import called, crystal_of, is_one, items_of
from bandrt.kpaths import kpaths_of
from bandrt.kpaths.mesh import mesh
from bandrt.kpaths.path import KPath
from bandrt.outcomes import each, only, onward, outcome_of
from bandrt.quoting import shortened
from bandrt.recipe import Recipe
from bandrt.symmetry.inversion import Inversion, inversions_of
from bandrt.symmetry.standard_cell import StandardCell, standardize_many

DEFAULT_RECIPE = Recipe()
CHUNK = 128
"""Crystals whose features are made together: as many as pay, and few enough to stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Features:
    """A crystal as an engine sees it; `bandrt.batch` pads several into one input.

    Attributes:
        crystal: the standard primitive cell, in standard orientation; all indices and k-points refer to it.
        space_group: number, 1 to 230.
        space_group_symbol: international short symbol, e.g. ``Fm-3m``.
        atomic_numbers: (n_atoms,) int32.
        neighbor_index: (n_atoms, n_slots) int32, see `bandrt.graph.crystal_graph.CrystalGraph`.
        neighbor_distance: (n_atoms, n_slots) float32, Å.
        neighbor_mask: (n_atoms, n_slots) bool.
        neighbor_image: (n_atoms, n_slots, 3) int32, in cell vectors.
        atom_mask: (n_atoms,) bool, all true: padding comes with the batch.
        kpath: the k-path with its labels.
        kpoints: (n_kpoints, 3) float32 in the frame of the recipe: fractional, or Cartesian in 1/Å.
        neighbor_direction: (n_atoms, n_slots, 3) float32, Cartesian unit vectors from the atom to the neighbour, 0 on empty slots;
            None unless the recipe's rule of neighbours is ``bonds``.
        mesh_kpoints: (n_mesh, 3) float32, fractional, see `bandrt.kpaths.mesh`; without a mesh in the recipe there are none.
        mesh_weights: (n_mesh,) float32, which add up to one.
        inversion_partner: (n_atoms,) int32, see `bandrt.symmetry.inversion`; None of crystals without a centre of inversion, and
            unless the recipe's rule of neighbours is ``bonds``.
        inversion_image: (n_atoms, 3) int32, of the same crystals.
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
    neighbor_direction: NDArray[np.float32] | None = None
    mesh_kpoints: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    mesh_weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    inversion_partner: NDArray[np.int32] | None = None
    inversion_image: NDArray[np.int32] | None = None

    def __repr__(self) -> str:
        return (
            f"Features({shortened(self.crystal.formula)}, {self.crystal.n_atoms} atoms,"
            f" {self.space_group_symbol} ({self.space_group}),"
            f" {self.neighbor_index.shape[1]} neighbour slots, {len(self.kpoints)} k-points)"
        )


class Column(Protocol):
    """A column of a table, of pandas or Polars."""

    def to_list(self) -> list[Any]:
        """Its values."""


Many = list[Any] | tuple[Any, ...] | Iterator[Any] | NDArray[Any] | Column
"""Several items, as far as a type can tell: an ASE or pymatgen object gives its sites one after the other, and is one item."""


@overload
def featurize(item: Many, recipe: Recipe = ..., *, name: None = ...) -> list[Features | InputError]: ...
@overload
def featurize(item: Any, recipe: Recipe = ..., *, name: str | None = ...) -> Features: ...
def featurize(item: Any, recipe: Recipe = DEFAULT_RECIPE, *, name: str | None = None) -> Features | list[Features | InputError]:
    """Read a crystal and make its features.

    Args:
        item: a path, CIF text, a pymatgen or ASE object, a `Crystal`, a `Source`; or many of them: a list, tuple, generator, array
            or column.
        recipe: the choices the engine was trained with.
        name: what to call it in an error; the file name for a path.

    Returns:
        The features of one item; of many a list, as `featurize_many` makes it.

    Raises:
        InputError: the one crystal cannot be read or used; its ``code`` and ``stage`` say why and where.
        ArgumentError: ``bad-argument`` for what is neither an item nor many.
    """
    if name is not None:
        check_kind("name", name, str)
    if is_one(item):
        check_kind("recipe", recipe, Recipe)
        return only(_featurized([item], recipe, [name or called(item)]))
    many = items_of(item, what="item")
    if name is not None:
        raise not_allowed("name", name, "None, for many items; `featurize_many` takes names")
    return featurize_many(many, recipe)


def featurize_many(
    items: Iterable[Any], recipe: Recipe = DEFAULT_RECIPE, *, names: Sequence[str | None] | None = None
) -> list[Features | InputError]:
    """Read crystals and make their features: to the last bit what `featurize` makes of each, but faster.

    Args:
        items: as `featurize` takes them; one alone is taken as a list of one.
        recipe: the choices the engine was trained with.
        names: what to call each in an error; the file name for a path.

    Returns:
        Features of each item, or the error that `featurize` would raise: a bad item does no harm to the others.

    Raises:
        ArgumentError: ``bad-argument`` for what is neither an item nor many, or names that are not as many.
    """
    check_kind("recipe", recipe, Recipe)
    given = list(items_of(items))
    wanted = [None] * len(given) if names is None else _checked_names(names, len(given))
    return _featurized(
        given, recipe, [name or called(item, order) for order, (item, name) in enumerate(zip(given, wanted, strict=True))]
    )


def _featurized(items: list[Any], recipe: Recipe, names: list[str]) -> list[Features | InputError]:
    """Read items and make their features, or the errors in the place of these."""
    crystals = [outcome_of(partial(crystal_of, item, name=name)) for item, name in zip(items, names, strict=True)]
    return featurize_crystals(crystals, recipe, names=names)


def _checked_names(names: Any, n_items: int) -> list[str | None]:
    """The names of several items; None for one that says itself what it is called.

    Raises:
        ArgumentError: ``bad-argument`` for what is no list of these, or not as long.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable) or len(given := list(names)) != n_items:
        raise not_allowed("names", names, f"a list of a name, or None, for each of {n_items} items")
    for name in given:
        check_type("each of names", name, str | None)
    return given


def featurize_crystal(crystal: Crystal, recipe: Recipe = DEFAULT_RECIPE, *, name: str = "crystal") -> Features:
    """Make the features of a crystal in any cell and orientation.

    Args:
        crystal: any cell of the crystal.
        recipe: the choices the engine was trained with.
        name: what to call it in an error.

    Raises:
        InputError: at stage ``symmetry``, ``graph`` or ``kpath``.
    """
    return only(featurize_crystals([crystal], recipe, names=[name]))


def featurize_crystals(
    crystals: Sequence[Crystal | InputError], recipe: Recipe = DEFAULT_RECIPE, *, names: Sequence[str]
) -> list[Features | InputError]:
    """Do as `featurize_crystal` for each of several crystals; errors among them are given back as they are."""
    return featurize_cells(standardize_many(crystals, recipe.symmetry, names=names), recipe, names=names)


def featurize_cell(cell: StandardCell, recipe: Recipe = DEFAULT_RECIPE, *, name: str = "crystal") -> Features:
    """Make the features of a standard primitive cell.

    Args:
        cell: from `bandrt.symmetry.standard_cell.standardize`, by the recipe's symmetry.
        recipe: the choices the engine was trained with.
        name: what to call it in an error.

    Raises:
        InputError: at stage ``graph`` or ``kpath``.
    """
    return only(featurize_cells([cell], recipe, names=[name]))


def featurize_cells(
    cells: Sequence[StandardCell | InputError], recipe: Recipe = DEFAULT_RECIPE, *, names: Sequence[str]
) -> list[Features | InputError]:
    """Do as `featurize_cell` for each of several cells; errors among them are given back as they are."""

    def made(passed: list[StandardCell]) -> list[Features | InputError]:
        return [
            one
            for start in range(0, len(passed), CHUNK)
            for one in each(passed[start : start + CHUNK], partial(_features_of, recipe=recipe), "features-failed", "graph")
        ]

    outcomes = onward(cells, made)
    return [
        outcome.about(name) if isinstance(outcome, InputError) and outcome is not cell else outcome
        for cell, outcome, name in zip(cells, outcomes, names, strict=True)
    ]


def _features_of(cells: list[StandardCell], recipe: Recipe) -> list[Features | InputError]:
    graphs = crystal_graphs([cell.crystal for cell in cells], [cell.orbits for cell in cells], recipe.graph)
    kpaths = kpaths_of(cells, recipe.kpath)
    made = [_features(cell, graph, kpath, recipe) for cell, graph, kpath in zip(cells, graphs, kpaths, strict=True)]
    return made if recipe.graph.rule != "bonds" else [_centred(*both) for both in zip(made, inversions_of(cells), strict=True)]


def _centred(features: Features | InputError, inversion: Inversion | None) -> Features | InputError:
    """Features with what inversion makes of the atoms, if there is a centre."""
    if isinstance(features, InputError) or inversion is None:
        return features
    partner, image = (places.astype(np.int32, copy=False) for places in inversion)
    return replace(features, inversion_partner=partner, inversion_image=image)


def _features(
    cell: StandardCell, graph: CrystalGraph | InputError, kpath: KPath | InputError, recipe: Recipe
) -> Features | InputError:
    """Put the parts together, or give the first reason why that cannot be done."""
    primitive = cell.crystal
    heaviest = int(primitive.atomic_numbers[-1])  # they are sorted
    if heaviest > recipe.max_atomic_number:
        return InputError(
            "unsupported-element",
            f"holds {SYMBOLS[heaviest]} (atomic number {heaviest}), this model knows the elements up to"
            f" {SYMBOLS[recipe.max_atomic_number]} ({recipe.max_atomic_number})",
            stage="graph",
        )
    if isinstance(graph, InputError):
        return graph
    if isinstance(kpath, InputError):
        return kpath
    kpoints = kpath.frac_kpoints
    if recipe.kpath.frame == "cartesian":
        kpoints = kpoints @ primitive.reciprocal
    features = Features(
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
        neighbor_direction=graph.neighbor_direction,
    )
    if recipe.mesh is None:
        return features
    points, weights = mesh(primitive.lattice, cell.rotations, recipe.mesh)
    return replace(features, mesh_kpoints=points, mesh_weights=weights)
