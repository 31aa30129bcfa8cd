"""The bonded network of a crystal: along how many axes its bonds run without end, and whether atoms are closer than any bond.

Two neighbours are bonded if they are hardly further apart than their covalent radii say. Of each piece of the network, the
lattice vectors that lead from an atom along bonds to one of its images span one axis in a chain, two in a layer, none in a
molecule. Several crystals are done at once, by labels that spread along bonds: every atom learns the first atom of its piece, and
how many cells away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.graph.radii import LOW_SPIN_RADII

BOND_FACTOR = 1.25
"""Of the sum of two covalent radii: those of salts and metals reach 1.2, gaps of layered and molecular crystals begin at 1.3."""
CLOSE_FACTOR = 0.6
"""Of the same sum: no bond is so short; the shortest of the Materials Project have 0.64."""
CLOSE_HYDROGEN = 0.5
"""Å, for two hydrogen atoms (H2 has 0.74)."""

_TWO_HYDROGEN = 2 * 0.31
"""Å: the sum for two hydrogen atoms; with helium it is smaller, which has no bonds."""
_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_NONE = np.iinfo(np.int64).max
_CODES = ("molecular", "chain", "layered")
"""By the number of axes along which bonds run without end."""


class Neighbourhood(Protocol):
    """Neighbours of the atoms of a crystal, as `CrystalGraph` and `Features` have them."""

    @property
    def neighbor_index(self) -> NDArray[np.int32]: ...
    @property
    def neighbor_distance(self) -> NDArray[np.float32]: ...
    @property
    def neighbor_mask(self) -> NDArray[np.bool_]: ...
    @property
    def neighbor_image(self) -> NDArray[np.int32]: ...


def network_warnings(crystals: Sequence[Crystal], graphs: Sequence[Neighbourhood]) -> list[tuple[str, ...]]:
    """Say which crystals are not held together by bonds in three dimensions, and which have atoms too close to be bonded.

    Args:
        crystals: the standard primitive cells.
        graphs: their neighbours.

    Returns:
        Of each crystal the codes that apply: ``layered``, ``chain`` or ``molecular``; ``isolated-atom:He`` for an atom that has no
        neighbour within the cutoff, or that is bonded to none in a crystal without any bond; ``close-atoms:H-H``.
    """
    if not crystals:
        return []
    n_atoms = np.array([crystal.n_atoms for crystal in crystals])
    first_atom = n_atoms.cumsum() - n_atoms
    of_crystal = np.arange(len(crystals)).repeat(n_atoms)
    radii = LOW_SPIN_RADII.take(np.concatenate([crystal.atomic_numbers for crystal in crystals]))
    centre, neighbor, distance, image = _edges(graphs, n_atoms, first_atom)
    both = radii.take(centre) + radii.take(neighbor)
    bonded = (distance <= BOND_FACTOR * both).nonzero()[0]
    first, second = centre.take(bonded), neighbor.take(bonded)
    largest = _dimensions(first, second, image.take(bonded, axis=0), of_crystal)
    unbonded = np.bincount(first, minlength=len(radii)) + np.bincount(second, minlength=len(radii)) == 0
    loose = np.bincount(centre, minlength=len(radii)) == 0
    if unbonded.any():
        loose |= np.logical_and.reduceat(unbonded, first_atom).repeat(n_atoms)
    close = (distance < np.where(both <= _TWO_HYDROGEN, CLOSE_HYDROGEN, CLOSE_FACTOR * both)).nonzero()[0]
    said: list[tuple[str, ...]] = [() for _ in crystals]
    doubtful = np.concatenate([(largest < 3).nonzero()[0], of_crystal[loose], of_crystal[centre[close]]])
    for place in set(doubtful.tolist()):
        atoms = slice(first_atom[place], first_atom[place] + n_atoms[place])
        numbers = crystals[place].atomic_numbers
        lonely = [f"isolated-atom:{SYMBOLS[z]}" for z in np.unique(numbers[loose[atoms]])]
        whole = largest[place] == 3 or loose[atoms].all()
        pairs = {
            tuple(sorted((numbers[a], numbers[b])))
            for a, b in zip(centre[close] - first_atom[place], neighbor[close] - first_atom[place], strict=True)
            if 0 <= a < len(numbers)
        }
        said[place] = (
            *(() if whole else (_CODES[largest[place]],)),
            *lonely,
            *(f"close-atoms:{SYMBOLS[a]}-{SYMBOLS[b]}" for a, b in sorted(pairs)),
        )
    return said


def _edges(
    graphs: Sequence[Neighbourhood], n_atoms: NDArray[np.int64], first_atom: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
    """Centre, neighbour, distance (Å) and image (n_edges, 3) of the filled slots; atoms are counted through all crystals."""
    filled = np.concatenate([graph.neighbor_mask.reshape(-1) for graph in graphs]).nonzero()[0]
    n_slots = np.array([graph.neighbor_index.shape[1] for graph in graphs])
    centre = np.arange(int(n_atoms.sum())).repeat(n_slots.repeat(n_atoms)).take(filled)
    neighbor = np.concatenate([graph.neighbor_index.reshape(-1) for graph in graphs]).take(filled)
    distance = np.concatenate([graph.neighbor_distance.reshape(-1) for graph in graphs]).take(filled)
    image = np.concatenate([graph.neighbor_image.reshape(-1, 3) for graph in graphs]).take(filled, axis=0)
    return centre, neighbor + first_atom.repeat(n_atoms).take(centre), distance.astype(np.float64), image


def _dimensions(
    centre: NDArray[np.int64], neighbor: NDArray[np.int64], image: NDArray[np.int32], of_crystal: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Along how many axes the bonds of each crystal run without end, at most, (n_crystals,).

    Args:
        centre: (n_bonds,) atoms.
        neighbor: (n_bonds,) what they are bonded to.
        image: (n_bonds, 3) in which cell, counted from the centre's.
        of_crystal: (n_atoms,) to which crystal each atom belongs.
    """
    n_atoms = len(of_crystal)
    largest = np.zeros(int(of_crystal[-1]) + 1, dtype=np.int64)
    piece, cell = np.arange(n_atoms), np.zeros((n_atoms, 3), dtype=np.int64)  # atom i in `cell` hangs on atom `piece` in cell 0
    while len(centre):
        bond = np.arange(len(centre))
        lowest = np.full(n_atoms, _NONE)  # piece of a neighbour, and the bond that leads there
        np.minimum.at(lowest, centre, piece.take(neighbor) * len(centre) + bond)
        np.minimum.at(lowest, neighbor, piece.take(centre) * len(centre) + bond)
        moved = (lowest < piece * len(centre)).nonzero()[0]
        label, along = np.divmod(lowest[moved], len(centre))
        forward = centre[along] == moved
        other, step = np.where(forward, neighbor[along], centre[along]), np.where(forward, 1, -1)[:, None] * image[along]
        hung = cell[other] - step
        cell[moved], piece[moved] = hung, label
        cell += cell.take(piece, axis=0)
        piece = piece.take(piece)
        inner = (piece.take(centre) == piece.take(neighbor)).nonzero()[0]
        start, end = centre.take(inner), neighbor.take(inner)
        around = (cell.take(start, axis=0) + image.take(inner, axis=0) - cell.take(end, axis=0)).astype(np.float64)
        np.maximum.at(largest, of_crystal, _ranks(piece.take(start), around, n_atoms))
        if not len(moved):
            break
        open_bonds = (largest.take(of_crystal.take(centre)) < 3).nonzero()[0]
        centre, neighbor, image = centre.take(open_bonds), neighbor.take(open_bonds), image.take(open_bonds, axis=0)
    return largest


def _ranks(piece: NDArray[np.int64], vectors: NDArray[np.float64], n_pieces: int) -> NDArray[np.int64]:
    """How many axes the vectors (n, 3), whole numbers, of each piece span, (n_pieces,)."""
    xx, xy, xz, yy, yz, zz = (np.bincount(piece, vectors[:, a] * vectors[:, b], n_pieces) for a, b in _UPPER)
    minors = xx * yy - xy * xy + xx * zz - xz * xz + yy * zz - yz * yz
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    rank: NDArray[np.int64] = (xx + yy + zz > 0.5).astype(np.int64) + (minors > 0.5) + (determinant > 0.5)
    return rank
