"""The network: messages between atoms within reach, and from what they then know how strongly each pair hops.

It starts as a textbook has it: hoppings of Harrison's size that fall with the distance, orbitals at the levels of free atoms. What
it adds is a function of scalars, so that nothing depends on how a crystal is turned or in which order its atoms come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt_train.model.hamiltonian.atoms import FLAT_KINDS, SHELLS, atomic_data
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.pairs import REACH_ANGSTROM, Pairs
from bandrt_train.model.hamiltonian.slater_koster import N_FIELDS, N_STRENGTHS, seen_back
from bandrt_train.model.node_features import element_table

HBAR2_OVER_M = 7.62
"""eV Å^2: Harrison's unit of hopping, V = eta hbar^2 / (m d^2)."""
ETA = (-1.40, 1.84, -2.0, 1.84, 3.24, -2.2, -2.0, -2.2, -3.0, -0.81, 1.0, 1.0, 1.6, -0.2)
"""eta at the sum of the covalent radii, in the order of `slater_koster.N_STRENGTHS`: rough, and learned from there on."""
FALL = (2.0, 2.0, 3.5, 2.0, 2.0, 3.5, 3.5, 3.5, 3.5, 2.0, 3.5, 3.5, 3.5, 3.5)
"""How fast each falls, per that sum; learned, too."""
LEVEL_EV = 3.0
"""eV by which an output of order one moves an orbital."""
FIELD_EV, FIELD_FALL, MESSAGE_FALL, USUAL_NEIGHBORS = 1.5, 2.0, 1.5, 4.0
RATIOS = (0.6, 2.4)
"""Distances in sums of covalent radii: centres of the first and the last Gaussian."""
DISTANCES = (1.0, REACH_ANGSTROM)
"""The same in Å."""
OVERLAP = 1.2
"""Width of a Gaussian in steps between them."""
NEGLIGIBLE = 40.0
"""Exponent of a Gaussian that counts as nothing: numbers that are smaller than 32-bit floats reach without loss are slow."""
OVERLAP_UNIT = 0.3
"""Of orbitals at the sum of the covalent radii, by an output of order one."""
FIRST_OUTPUTS = 0.1
"""By which the first outputs of the network are made smaller than usual."""


class PairBatch(NamedTuple):
    """The pairs of several crystals, A atoms and E pairs in all; what is a number is in the type of the network."""

    numbers: Tensor
    """(A,)"""
    centre: Tensor
    neighbor: Tensor
    """(E,) into the atoms of all crystals."""
    way_back: Tensor
    """(E,) into the pairs of all crystals."""
    distance: Tensor
    bond: Tensor
    taper: Tensor
    """(E,)"""
    direction: Tensor
    """(E, 3)"""


def pair_batch(crystals: Sequence[Pairs], *, like: Tensor) -> PairBatch:
    """Put crystals one after the other, with the type and on the device of a tensor."""
    atoms = np.cumsum([0, *(one.n_atoms for one in crystals)])
    edges = np.cumsum([0, *(len(one.centre) for one in crystals)])

    def whole(name: str, first: Iterable[int]) -> Tensor:
        joined = np.concatenate([getattr(one, name) + start for one, start in zip(crystals, first, strict=False)])
        return torch.from_numpy(joined).to(like.device)

    def real(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(one, name) for one in crystals])).to(like)

    return PairBatch(
        whole("atomic_numbers", [0] * len(crystals)),
        whole("centre", atoms),
        whole("neighbor", atoms),
        whole("way_back", edges),
        real("distance"),
        real("bond"),
        real("taper"),
        real("direction"),
    )


class Couplings(NamedTuple):
    """What the network says of a batch of crystals, in eV but for the overlap."""

    hopping: Tensor
    """(E, 14), see `slater_koster.N_STRENGTHS`; a pair and its way back say the same."""
    field: Tensor
    """(E, 10) of the neighbour on the centre, see `slater_koster.N_FIELDS`."""
    level: Tensor
    """(A, 3) of `atoms.SHELLS`."""
    flat_shift: Tensor
    """(A, 3) of `atoms.FLAT_KINDS`: by how much they lie above those of free atoms."""
    overlap: Tensor | None = None
    """(E, 14), ordered as hoppings; None where the configuration has none."""


class Message(nn.Module):
    """One round of listening to the neighbours."""

    def __init__(self, width: int, n_basis: int, dropout: float) -> None:
        super().__init__()
        self.centre, self.neighbor, self.pair = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(n_basis, width)
        self.said, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, nodes: Tensor, pairs: PairBatch, basis: Tensor, weight: Tensor) -> Tensor:
        """(A, width) to (A, width), for pairs described by (E, n_basis) and heard with a weight (E, 1)."""
        met = _met(self.centre(nodes), self.neighbor(nodes), self.pair(basis), pairs)
        heard = torch.zeros_like(nodes).index_add(0, pairs.centre, self.said(F.gelu(met)) * weight) / USUAL_NEIGHBORS
        after: Tensor = nodes + self.norm(self.update(torch.cat([nodes, heard], dim=1)))
        return after


