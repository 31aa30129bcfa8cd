"""Atomic levels, filled: where the bands of a crystal would lie if its atoms kept their orbitals to themselves.

Line up the orbitals of all atoms of a cell by energy, put two electrons in each from below, and the orbitals around the last one
that has any are what the bands around the Fermi level are made of: oxygen p below and magnesium s above the gap of MgO, and below
the hydrogen band of NaH nothing until the 2p of sodium, 20 eV further down. Averages over atoms cannot tell, and a network learns
it from no few hundred crystals. Atoms in a crystal are not free: each orbital is moved by what the encoder made of its atom, and
the gradient of a band reaches the orbitals that it comes from.

`atomic_levels.csv`, beside this module, comes from pymatgen 2026.10 (MIT licence; levels of free atoms from NIST, in the local
density approximation) by ``tools/atomic_levels.py``. Filling is written with comparisons and sums, which every backend
has; it does not depend on the order of the atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bandrt_train.model.config import ModelConfig
from bandrt_train.model.decoder import Memory, mean_atom
from bandrt_train.model.node_features import N_SPECIES
from bandrt_train.tables import atomic_levels


@dataclass(frozen=True)
class Slot:
    """Orbitals of an atom that keep one energy."""

    column: str
    """Where in the table of atoms they start from."""
    degeneracy: int
    """How many orbitals."""
    splitting: float = 0.0
    """Where in the crystal they start from, in `SHIFT_EV`: the orbitals of a shell are taken apart from each other."""


SLOTS = (
    Slot("inner_s", 1),
    Slot("inner_p", 3),
    Slot("s", 1),
    *(Slot("p", 1, splitting) for splitting in (-0.3, 0.0, 0.3)),
    *(Slot("d", 1, splitting) for splitting in (-0.2, -0.1, 0.0, 0.1, 0.2)),
    Slot("f", 7),
    Slot("outer_s", 1),
)
"""The orbitals of an atom. Those of a valence shell split in the field of the neighbours, as far as the encoder says."""
SHIFT_EV = 3.0
"""eV by which an output of order one moves an orbital."""
SPREAD_EV = 0.4
"""A band is made of the orbitals within about this many eV of its level; so equivalent atoms have equal shares, in any order."""
ABSENT_EV = 1e4
"""Energy of orbitals that are not there: above all others."""
LOWEST_EV, HIGHEST_EV = -90.0, 20.0
"""Where the levels lie that a crystal has too few orbitals for: below the table, and above what it says of empty ones."""
SLOTS_AT_ONCE = 1
"""Slots of all atoms that every orbital is compared with together."""


class AtomTable(NamedTuple):
    """What is known of free atoms, by atomic number; row 0 is padding, with nothing in it."""

    energy: NDArray[np.float32]
    """(119, n_slots) eV, relative to the vacuum."""
    degeneracy: NDArray[np.float32]
    """(119, n_slots): 0 for orbitals that an element has not."""
    electrons: NDArray[np.float32]
    """(119, 1): those in the orbitals of the table."""


@cache
def atom_table() -> AtomTable:
    """Read the table of free atoms."""
    energy, degeneracy = np.full((N_SPECIES, len(SLOTS)), ABSENT_EV, np.float32), np.zeros((N_SPECIES, len(SLOTS)), np.float32)
    electrons = np.zeros((N_SPECIES, 1), np.float32)
    for row in atomic_levels():
        number = int(row["atomic_number"])
        electrons[number] = float(row["electrons"])
        for place, slot in enumerate(SLOTS):
            if row[slot.column]:
                energy[number, place] = float(row[slot.column])
                degeneracy[number, place] = slot.degeneracy
    return AtomTable(energy, degeneracy, electrons)


class Filling(NamedTuple):
    """The levels around the last that holds an electron, lowest first: ``2 * n_bands``, as many up to that one as above it."""

    energies: Tensor
    """(B, 2 * n_bands) eV, relative to mid-gap, or to that level if it is half full."""
    shares: Tensor
    """(B, 2 * n_bands, N, n_slots): how much of each level is each orbital; they add up to one, nearly."""


def places(energy: Tensor, degeneracy: Tensor) -> tuple[Tensor, Tensor]:
    """Count orbitals below each, and up to its equals: whole numbers, the same in whichever order they are added.

    Each is compared with all, a few slots of every atom at once, so that a large cell does not need the square of its orbitals.

    Args:
        energy: (B, N, n_slots).
        degeneracy: (B, N, n_slots).

    Returns:
        Two counts, (B, M) each, M = N * n_slots.
    """
    level, many = energy.flatten(1).unsqueeze(2), degeneracy.flatten(1).unsqueeze(1)  # (B, M, 1) and (B, 1, M)
    below: list[Tensor] = []
    over: list[Tensor] = []
    for some, count in zip(torch.split(energy, SLOTS_AT_ONCE, 2), torch.split(degeneracy, SLOTS_AT_ONCE, 2), strict=True):
        above = torch.where(level > some.flatten(1).unsqueeze(1), 1.0, 0.0)  # (B, M, N * slots)
        below.append(torch.matmul(above, count.flatten(1).unsqueeze(2)))  # (B, M, 1)
        over.append(torch.unflatten(torch.matmul(many, above), 2, some.shape[1:]))  # (B, 1, N, slots)
    return sum(below[1:], below[0]).squeeze(2), many.sum(dim=2) - torch.cat(over, dim=3).flatten(1)


def fill(energy: Tensor, degeneracy: Tensor, electrons: Tensor, n_levels: int) -> Filling:
    """Fill orbitals from below, two electrons each.

    Args:
        energy: (B, N, n_slots) eV, `ABSENT_EV` or more where there is none.
        degeneracy: (B, N, n_slots): how many orbitals of that energy, 0 for none.
        electrons: (B, 1).
        n_levels: how many levels are wanted, an even number.
    """
    level, many = energy.flatten(1), degeneracy.flatten(1)  # (B, M)
    first, end = places(energy, degeneracy)  # (B, M)
    last = torch.floor(0.5 * electrons + 0.5) - 1.0  # (B, 1)
    wanted = (last + torch.arange(1 - n_levels // 2, n_levels // 2 + 1, device=level.device)).unsqueeze(2)  # (B, n_levels, 1)
    begun = torch.where(first.unsqueeze(1) > wanted, 0.0, 1.0)  # (B, n_levels, M)
    chosen = torch.where(end.unsqueeze(1) > wanted, begun, 0.0)
    count = chosen.sum(dim=2)
    missing = torch.where(wanted.squeeze(2) > -0.5, HIGHEST_EV, LOWEST_EV)
    found = torch.where(count > 0.5, torch.matmul(chosen, level.unsqueeze(2)).squeeze(2) / count.clamp(min=1.0), missing)
    near = torch.exp(-(((level.unsqueeze(1) - found.unsqueeze(2)) / SPREAD_EV).clamp(-9.0, 9.0) ** 2)) * many.unsqueeze(1)
    shares = near / (near.sum(dim=2, keepdim=True) + 1e-3)
    middle = found[:, n_levels // 2 - 1 : n_levels // 2]
    odd = electrons - 2.0 * torch.floor(0.5 * electrons)
    zero = torch.where(odd > 0.0, middle, 0.5 * (middle + found[:, n_levels // 2 : n_levels // 2 + 1]))
    return Filling(found - zero, torch.unflatten(shares, 2, energy.shape[1:]))


class LevelFeatures(NamedTuple):
    """What the filled levels of B crystals say of their bands."""

    crystal: Tensor
    """(B, d_model): of the levels as a whole."""
    energies: Tensor
    """(B, n_bands) eV: of each band."""
    character: Tensor
    """(B, n_bands, d_model): the orbitals and atoms that each band is made of."""
    loop_weight: Tensor
    """(B, n_bands, N, 2 * n_hoppings): how each band moves with the closed loops of each atom, in units of its spread."""


class AtomicLevels(nn.Module):
    """Fill the levels of the atoms of a crystal, moved by their surroundings, and choose those of the bands.

    In a metal, bands that cross the Fermi level count as not empty, so the predicted ones may lie further up than the electrons
    reach: by how many levels is learned.
    """

    energy: Tensor
    degeneracy: Tensor
    electrons: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        for name, values in atom_table()._asdict().items():
            self.register_buffer(name, torch.from_numpy(values))
        self.n_bands = config.n_bands
        d_model, n_loops = config.d_model, 2 * config.n_hoppings
        self.scale = nn.Parameter(torch.ones(len(SLOTS)))
        first, last = nn.Linear(d_model, d_model), nn.Linear(d_model, len(SLOTS))
        nn.init.normal_(last.weight, std=0.02)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([slot.splitting for slot in SLOTS]))
        self.shift = nn.Sequential(first, nn.GELU(), last)
        self.whole = nn.Sequential(nn.Linear(2 * config.n_bands, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.reach = nn.Linear(d_model, config.n_bands - config.n_bands // 2 + 1)
        self.orbital = nn.Parameter(0.1 * torch.randn(len(SLOTS), d_model))
        self.atom = nn.Linear(d_model, d_model)
        self.orbital_loops = nn.Parameter(torch.zeros(len(SLOTS), n_loops))
        self.atom_loops = nn.Linear(d_model, n_loops)

    def forward(self, nodes: Tensor, mask: Tensor, atomic_numbers: Tensor) -> LevelFeatures:
        """Read the levels of all crystals.

        Args:
            nodes: (B, N, d_model) encoded atoms.
            mask: (B, N) bool, which are atoms.
            atomic_numbers: (B, N) integers, anything on padding.
        """
        numbers = torch.where(mask, atomic_numbers, 0)
        many = F.embedding(numbers, self.degeneracy)  # (B, N, n_slots)
        moved = F.embedding(numbers, self.energy) * self.scale + SHIFT_EV * self.shift(nodes)
        energy = torch.where(many > 0.0, moved, ABSENT_EV)
        filling = fill(energy, many, F.embedding(numbers, self.electrons).sum(dim=1), 2 * self.n_bands)
        compressed = torch.log1p(0.5 * filling.energies.clamp(min=0.0)) - torch.log1p(-0.5 * filling.energies.clamp(max=0.0))
        crystal = self.whole(compressed)
        reach = torch.softmax(self.reach(mean_atom(Memory(nodes, mask)) + crystal), dim=-1)  # (B, n_shifts)
        energies, shares = self._reached(filling.energies, reach), self._reached(filling.shares.flatten(2), reach)
        shares = torch.unflatten(shares, 2, energy.shape[1:])  # (B, n_bands, N, n_slots)
        character = torch.matmul(shares.sum(dim=2), self.orbital) + torch.matmul(shares.sum(dim=3), self.atom(nodes))
        loop_weight = torch.matmul(shares, self.orbital_loops) * self.atom_loops(nodes).unsqueeze(1)
        return LevelFeatures(crystal, energies, character, loop_weight)

    def _reached(self, levels: Tensor, reach: Tensor) -> Tensor:
        """Of what is known of all levels (B, 2 * n_bands, ...) what is known of the bands (B, n_bands, ...)."""
        first = self.n_bands - self.n_bands // 2
        windows = torch.stack([levels[:, first + up : first + up + self.n_bands] for up in range(reach.shape[1])], dim=1)
        weight = reach.reshape(*reach.shape, *(1 for _ in levels.shape[1:]))
        return (weight * windows).sum(dim=1)
