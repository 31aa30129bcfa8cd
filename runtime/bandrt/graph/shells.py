"""Shells: which of the equally far neighbours get the last slots of an atom.

For a quarter of all atoms the last slot falls inside a shell of equally far neighbours. Which of them get a slot must
depend neither on the order of the atoms nor on the cell or the orientation. Atoms are therefore coloured by what a
message-passing model can tell apart: first by species, then, round by round, by the shells, distances and colours of
their neighbours (Weisfeiler-Lehman refinement), and the last shell is filled in the order of colours. Each round only splits the
colours before it, and atoms of one colour keep equal neighbourhoods, so whichever of them is taken, the model
computes the same numbers. Symmetry tells when that is already so, and most crystals need no round at all: `doubts` tells which.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.graph.neighbors import Neighbors
from bandrt.recipe import GraphRecipe

TIED: Final = 1
"""Inequivalent neighbours are equally far: `choose_slots` has to choose."""
OPEN: Final = 2
"""There may be more neighbours beyond the radius that matter."""
SHORT: Final = 4
"""There are too few neighbours to tell whether the last slot is tied, or even to fill it."""


class Slots(NamedTuple):
    """The chosen neighbours of the atoms of a crystal, nearest first.

    Attributes:
        column: (n_atoms, n_slots) position of the neighbour in its row; any on empty slots.
        filled: (n_atoms, n_slots) bool; filled slots come first.
    """

    column: NDArray[np.int64]
    filled: NDArray[np.bool_]


class _Environments(NamedTuple):
    """The neighbours of every atom up to and including the whole shell in which its last slot falls.

    Attributes:
        neighbor: (n_atoms, width) atom index.
        distance: (n_atoms, width) Å.
        shell: (n_atoms, width) number of the shell, from 0; a large number on empty entries.
        edge: (n_atoms, 1) the shell in which the last slot falls.
        inside: (n_atoms, width) bool, whether the entry is such a neighbour.
    """

    neighbor: NDArray[np.int64]
    distance: NDArray[np.float64]
    shell: NDArray[np.int64]
    edge: NDArray[np.int64]
    inside: NDArray[np.bool_]


def doubts(found: Neighbors, orbits: NDArray[np.int64], recipe: GraphRecipe) -> NDArray[np.int64]:
    """Tell which atoms cannot simply have their nearest neighbours; of the tied ones of an orbit, one speaks for all.

    Args:
        found: all neighbours within a radius, in rows longer than there are slots.
        orbits: (n_rows,) labels of symmetry-equivalent atoms, below n_rows, different ones in different crystals.
        recipe: number of slots, tie rule and tolerance.

    Returns:
        (n_rows,) the sum of `TIED`, `OPEN` and `SHORT` as they are true; a crystal is in every doubt that one of its atoms is in.
    """
    n_slots = recipe.n_neighbors
    short = found.counts <= n_slots
    doubt = short * np.int64(OPEN | SHORT)
    outermost = found.distance(found.entry[:, n_slots - 1 : n_slots + 1])
    tied = ((outermost[:, 1] - outermost[:, 0] <= recipe.tie_tolerance) > short).nonzero()[0]
    if len(tied) == 0:
        return doubt
    if recipe.tie_rule == "complete_shells":
        doubt[tied] |= TIED
    speaker = np.full(len(orbits), -1)
    speaker[orbits[tied]] = tied
    rows = speaker[speaker >= 0]
    entry = found.entry[rows]
    shell = _shells(found.distance(entry), recipe.tie_tolerance)
    edge = shell[:, n_slots - 1, None]
    orbit = orbits.take(found.atom(rows, entry) + found.first_row[rows, None])
    mixed = ((orbit != orbit[:, n_slots - 1, None]) & (shell == edge)).any(axis=1)
    doubt[rows[mixed]] |= TIED
    reaches_on = (shell <= edge).sum(axis=1) == found.counts[rows]
    doubt[rows[reaches_on]] |= OPEN
    return doubt


def choose_slots(
    distance: NDArray[np.float64],
    neighbor: NDArray[np.int64],
    counts: NDArray[np.int64],
    atomic_numbers: NDArray[np.int32],
    orbits: NDArray[np.integer],
    recipe: GraphRecipe,
) -> Slots:
    """Choose the neighbours that get a slot.

    Args:
        distance: (n_atoms, width) Å, of all neighbours within a radius that holds every shell in which a last slot falls.
        neighbor: (n_atoms, width) their atom indices.
        counts: (n_atoms,) how many they are; entries behind them hold nothing.
        atomic_numbers: (n_atoms,).
        orbits: (n_atoms,) labels of symmetry-equivalent atoms.
        recipe: number of slots, tie rule and tolerance.
    """
    n_slots = recipe.n_neighbors
    around = _environments(distance, neighbor, counts, recipe)
    size = around.inside.sum(axis=1)
    overfull = size > n_slots
    taken = np.arange(around.shell.shape[1]) < np.minimum(size, n_slots)[:, None]
    if recipe.tie_rule == "complete_shells":
        droppable = overfull & (around.edge[:, 0] > 0)
        taken[droppable] = (around.shell < around.edge)[droppable]
        overfull &= ~droppable
    if overfull.any():
        taken[overfull] = _nearest_by_colour(around, overfull, atomic_numbers, orbits, recipe)
    column = (~taken).argsort(axis=1, kind="stable")[:, :n_slots]
    return Slots(column, np.take_along_axis(taken, column, axis=1))


def _shells(distance: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """Number the shells of each row, (n, width), from 0."""
    shell = np.zeros(distance.shape, dtype=np.int64)
    (distance[:, 1:] - distance[:, :-1] > tolerance).cumsum(axis=1, out=shell[:, 1:])
    return shell


def _environments(
    distance: NDArray[np.float64], neighbor: NDArray[np.int64], counts: NDArray[np.int64], recipe: GraphRecipe
) -> _Environments:
    """Number the shells, and leave out what lies beyond those that matter."""
    width = max(int(counts.max()), recipe.n_neighbors)
    distance, neighbor = distance[:, :width], neighbor[:, :width]
    filled = np.arange(width) < counts[:, None]
    shell = _shells(distance, recipe.tie_tolerance)
    shell[~filled] = width
    edge = shell[:, recipe.n_neighbors - 1, None]
    inside = filled & (shell <= edge)
    width = max(int(inside.sum(axis=1).max()), recipe.n_neighbors)
    return _Environments(neighbor[:, :width], distance[:, :width], shell[:, :width], edge, inside[:, :width])


def _nearest_by_colour(
    around: _Environments,
    tied: NDArray[np.bool_],
    atomic_numbers: NDArray[np.int32],
    orbits: NDArray[np.integer],
    recipe: GraphRecipe,
) -> NDArray[np.bool_]:
    """Fill the slots of the tied atoms: by shell, then colour, then distance.

    Returns:
        (n_tied, width) bool, the neighbours that get a slot.
    """
    n_slots = recipe.n_neighbors
    neighbor, shell = around.neighbor[tied], around.shell[tied]
    at_edge = around.inside[tied] & (shell == around.edge[tied])
    orbit = orbits[neighbor]
    colour = atomic_numbers.astype(np.int64)
    n_colours = len(set(colour.tolist()))
    while True:
        rank = shell * (int(colour.max()) + 1) + colour[neighbor]
        ordered = rank.argsort(axis=1, kind="stable")
        rows = np.arange(len(rank))[:, None]
        cut = rank[rows, ordered[:, n_slots - 1 : n_slots]]
        group = at_edge & (rank == cut)  # the neighbours of which some get a slot, and some perhaps do not
        lowest = np.where(group, orbit, np.iinfo(np.int64).max).min(axis=1)
        highest = np.where(group, orbit, -1).max(axis=1)
        split = cut[:, 0] == rank[rows, ordered[:, n_slots : n_slots + 1]][:, 0]
        if not (split & (lowest != highest)).any():
            break
        colour, n_before = _refine(colour, around, recipe.tie_tolerance), n_colours
        n_colours = int(colour.max()) + 1
        if n_colours == n_before:
            break
    taken = np.zeros(shell.shape, dtype=np.bool_)
    taken[rows, ordered[:, :n_slots]] = True
    return taken


def _refine(colour: NDArray[np.int64], around: _Environments, tolerance: float) -> NDArray[np.int64]:
    """Split colours once by the shells, distances and colours of the neighbours; the order of colours is kept."""
    length = around.distance[around.inside]
    ascending = length.argsort()
    label = np.zeros(len(length), dtype=np.int64)  # distances that differ by rounding only must compare equal: number them
    label[ascending[1:]] = np.cumsum(np.diff(length[ascending]) > tolerance)
    n_labels, n_colours = int(label.max()) + 1, int(colour.max()) + 1
    code = np.full(around.shell.shape, np.iinfo(np.int64).max)
    code[around.inside] = (around.shell[around.inside] * n_labels + label) * n_colours + colour[around.neighbor[around.inside]]
    code.sort(axis=1)
    keys = [(own, *environment) for own, environment in zip(colour.tolist(), code.tolist(), strict=True)]
    rank = {key: position for position, key in enumerate(sorted(set(keys)))}
    return np.array([rank[key] for key in keys], dtype=np.int64)