class CouplingNetwork(nn.Module):
    """Pairs to `Couplings`."""

    properties: Tensor
    free_level: Tensor
    ratios: Tensor
    distances: Tensor

    def __init__(self, config: HamiltonianConfig) -> None:
        super().__init__()
        width, n_basis = config.width, 2 * config.n_gaussians
        self.outputs = [N_STRENGTHS, N_STRENGTHS, N_FIELDS, N_STRENGTHS if config.overlap else 0]
        """How many numbers of each kind are said of a pair."""
        self.register_buffer("properties", torch.from_numpy(element_table()))
        self.register_buffer("free_level", torch.from_numpy(atomic_data().level).float())
        self.register_buffer("ratios", torch.linspace(*RATIOS, config.n_gaussians))
        self.register_buffer("distances", torch.linspace(*DISTANCES, config.n_gaussians))
        self.embed = nn.Linear(self.properties.shape[1], width)
        self.messages = nn.ModuleList(Message(width, n_basis, config.dropout) for _ in range(config.n_layers))
        self.centre, self.neighbor, self.pair = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(n_basis, width)
        self.of_pair = nn.Sequential(
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, sum(self.outputs)),
        )
        self.of_atom = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(width, len(SHELLS) + len(FLAT_KINDS))
        )
        for last in (self.of_pair[-1], self.of_atom[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.bias)
            last.weight.data *= FIRST_OUTPUTS
        self.eta, self.fall = nn.Parameter(torch.tensor(ETA)), nn.Parameter(torch.tensor(FALL))
        self.level_scale = nn.Parameter(torch.ones(len(SHELLS)))
        self.usual_overlap = nn.Parameter(torch.zeros(N_STRENGTHS)) if config.overlap else None

    def forward(self, pairs: PairBatch) -> Couplings:
        """Run it on a batch of crystals."""
        ratio = pairs.distance / pairs.bond
        basis = self.basis(pairs.distance, ratio)
        nodes = self.embed(self.properties[pairs.numbers])
        weight = (pairs.taper * torch.exp(-MESSAGE_FALL * (ratio - 1.0)))[:, None]
        for message in self.messages:
            nodes = message(nodes, pairs, basis, weight)
        of_pair = self.of_pair(_met(self.centre(nodes), self.neighbor(nodes), self.pair(basis), pairs))
        scale, own, field, overlap = torch.split(of_pair, self.outputs, dim=1)
        one_way = self.strength(scale, own, ratio, HBAR2_OVER_M / pairs.bond**2 * pairs.taper)
        near = (torch.exp(-FIELD_FALL * (ratio - 1.0)) * pairs.taper)[:, None]
        shift, flat_shift = torch.split(LEVEL_EV * self.of_atom(nodes), [len(SHELLS), len(FLAT_KINDS)], dim=1)
        return Couplings(
            hopping=_both_ways(one_way, pairs),
            field=FIELD_EV * field * near,
            level=self.free_level[pairs.numbers] * self.level_scale + shift,
            flat_shift=flat_shift,
            overlap=_both_ways(self.overlap(overlap, ratio, pairs.taper), pairs) if self.usual_overlap is not None else None,
        )

    def basis(self, distance: Tensor, ratio: Tensor) -> Tensor:
        """Distances (E,) Å, and the same in sums of covalent radii, in Gaussians: (E, 2 * n_gaussians)."""
        return torch.cat([_gaussians(ratio, self.ratios), _gaussians(distance, self.distances)], dim=1)

    def strength(self, scale: Tensor, own: Tensor, ratio: Tensor, unit: Tensor) -> Tensor:
        """Strengths (E, 14) eV as called from one end, of what the network says there.

        Args:
            scale, own: (E, 14): by how much those of the textbook are changed, and what is added to them.
            ratio: (E,) distances in sums of covalent radii.
            unit: (E,) Harrison's unit at that sum, tapered, eV.
        """
        return (self.eta * (1.0 + scale) + own) * self.fallen(ratio) * unit[:, None]

    def overlap(self, own: Tensor, ratio: Tensor, taper: Tensor) -> Tensor:
        """Overlaps (E, 14) as called from one end, of what the network says there, (E, 14); the others as in `strength`."""
        assert self.usual_overlap is not None
        return OVERLAP_UNIT * (own + self.usual_overlap) * self.fallen(ratio) * taper[:, None]

    def fallen(self, ratio: Tensor) -> Tensor:
        """How far each strength has fallen, (E, 14), at distances (E,) in sums of covalent radii."""
        return torch.exp(-F.softplus(self.fall) * (ratio[:, None] - 1.0))


def _met(centre: Tensor, neighbor: Tensor, pair: Tensor, pairs: PairBatch) -> Tensor:
    """What both ends, of (A, width) each, and the pairs themselves, (E, width), say together: (E, width)."""
    return centre.index_select(0, pairs.centre) + neighbor.index_select(0, pairs.neighbor) + pair


def _both_ways(one_way: Tensor, pairs: PairBatch) -> Tensor:
    """The mean of what is said (E, 14) of each pair from its two ends."""
    return 0.5 * (one_way + seen_back(one_way.index_select(0, pairs.way_back)))


def _gaussians(values: Tensor, centres: Tensor) -> Tensor:
    """(E,) to (E, n_gaussians); a single Gaussian is as wide as the range is long."""
    step = (centres[-1] - centres[0]) / max(1, len(centres) - 1) if len(centres) > 1 else centres.new_tensor(1.0)
    exponent = ((values[:, None] - centres) / (OVERLAP * step)) ** 2
    return torch.where(exponent < NEGLIGIBLE, torch.exp(-exponent), 0.0)
