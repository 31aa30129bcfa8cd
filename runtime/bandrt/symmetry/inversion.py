"""What inversion makes of the atoms of a standard primitive cell that has a centre, of many cells at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # what runs an engine on arrays needs no crystals
    from bandrt.symmetry.standard_cell import StandardCell

SAME_PLACE: Final = 1e-5
"""Å: a standard cell is symmetric far better than that, and no hopping changes by 1e-4 eV over it."""


class Inversion(NamedTuple):
    """Where a centre c takes the N atoms of a cell: fractional, ``2 c - f_i = f_p(i) + s_i``."""

    partner: NDArray[np.integer[Any]]
    """(N,) p: to which atom; twice is back."""
    image: NDArray[np.integer[Any]]
    """(N, 3) s, whole: of which cell."""


def inversions_of(cells: Sequence[StandardCell]) -> list[Inversion | None]:
    """Find the partner of each atom; None of cells without a centre, and of those whose atoms are not quite where it takes others.

    Only atoms of an orbit can be partners.
    """
    centred = [cell for cell in cells if cell.twice_centre is not None]
    if not centred:
        return [None] * len(cells)
    n_atoms = np.array([cell.crystal.n_atoms for cell in centred])
    first_atom = n_atoms.cumsum() - n_atoms
    of_cell = np.arange(len(centred)).repeat(n_atoms)
    frac = np.concatenate([cell.crystal.frac_coords for cell in centred])
    begins = np.concatenate([np.diff(cell.orbits, prepend=-1) for cell in centred]) != 0  # atoms are sorted by orbit
    first, of_orbit = np.flatnonzero(begins), begins.cumsum() - 1
    size = np.diff(first, append=len(frac))[of_orbit]  # of the orbit of each atom
    atom = np.arange(len(frac)).repeat(size)
    other = np.arange(len(atom)) - (size.cumsum() - size)[atom] + first[of_orbit[atom]]
    twice = np.array([cell.twice_centre for cell in centred])
    apart = twice[of_cell[atom]] - frac[atom] - frac[other]
    image = np.rint(apart)
    lengths = np.linalg.norm([cell.crystal.lattice for cell in centred], axis=2)  # (n_centred, 3) Å
    met = np.flatnonzero((np.abs(apart - image) * lengths[of_cell[atom]]).max(axis=1) < SAME_PLACE)
    atom, other, image = atom[met], other[met], image[met].astype(np.int32)
    whole = np.bincount(of_cell, np.bincount(atom, minlength=len(frac)) == 1, len(centred)) == n_atoms
    ends = np.bincount(of_cell[atom], minlength=len(centred)).cumsum().tolist()
    found = (
        Inversion((other[start:end] - begin).astype(np.int32), image[start:end]) if is_whole else None
        for is_whole, start, end, begin in zip(whole.tolist(), [0, *ends], ends, first_atom.tolist(), strict=False)
    )
    return [None if cell.twice_centre is None else next(found) for cell in cells]
