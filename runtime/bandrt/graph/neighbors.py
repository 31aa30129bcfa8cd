"""Neighbours: every atom within a radius of each atom, of several crystals at once, nearest first.

The search is exact for any lattice, however small or skewed. Distances are found crystal by crystal, which is what matrix products
are good at, and put in order for all crystals together, in one row per atom. A row never depends on the other crystals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import hypot
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError

T = TypeVar("T", bound=np.generic)

MAX_DISTANCES = 1 << 21
"""Distances held in memory at once."""
MAX_IMAGES = 30_000
"""Lattice images searched at most; only a lattice that is nearly flat needs more."""
FAR = 1e30
"""Å^2: how far empty entries are."""
_UPPER = np.array([0, 1, 2, 4, 5, 8])  # of a flattened (3, 3) matrix
_COLUMN = np.int64((1 << 20) - 1)
"""The bits of a squared distance that give way to the position of its neighbour, so that one sort orders both. No atom has as many
neighbours, and the bits left tell distances apart that differ by 1e-10; closer ones are ordered by atom and image."""
_LAST = np.iinfo(np.int64).max
_NOWHERE = np.array([FAR])


class Reach(NamedTuple):
    """How far to search around the atoms of a crystal.

    Attributes:
        radius: Å.
        images: how many images to search on either side along each cell vector, counted from the one within half a cell.
    """

    radius: float
    images: tuple[int, int, int]

    @classmethod
    def of(cls, radius: float, shape: tuple[list[list[float]], float], n_atoms: int) -> Reach:
        """As far as atoms lie within a radius.

        Args:
            radius: Å.
            shape: `bandrt.crystal.cofactors` of the lattice.
            n_atoms: in the cell.

        Raises:
            InputError: ``lattice-too-skewed``.
        """
        faces, volume = shape
        # images count from the one within half a cell of the centre; a cell is volume / face high
        offset = 0.5 if n_atoms > 1 else 0.0
        a, b, c = [int(radius * hypot(*face) / abs(volume) + offset) for face in faces]
        if (2 * a + 1) * (2 * b + 1) * (2 * c + 1) > MAX_IMAGES:
            raise InputError(
                "lattice-too-skewed",
                f"more than {MAX_IMAGES} lattice images lie within {radius:.2f} Å of an atom; reduce the cell",
                stage="graph",
            )
        return cls(radius, (a, b, c))


class Neighbors(NamedTuple):
    """All neighbours within a radius of the atoms of some crystals, one row per atom, nearest first.

    Attributes:
        counts: (n_rows,) neighbours of each atom.
        entry: (n_rows, width) where `squared` and `candidate` hold a neighbour; on empty entries where they hold nothing.
        squared: (n_found + 1,) Å^2, the last one `FAR`.
        candidate: (n_found + 1,) index of the neighbour within its crystal times the number of images, plus the image.
        n_images: (n_rows,) images searched around each atom.
        first_row: (n_rows,) where the rows of each atom's crystal begin.
        images: (n_all_images, 3) int32 lattice translations, those of all crystals one after the other. They are counted from the
            image that is within half a cell of the centre along each axis: ``-rint(frac[neighbor] - frac[centre])``.
        first_image: (n_rows,) where those of each atom's crystal begin.
    """

    counts: NDArray[np.int64]
    entry: NDArray[np.int64]
    squared: NDArray[np.float64]
    candidate: NDArray[np.int64]
    n_images: NDArray[np.int64]
    first_row: NDArray[np.int64]
    images: NDArray[np.int32]
    first_image: NDArray[np.int64]

    def distance(self, entry: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distances of entries, any shape, Å."""
        return np.sqrt(self.squared.take(entry))

    def atom(self, rows: slice | NDArray[np.int64], entry: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the neighbour within its crystal, of entries (n, m) of n rows."""
        return self.candidate.take(entry) // self.n_images[rows, None]

    def atom_and_image(
        self, rows: slice | NDArray[np.int64], entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same, and the position in `images`."""
        atom, image = np.divmod(self.candidate.take(entry), self.n_images[rows, None])
        return atom, image + self.first_image[rows, None]


def neighbors_within(
    crystals: Sequence[Crystal], frac: NDArray[np.float64], reaches: Sequence[Reach], *, self_images: bool, min_width: int
) -> Neighbors:
    """Find all neighbours up to a radius.

    Args:
        crystals: any cells, reduced or not.
        frac: (n_rows, 3) fractional coordinates of the atoms of all crystals.
        reaches: how far to search, for each crystal.
        self_images: whether an image of an atom is its neighbour.
        min_width: how many entries the rows have at least.
    """
    axes = frac.T.copy()  # (3, n_rows): long rows are what NumPy is fast on
    flats, squares, grids = [], [], []
    crystal_rows: list[tuple[int, int, int, int]] = []  # atoms, images, first row and first image of each crystal
    first_row = first_image = first_candidate = 0
    for crystal, reach in zip(crystals, reaches, strict=True):
        n = crystal.n_atoms
        grid, quadratic = image_grid(*reach.images)
        metric = crystal.lattice @ crystal.lattice.T
        own_axes = axes[:, first_row : first_row + n]
        for flat, squared in pairs_within(reach.radius, metric, own_axes, quadratic, self_images, first_candidate):
            flats.append(flat)
            squares.append(squared)
        grids.append(grid)
        crystal_rows.append((n, len(grid), first_row, first_image))
        first_row += n
        first_image += len(grid)
        first_candidate += n * n * len(grid)
    flat = joined(flats)
    squared = np.concatenate([*squares, _NOWHERE])
    row = np.array(crystal_rows).repeat([n for n, *_ in crystal_rows], axis=0)  # (n_rows, 4)
    n_candidates, n_images = row[:, 0] * row[:, 1], row[:, 1]
    row_end = n_candidates.cumsum()  # candidates are numbered through all rows
    end = flat.searchsorted(row_end)
    counts = end.copy()
    counts[1:] -= end[:-1]
    width = max(int(counts.max()), min_width)
    column = np.arange(width)
    filled = column < counts[:, None]
    key = np.full(filled.shape, _LAST)
    key[filled] = np.abs(squared[:-1]).view(np.int64)  # positive numbers are ordered like their bits
    key &= ~_COLUMN
    key |= column
    key.sort(axis=1)
    key &= _COLUMN
    key += (end - counts)[:, None]
    candidate = np.zeros(len(squared), dtype=np.int64)
    np.subtract(flat, (row_end - n_candidates).repeat(counts), out=candidate[:-1])
    return Neighbors(counts, np.where(filled, key, len(flat)), squared, candidate, n_images, row[:, 2], joined(grids), row[:, 3])


def joined(parts: Sequence[NDArray[T]]) -> NDArray[T]:
    """Several arrays in one; one alone is taken as it is, not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pairs_within(
    radius: float,
    metric: NDArray[np.float64],
    axes: NDArray[np.float64],
    quadratic: NDArray[np.float64],
    self_images: bool,
    first: int = 0,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Find the pairs of one crystal up to a radius, part by part.

    Args:
        radius: Å.
        metric: (3, 3) of the lattice, Å^2.
        axes: (3, n_atoms) fractional coordinates.
        quadratic: from `image_grid`.
        self_images: whether an image of an atom is its neighbour.
        first: number of the first candidate.

    Yields:
        Candidates that are near enough, ascending, numbered by (centre, neighbour, image), and their squared distances in Å^2.
    """
    n, m = axes.shape[1], quadratic.shape[1]
    upper = metric.take(_UPPER)[:, None]
    chunk = max(1, MAX_DISTANCES // (n * m))
    for start in range(0, n, chunk):
        delta = (axes[:, None] - axes[:, start : start + chunk, None]).reshape(3, -1)  # (3, chunk * n)
        delta -= np.rint(delta)
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
        yield flat + (first + start * n * m), squared.take(flat)


@lru_cache(maxsize=64)
def image_grid(a: int, b: int, c: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
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
