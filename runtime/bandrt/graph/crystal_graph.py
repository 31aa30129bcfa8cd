"""The crystal graph: the nearest neighbours of every atom.

A radius guessed from the density is grown until every atom has its neighbours and one more, so that a tie at the last slot is seen;
`neighbors` searches within it, `shells` settles the tie. Several crystals are done at once, which is several times faster than
one after the other; each gets the graph that it gets alone, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal, cofactors
from bandrt.errors import InputError
from bandrt.graph.neighbors import Reach, joined, neighbors_within
from bandrt.graph.pairs import find_pairs
from bandrt.graph.shells import OPEN, SHORT, TIED, choose_slots, doubts
from bandrt.outcomes import only, outcome_of
from bandrt.recipe import GraphRecipe

DEFAULT_RECIPE = GraphRecipe()
FIRST_RADIUS = 0.79
"""In units of (neighbours wanted * volume per atom)^(1/3): wide enough at once for 99 % of Materials Project crystals."""
RADIUS_GROWTH = 1.3
"""Factor on the radius when it held too few neighbours."""
ROUNDING = 1e-6
"""Å: a neighbour at the cutoff up to rounding is inside, whatever the orientation."""


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """The neighbours of every atom, nearest first; edges run from the neighbour to the centre.

    Neighbours are the atoms whose messages arrive: the nearest ones, or with the direction ``from_center`` all those that have the
    centre among their nearest. With the rule ``bonds`` they are all within reach, see `bandrt.graph.pairs`.

    Attributes:
        neighbor_index: (n_atoms, n_slots) int32, the neighbour atom; 0 on empty slots.
        neighbor_distance: (n_atoms, n_slots) float32, Å; 0 on empty slots.
        neighbor_mask: (n_atoms, n_slots) bool, whether the slot is filled; filled slots come first.
        neighbor_image: (n_atoms, n_slots, 3) int32, the lattice translation T in cell vectors, such that
            ``(frac_coords[j] + T - frac_coords[i]) @ lattice`` points from the centre i to the neighbour j; 0 on empty slots.
        neighbor_direction: (n_atoms, n_slots, 3) float32, that vector made one long; 0 on empty slots. None unless the rule is
            ``bonds``.
    """

    neighbor_index: NDArray[np.int32]
    neighbor_distance: NDArray[np.float32]
    neighbor_mask: NDArray[np.bool_]
    neighbor_image: NDArray[np.int32]
    neighbor_direction: NDArray[np.float32] | None = None


def crystal_graph(crystal: Crystal, orbits: NDArray[np.integer], recipe: GraphRecipe = DEFAULT_RECIPE) -> CrystalGraph:
    """Find the nearest neighbours of every atom.

    Args:
        crystal: any cell, reduced or not.
        orbits: (n_atoms,) labels of symmetry-equivalent atoms, below n_atoms. They only save work: a tie within one orbit needs no
            colouring.
        recipe: cutoff, number of slots and tie rule.

    Raises:
        InputError: ``lattice-too-skewed``, ``too-many-pairs``.
    """
    return only(crystal_graphs([crystal], [orbits], recipe))


def crystal_graphs(
    crystals: Sequence[Crystal], orbits: Sequence[NDArray[np.integer]], recipe: GraphRecipe = DEFAULT_RECIPE
) -> list[CrystalGraph | InputError]:
    """Do as `crystal_graph` for each of several crystals; an error is given back in the place of the graph."""
    if recipe.rule == "bonds":
        return [outcome_of(partial(_graph_of_pairs, crystal, recipe)) for crystal in crystals]
    limit = recipe.cutoff + ROUNDING
    shapes = [cofactors(crystal.lattice) for crystal in crystals]
    radii = [
        min(limit, FIRST_RADIUS * ((recipe.n_neighbors + 1) * abs(volume) / crystal.n_atoms) ** (1 / 3))
        for crystal, (_, volume) in zip(crystals, shapes, strict=True)
    ]
    outcomes: dict[int, CrystalGraph | InputError] = {}
    pending = list(range(len(crystals)))
    while pending:
        reaches: dict[int, Reach] = {}
        for i in pending:
            try:
                reaches[i] = Reach.of(radii[i], shapes[i], crystals[i].n_atoms)
            except InputError as error:
                outcomes[i] = error
        graphs = _graphs_within(list(reaches.values()), [crystals[i] for i in reaches], [orbits[i] for i in reaches], recipe)
        pending = []
        for i, graph in zip(reaches, graphs, strict=True):
            if graph is None:
                radii[i] = min(limit, RADIUS_GROWTH * radii[i])
                pending.append(i)
            else:
                outcomes[i] = graph
    return [outcomes[i] for i in range(len(crystals))]


def _graphs_within(
    reaches: Sequence[Reach], crystals: Sequence[Crystal], orbits: Sequence[NDArray[np.integer]], recipe: GraphRecipe
) -> list[CrystalGraph | None]:
    """Graphs from the neighbours within a radius for each crystal; None where it must grow before they can be judged."""
    if not crystals:
        return []
    frac = joined([crystal.frac_coords for crystal in crystals])
    found = neighbors_within(crystals, frac, reaches, self_images=recipe.self_images, min_width=recipe.n_neighbors + 1)
    ends = accumulate(crystal.n_atoms for crystal in crystals)
    parts = [slice(end - crystal.n_atoms, end) for crystal, end in zip(crystals, ends, strict=True)]
    row_doubts = doubts(found, joined(orbits) + found.first_row, recipe)
    doubt = np.bitwise_or.reduceat(row_doubts, [part.start for part in parts]).tolist()
    must_grow = [own & OPEN and reach.radius < recipe.cutoff + ROUNDING for own, reach in zip(doubt, reaches, strict=True)]

    entry = found.entry[:, : recipe.n_neighbors].copy()
    filled = np.ones(entry.shape, dtype=np.bool_)
    for crystal, own_orbits, part, own, grow in zip(crystals, orbits, parts, doubt, must_grow, strict=True):
        if own & (TIED | SHORT) and not grow:
            around = found.entry[part]
            column, filled[part] = choose_slots(
                found.distance(around), found.atom(part, around), found.counts[part], crystal.atomic_numbers, own_orbits, recipe
            )
            entry[part] = np.take_along_axis(around, column, axis=1)

    index, image_row = found.atom_and_image(slice(None), entry)
    centre_to_neighbor = frac.take(index + found.first_row[:, None], axis=0) - frac[:, None]  # (n_rows, n_slots, 3)
    image = found.images.take(image_row, axis=0) - np.rint(centre_to_neighbor).astype(np.int32)
    distance = found.distance(entry).astype(np.float32)
    if not filled.all():
        index, distance, image = index * filled, distance * filled, image * filled[..., None]
    neighbor_index = index.astype(np.int32)
    graphs = [CrystalGraph(neighbor_index[part], distance[part], filled[part], image[part]) for part in parts]
    return [
        None if grow else graph if recipe.direction == "to_center" else turned_around(graph)
        for graph, grow in zip(graphs, must_grow, strict=True)
    ]


def _graph_of_pairs(crystal: Crystal, recipe: GraphRecipe) -> CrystalGraph:
    """All pairs within reach, in as many slots as one atom needs.

    Raises:
        InputError: ``lattice-too-skewed``, ``too-many-pairs``.
    """
    pairs = find_pairs(crystal, recipe)
    column = np.arange(len(pairs.centre)) - (pairs.counts.cumsum() - pairs.counts).repeat(pairs.counts)
    place, shape = (pairs.centre, column), (crystal.n_atoms, max(1, int(pairs.counts.max())))
    index, distance, filled = np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    image, direction = np.zeros((*shape, 3), np.int32), np.zeros((*shape, 3), np.float32)
    index[place], distance[place], filled[place] = pairs.neighbor, pairs.distance, True
    image[place], direction[place] = pairs.image, pairs.direction
    return CrystalGraph(index, distance, filled, image, direction)


def turned_around(graph: CrystalGraph) -> CrystalGraph:
    """Turn every edge around: each atom gets those that had it as a neighbour, nearest first, in as many slots as one needs."""
    n = len(graph.neighbor_index)
    speaker, slot = graph.neighbor_mask.nonzero()
    order = np.lexsort((graph.neighbor_distance[speaker, slot], graph.neighbor_index[speaker, slot]))
    speaker, slot = speaker[order], slot[order]
    listener = graph.neighbor_index[speaker, slot]
    counts = np.bincount(listener, minlength=n)
    column = np.arange(len(listener)) - (counts.cumsum() - counts)[listener]
    shape = n, max(1, int(counts.max()))
    turned = CrystalGraph(
        np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_), np.zeros((*shape, 3), np.int32)
    )
    turned.neighbor_index[listener, column] = speaker
    turned.neighbor_distance[listener, column] = graph.neighbor_distance[speaker, slot]
    turned.neighbor_mask[listener, column] = True
    turned.neighbor_image[listener, column] = -graph.neighbor_image[speaker, slot]
    return turned
