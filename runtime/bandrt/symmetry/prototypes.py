"""Cubic prototypes: crystals that differ in their scale and their elements alone.

In rocksalt, perovskite, fluorite, the Heusler alloys and their like all atoms lie on eighths of the vectors of a cubic lattice.
Nothing is left for their symmetry to depend on but which atoms are alike. So the symmetry of a prototype is found once, and holds
for each of its crystals: a seventh of the crystals of the Materials Project have one of a few dozen prototypes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from bandrt.crystal import Crystal, cofactors

SHAPE_TOLERANCE: Final = 1e-7
"""Relative, of scalar products of lattice vectors: files with eight digits keep within a tenth of it."""
VOLUME_PER_ATOM: Final = 20.0
"""Å^3, in the crystal that stands for a prototype."""
MAX_ATOMS: Final = 64
"""Larger cells have no prototype: hardly two of them would share it, and each is kept in memory."""

_TWELFTHS: Final = 12
"""The products of the shortest vectors of a cubic lattice are whole numbers of twelfths: 0, 1/3, 1/2 or 1 of a squared length."""
_EIGHTHS: Final = 8


class Prototype(NamedTuple):
    """A right-handed crystal up to its scale, its orientation and its elements.

    Attributes:
        shape: b.b, c.c, a.b, a.c and b.c of the lattice vectors, in twelfths of a.a.
        sites: of each atom the rank of its element by atomic number, from 0, and its coordinates in eighths, 0 to 7; sorted.
    """

    shape: tuple[int, ...]
    sites: tuple[tuple[int, ...], ...]

    def crystal(self) -> Crystal:
        """The crystal that stands for it: `VOLUME_PER_ATOM`, and elements numbered by their rank, from 1."""
        bb, cc, ab, ac, bc = self.shape
        metric = np.array([[_TWELFTHS, ab, ac], [ab, bb, bc], [ac, bc, cc]], dtype=np.float64)
        lattice = np.linalg.cholesky(metric).astype(np.float64)
        lattice *= (VOLUME_PER_ATOM * len(self.sites) / np.linalg.det(lattice)) ** (1 / 3)
        sites = np.array(self.sites)
        return Crystal.unchecked(lattice, (sites[:, 0] + 1).astype(np.int32), sites[:, 1:] / _EIGHTHS)


def prototype_of(crystal: Crystal) -> Prototype | None:
    """Tell the prototype of a crystal; None if it has free coordinates, or a lattice that cannot be cubic.

    Its symmetry need not be cubic: atoms on a cubic lattice may well have less.
    """
    shape = _shape(crystal.lattice.tolist())
    if shape is None or crystal.n_atoms > MAX_ATOMS or cofactors(crystal.lattice)[1] < 0:
        return None
    eighths = crystal.frac_coords * _EIGHTHS
    whole = eighths.astype(np.int64)
    if (whole != eighths).any():
        return None
    numbers = crystal.atomic_numbers.tolist()
    rank = {number: i for i, number in enumerate(sorted(set(numbers)))}
    sites = zip([rank[number] for number in numbers], *(whole % _EIGHTHS).T.tolist(), strict=True)
    return Prototype(shape, tuple(sorted(sites)))


def _shape(lattice: list[list[float]]) -> tuple[int, ...] | None:
    """The scalar products as in a `Prototype`; None if they are no whole numbers. Most lattices are told by the first."""
    a, b, c = lattice
    squared = _dot(a, a)
    if not squared > 0:
        return None
    shape = []
    for u, v in ((b, b), (c, c), (a, b), (a, c), (b, c)):
        product = _TWELFTHS * _dot(u, v) / squared
        if not abs((product + 0.5) % 1.0 - 0.5) <= _TWELFTHS * SHAPE_TOLERANCE:
            return None
        shape.append(round(product))
    return tuple(shape)


def _dot(u: list[float], v: list[float]) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
