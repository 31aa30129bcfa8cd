"""The crystal graph: the nearest neighbours of every atom.

The search is exact for any lattice, however small or skewed. A radius guessed from the density is grown until every atom has its
neighbours and one more, so that a tie at the last slot is seen; `bandrt.shells` settles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal, cofactors
from bandrt.errors import InputError
from bandrt.recipe import GraphRecipe
from bandrt.shells import Pairs, choose_slots

DEFAULT_RECIPE = GraphRecipe()
FIRST_RADIUS = 0.79
"""In units of (neighbours wanted * volume per atom)^(1/3): wide enough at once for 99 % of Materials Project crystals."""
RADIUS_GROWTH = 1.3
"""Factor on the radius when it held too few neighbours."""
ROUNDING = 1e-6
"""Å: a neighbour at the cutoff up to rounding is inside, whatever the orientation."""
MAX_IMAGES = 30_000
"""Lattice images searched at most; only a lattice that is nearly flat needs more."""
CHUNK = 1 << 21
"""Distances held in memory at once."""
_UPPER = np.array([0, 1, 2, 4, 5, 8])  # of a flattened (3, 3) matrix


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """The neighbours of every atom, nearest first; edges run from the neighbour to the centre.

    Neighbours are the atoms whose messages arrive: the nearest ones, or with the direction ``from_center`` all those that have the
    centre among their nearest.

    Attributes:
        neighbor_index: (n_atoms, n_slots) int32, the neighbour atom; 0 on empty slots.
        neighbor_distance: (n_atoms, n_slots) float32, Å; 0 on empty slots.
        neighbor_mask: (n_atoms, n_slots) bool, whether the slot is filled; filled slots come first.
        neighbor_image: (n_atoms, n_slots, 3) int32, the lattice translation T in cell vectors, such that
            ``(frac_coords[j] + T - frac_coords[i]) @ lattice`` points from the centre i to the neighbour j; 0 on empty slots.
    """

    neighbor_index: NDArray[np.int32]
    neighbor_distance: NDArray[np.float32]
    neighbor_mask: NDArray[np.bool_]
    neighbor_image: NDArray[np.int32]


def crystal_graph(
    crystal: Crystal, orbits: NDArray[np.integer], recipe: GraphRecipe = DEFAULT_RECIPE, *, name: str = "crystal"
) -> CrystalGraph:
    """Find the nearest neighbours of every atom.

    Args:
        crystal: any cell, reduced or not.
        orbits: (n_atoms,) labels of symmetry-equivalent atoms. They only save work: a tie within one orbit needs no colouring.
        recipe: cutoff, number of slots and tie rule.
        name: what to call the crystal in an error.

    Raises:
        InputError: ``lattice-too-skewed``.
    """
    cells = np.floor(crystal.frac_coords)
    wrapped = crystal.frac_coords - cells
    spread = [max(along) - min(along) for along in wrapped.T.tolist()]
    limit = recipe.cutoff + ROUNDING
    faces, volume = cofactors(crystal.lattice)
    radius = min(limit, FIRST_RADIUS * ((recipe.n_neighbors + 1) * abs(volume) / crystal.n_atoms) ** (1 / 3))
    while True:
        # an image can only matter if it lies within the radius plus the spread of the atoms; a cell is volume / face high
        counts = [int(radius * hypot(*face) / abs(volume) + width) for face, width in zip(faces, spread, strict=True)]
        if (2 * counts[0] + 1) * (2 * counts[1] + 1) * (2 * counts[2] + 1) > MAX_IMAGES:
            raise InputError(
                "lattice-too-skewed",
                f"{name}: more than {MAX_IMAGES} lattice images lie within {radius:.2f} Å of an atom; reduce the cell",
                stage="graph",
            )
        found = _pairs_within(radius, crystal.lattice, wrapped, counts, recipe.self_images)
        last = radius >= limit
        if last and len(found.distance) == 0:
            return _empty_graph(crystal.n_atoms, recipe.n_neighbors)
        slots = choose_slots(found, crystal.atomic_numbers, orbits, recipe, radius=radius, last=last)
        if slots is not None:
            break
        radius = min(limit, RADIUS_GROWTH * radius)

    pair, filled = slots
    neighbor = found.neighbor.take(pair)
    image = found.images.take(found.image.take(pair), axis=0)
    if cells.any():
        image = image + (cells[:, None] - cells[neighbor]).astype(np.int32)
    distance = found.distance.take(pair).astype(np.float32)
    if not filled.all():
        neighbor, distance, image = neighbor * filled, distance * filled, image * filled[..., None]
    graph = CrystalGraph(neighbor.astype(np.int32), distance, filled, image)
    return graph if recipe.direction == "to_center" else turned_around(graph)


def turned_around(graph: CrystalGraph) -> CrystalGraph:
    """Turn every edge around: each atom gets those that had it as a neighbour, nearest first, in as many slots as one needs."""
    n = len(graph.neighbor_index)
    speaker, slot = graph.neighbor_mask.nonzero()
    order = np.lexsort((graph.neighbor_distance[speaker, slot], graph.neighbor_index[speaker, slot]))
    speaker, slot = speaker[order], slot[order]
    listener = graph.neighbor_index[speaker, slot]
    counts = np.bincount(listener, minlength=n)
    column = np.arange(len(listener)) - (counts.cumsum() - counts)[listener]
    turned = _empty_graph(n, max(1, int(counts.max())))
    turned.neighbor_index[listener, column] = speaker
    turned.neighbor_distance[listener, column] = graph.neighbor_distance[speaker, slot]
    turned.neighbor_mask[listener, column] = True
    turned.neighbor_image[listener, column] = -graph.neighbor_image[speaker, slot]
    return turned


def _empty_graph(n_atoms: int, n_slots: int) -> CrystalGraph:
    """The graph of atoms that are all alone within the cutoff."""
    shape = n_atoms, n_slots
    return CrystalGraph(
        np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_), np.zeros((*shape, 3), np.int32)
    )


def _pairs_within(
    radius: float, lattice: NDArray[np.float64], wrapped: NDArray[np.float64], counts: list[int], self_images: bool
) -> Pairs:
    """Find all pairs up to a radius.

    Args:
        radius: Å.
        lattice: (3, 3), Å.
        wrapped: (n_atoms, 3) fractional coordinates in [0, 1).
        counts: how many images to search on either side along each cell vector.
        self_images: whether an image of an atom is its neighbour.
    """
    n = len(wrapped)
    images, quadratic = _image_grid(*counts)
    m = len(images)
    metric = lattice @ lattice.T
    upper = metric.take(_UPPER)[:, None]
    axes = wrapped.T.copy()  # (3, n_atoms): long rows are what NumPy is fast on
    chunk = max(1, CHUNK // (n * m))
    flat_chunks, squared_chunks = [], []
    for start in range(0, n, chunk):
        delta = (axes[:, None] - axes[:, start : start + chunk, None]).reshape(3, -1)  # (3, chunk * n)
        left = np.empty((10, delta.shape[1]))  # |delta + g|^2 = delta.M.delta + 2 (delta.M).g + g.M.g, linear in `quadratic`
        projected = np.matmul(metric, delta, out=left[:3])
        left[3:9] = upper
        products = delta * projected
        np.add(products[0] + products[2], products[1], out=left[9])  # in another order, rounding would order ties anew
        squared = left.T @ quadratic  # (chunk * n, m)
        if self_images:
            squared[start :: n + 1, m // 2] = np.inf  # the atom itself
        else:
            squared[start :: n + 1] = np.inf
        squared = squared.reshape(-1)
        flat = (squared <= radius * radius).nonzero()[0]
        squared_chunks.append(squared.take(flat))
        flat_chunks.append(flat + start * n * m)
    flat = flat_chunks[0] if chunk >= n else np.concatenate(flat_chunks)
    squared = squared_chunks[0] if chunk >= n else np.concatenate(squared_chunks)

    centre = flat // (n * m)
    order = (squared + centre * (radius * radius + 1.0)).argsort()
    flat = flat.take(order)
    edge = flat // m
    neighbor, image = edge - centre * n, flat - edge * m  # `centre` is in order already
    return Pairs(np.bincount(centre, minlength=n), neighbor, image, np.sqrt(np.abs(squared.take(order))), images)


@lru_cache(maxsize=64)
def _image_grid(a: int, b: int, c: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """All lattice translations g from (-a, -b, -c) to (a, b, c), the zero one in the middle.

    Returns:
        The translations, (n_images, 3), and twice them, their six products as they go with the upper triangle of a metric, and
        ones, (10, n_images).
    """
    ranges = [np.arange(-k, k + 1, dtype=np.int32) for k in (a, b, c)]
    grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    first, second = np.divmod(_UPPER, 3)
    products = grid[:, first] * grid[:, second] * np.where(first == second, 1, 2)
    return grid, np.concatenate([2 * grid, products, np.ones((len(grid), 1))], axis=1).T.copy()
