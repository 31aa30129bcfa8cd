"""Shells: which of the equally far neighbours get the last slots of an atom.

For a quarter of all atoms the last slot falls inside a shell of equally far neighbours. Which of them get a slot must
depend neither on the order of the atoms nor on the cell or the orientation. Atoms are therefore coloured by what a
message-passing model can tell apart: first by species, then, round by round, by the shells, distances and colours of
their neighbours (Weisfeiler-Lehman refinement), and the last shell is filled in the order of colours. Each round only splits the
colours before it, and atoms of one colour keep equal neighbourhoods, so whichever of them is taken, the model
computes the same numbers. Symmetry tells when that is already so, and most crystals need no round at all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.recipe import GraphRecipe


class Pairs(NamedTuple):
    """All neighbours within a radius, those of one centre together, nearest first.

    Attributes:
        counts: (n_atoms,) neighbours of each centre.
        neighbor: (n_pairs,) atom index of the neighbour.
        image: (n_pairs,) row of `images`.
        distance: (n_pairs,) Å.
        images: (n_images, 3) int32 lattice translations.
    """

    counts: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]
    images: NDArray[np.int32]


class Slots(NamedTuple):
    """The chosen pairs, nearest first.

    Attributes:
        pair: (n_atoms, n_slots) row of the pairs; any row on empty slots.
        filled: (n_atoms, n_slots) bool; filled slots come first.
    """

    pair: NDArray[np.int64]
    filled: NDArray[np.bool_]


class _Environments(NamedTuple):
    """The neighbours of every atom up to and including the whole shell in which its last slot falls.

    Attributes:
        pair: (n_atoms, width) row of the pairs, nearest first.
        neighbor: (n_atoms, width) atom index.
        distance: (n_atoms, width) Å.
        shell: (n_atoms, width) number of the shell, from 0; a large number on empty entries.
        edge: (n_atoms, 1) the shell in which the last slot falls.
        inside: (n_atoms, width) bool, whether the entry is such a neighbour.
    """

    pair: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    distance: NDArray[np.float64]
    shell: NDArray[np.int64]
    edge: NDArray[np.int64]
    inside: NDArray[np.bool_]


def choose_slots(
    pairs: Pairs, atomic_numbers: NDArray[np.int32], orbits: NDArray[np.integer], recipe: GraphRecipe, *, radius: float, last: bool
) -> Slots | None:
    """Choose the pairs that get a slot.

    Args:
        pairs: all pairs within `radius`, at least one.
        atomic_numbers: (n_atoms,).
        orbits: (n_atoms,) labels of symmetry-equivalent atoms.
        recipe: number of slots, tie rule and tolerance.
        radius: Å, how far `pairs` reaches.
        last: whether `radius` is the cutoff.

    Returns:
        The slots, or None if the radius must grow before the tie can be judged.
    """
    n_slots = recipe.n_neighbors
    start = pairs.counts.cumsum() - pairs.counts
    if min(pairs.counts.tolist()) > n_slots:
        beyond = start + n_slots
        gap = pairs.distance.take(beyond) - pairs.distance.take(beyond - 1)
        tied = (gap <= recipe.tie_tolerance).nonzero()[0].tolist()
        kind = _edge_kind(pairs, start, tied, orbits, recipe, radius, last) if tied else "alike"
        if kind == "open":
            return None
        if kind == "alike" and (recipe.tie_rule == "site_invariant" or not tied):
            pair = start[:, None] + np.arange(n_slots)
            return Slots(pair, np.ones(pair.shape, dtype=np.bool_))
    elif not last:
        return None

    around = _environments(pairs, start, recipe)
    size = around.inside.sum(axis=1)
    overfull = size > n_slots
    taken = np.arange(around.pair.shape[1]) < np.minimum(size, n_slots)[:, None]
    if recipe.tie_rule == "complete_shells":
        droppable = overfull & (around.edge[:, 0] > 0)
        taken[droppable] = (around.shell < around.edge)[droppable]
        overfull &= ~droppable
    if overfull.any():
        taken[overfull] = _nearest_by_colour(around, overfull, atomic_numbers, orbits, recipe)
    column = (~taken).argsort(axis=1, kind="stable")[:, :n_slots]
    rows = np.arange(len(start))[:, None]
    return Slots(around.pair[rows, column], taken[rows, column])


def _edge_kind(
    pairs: Pairs,
    start: NDArray[np.int64],
    tied: list[int],
    orbits: NDArray[np.integer],
    recipe: GraphRecipe,
    radius: float,
    last: bool,
) -> Literal["open", "alike", "mixed"]:
    """Look at the shells in which the last slots of the tied atoms fall, at one atom of each orbit.

    Returns:
        ``open`` if one may go on beyond the radius, ``mixed`` if one holds inequivalent atoms, else ``alike``.
    """
    kind: Literal["alike", "mixed"] = "alike"
    labels = orbits.tolist()
    starts, counts = start.tolist(), pairs.counts.tolist()
    for atom in {labels[atom]: atom for atom in tied}.values():
        row = slice(starts[atom], starts[atom] + counts[atom])
        distance = pairs.distance[row].tolist()
        low, high = recipe.n_neighbors - 1, recipe.n_neighbors
        while low > 0 and distance[low] - distance[low - 1] <= recipe.tie_tolerance:
            low -= 1
        while high < len(distance) and distance[high] - distance[high - 1] <= recipe.tie_tolerance:
            high += 1
        if high == len(distance) and not last and distance[-1] > radius - recipe.tie_tolerance:
            return "open"
        if len({labels[neighbor] for neighbor in pairs.neighbor[row][low:high].tolist()}) > 1:
            kind = "mixed"
    return kind


def _environments(pairs: Pairs, start: NDArray[np.int64], recipe: GraphRecipe) -> _Environments:
    """Lay the pairs out in rows and number their shells."""
    width = max(int(pairs.counts.max()), recipe.n_neighbors)
    filled = np.arange(width) < pairs.counts[:, None]
    pair = np.where(filled, start[:, None] + np.arange(width), 0)
    shell = np.zeros(pair.shape, dtype=np.int64)
    np.cumsum(np.diff(pairs.distance[pair], axis=1) > recipe.tie_tolerance, axis=1, out=shell[:, 1:])
    shell[~filled] = width
    edge = shell[:, recipe.n_neighbors - 1, None]
    inside = filled & (shell <= edge)
    width = max(int(inside.sum(axis=1).max()), recipe.n_neighbors)
    pair, shell, inside = pair[:, :width], shell[:, :width], inside[:, :width]
    return _Environments(pair, pairs.neighbor[pair], pairs.distance[pair], shell, edge, inside)


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
