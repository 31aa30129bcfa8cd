"""The learned Hamiltonian on padded arrays: blocks between atoms in the slots of their neighbours, and what does not hop.

Parameters and modules are those of the trained model. What a pair says seen from its other end is asked of the network with the two
ends exchanged, in place of an index of the way back; messages are added before the last linear map, which is then applied once for
each atom; the angles of the orbitals are sums of products with constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bandrt.contract import NETWORK_INPUTS, NOWHERE
from bandrt_train.data.recipes import HAMILTONIAN_RECIPE
from bandrt_train.model.hamiltonian.atoms import FLAT_KINDS, KIND_OF_FLAT_LEVEL, N_ORBITALS, SHELL_OF_ORBITAL, SHELLS, atomic_data
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel, LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.hamiltonian.network import (
    FIELD_EV,
    FIELD_FALL,
    HBAR2_OVER_M,
    LEVEL_EV,
    MESSAGE_FALL,
    USUAL_NEIGHBORS,
    CouplingNetwork,
    Message,
)
from bandrt_train.model.hamiltonian.pairs import REACH, REACH_ANGSTROM, TAPER
from bandrt_train.model.hamiltonian.slater_koster import (
    N_FIELDS,
    N_STRENGTHS,
    Projectors,
    d_matrices,
    field_blocks,
    hopping_blocks,
    seen_back,
)

FIRST_D = N_ORBITALS - 5


class DensePairs(NamedTuple):
    """The pairs of all crystals of a batch, P = B * N * D of them; what stands on padding is finite, and its taper is zero."""

    neighbor: Tensor
    """(P,) int64, counted through the atoms of the batch."""
    distance: Tensor
    """(P,) Å."""
    bond: Tensor
    """(P,) Å, the sum of the covalent radii."""
    taper: Tensor
    """(P,) 1, going to 0 at the reach."""

    @property
    def ratio(self) -> Tensor:
        """(P,) distances in sums of covalent radii."""
        return self.distance / self.bond


class HamiltonianTensors(NamedTuple):
    """The Hamiltonians of a batch, named and shaped as in the graph contract."""

    hoppings: Tensor
    """(B, N, D, 9, 9) eV."""
    on_site: Tensor
    """(B, N, 9, 9) eV."""
    flat_levels: Tensor
    """(B, N, 9) eV."""
    electrons: Tensor
    """(B,)."""
    uncertainty_ev: Tensor
    """(B,) eV; of one model alone NaN, for it does not say."""


class OverlappingTensors(NamedTuple):
    """The same where orbitals overlap."""

    hoppings: Tensor
    on_site: Tensor
    flat_levels: Tensor
    electrons: Tensor
    overlaps: Tensor
    """(B, N, D, 9, 9)."""
    uncertainty_ev: Tensor


class DenseHamiltonian(nn.Module):
    """One or more trained models of a configuration, with the inputs and outputs of the graph contract, to be run and not trained.

    Blocks of several are averaged, and how far they are apart says how wrong they may be.
    """

    inputs: ClassVar[tuple[str, ...]] = NETWORK_INPUTS
    outputs: tuple[str, ...]
    """Those of `HamiltonianTensors`, or `OverlappingTensors`."""
    n_kpoints: ClassVar[int] = HAMILTONIAN_RECIPE.kpath.n_kpoints
    parity_limit_ev: ClassVar[float] = 1e-3  # eigenvalues of matrices whose elements are tens of eV
    radius: Tensor
    n_electrons: Tensor
    has_flat_level: Tensor

    def __init__(self, model: HamiltonianModel) -> None:
        super().__init__()
        self.config = model.config
        self.outputs = (OverlappingTensors if model.config.overlap else HamiltonianTensors)._fields
        self.rule = model.rule if isinstance(model, LearnedHamiltonianEnsemble) else None
        trained = model.alone() if isinstance(model, LearnedHamiltonianEnsemble) else [model]
        self.members = nn.ModuleList(DenseMember(one) for one in trained)
        self.angles = Angles()
        table = atomic_data()
        self.register_buffer("radius", torch.from_numpy(table.radius).float().unsqueeze(1))
        self.register_buffer("n_electrons", torch.from_numpy(table.electrons).float().unsqueeze(1))
        self.register_buffer("has_flat_level", torch.from_numpy(table.flat_level).isfinite().float())

    def forward(
        self,
        atomic_numbers: Tensor,
        neighbor_index: Tensor,
        neighbor_distance: Tensor,
        neighbor_mask: Tensor,
        atom_mask: Tensor,
        kpoints: Tensor,
        neighbor_image: Tensor,
        neighbor_direction: Tensor,
        mesh_kpoints: Tensor,
        mesh_weights: Tensor,
    ) -> HamiltonianTensors | OverlappingTensors:
        """Make the Hamiltonians of a padded batch.

        Args:
            atomic_numbers: (B, N) int32, 0 on padding.
            neighbor_index: (B, N, D) int32, within its crystal.
            neighbor_distance: (B, N, D) float32, Å.
            neighbor_mask: (B, N, D) bool.
            atom_mask: (B, N) bool.
            kpoints: (B, K, 3) float32, for a solver.
            neighbor_image: (B, N, D, 3) int32, for a solver.
            neighbor_direction: (B, N, D, 3) float32, unit vectors.
            mesh_kpoints: (B, M, 3) float32, for a solver.
            mesh_weights: (B, M) float32, for a solver.
        """
        numbers = atomic_numbers.flatten().long()  # (A,), A = B * N
        pairs = self.pairs(numbers, neighbor_index, neighbor_distance, neighbor_mask)
        angles = self.angles(neighbor_direction.flatten(0, 2))
        n_slots = neighbor_index.shape[2]
        said = [member(numbers, pairs, angles, n_slots) for member in self.members]
        hoppings, on_site, flat_levels, overlaps = zip(*said, strict=True)
        hopping = _mean(hoppings)
        square, shape = (N_ORBITALS, N_ORBITALS), atomic_numbers.shape
        nowhere = NOWHERE * torch.eye(N_ORBITALS, device=hopping.device)
        present = atom_mask.to(hopping.dtype)
        own = torch.unflatten(torch.unflatten(_mean(on_site), 1, square), 0, shape)  # (B, N, 9, 9)
        has_flat_level = F.embedding(numbers, self.has_flat_level) > 0.0  # never so of padding, whose number is 0
        electrons = torch.unflatten(F.embedding(numbers, self.n_electrons).squeeze(1), 0, shape) * present
        found = HamiltonianTensors(
            hoppings=torch.unflatten(torch.unflatten(hopping, 1, square), 0, neighbor_index.shape),
            on_site=torch.where(atom_mask[:, :, None, None], own, nowhere),
            flat_levels=torch.unflatten(torch.where(has_flat_level, _mean(flat_levels), NOWHERE), 0, shape),
            electrons=electrons.sum(dim=1),
            uncertainty_ev=self.expected_error(hoppings, on_site, present, n_slots),
        )
        if not self.config.overlap:
            return found
        blocks = torch.unflatten(torch.unflatten(_mean(overlaps), 1, square), 0, neighbor_index.shape)
        return OverlappingTensors(**found._asdict(), overlaps=blocks)

    def pairs(self, numbers: Tensor, neighbor_index: Tensor, neighbor_distance: Tensor, neighbor_mask: Tensor) -> DensePairs:
        """Count the neighbours of all crystals, (B, N, D), through the batch."""
        n_crystals, n_atoms, _ = neighbor_index.shape
        first_atom = torch.arange(n_crystals, device=neighbor_index.device) * n_atoms  # (B,)
        neighbor = neighbor_index.long() + first_atom[:, None, None]
        radius = F.embedding(numbers, self.radius)  # (A, 1)
        bond = torch.unflatten(radius, 0, (n_crystals, n_atoms)) + F.embedding(neighbor, radius).squeeze(3)  # (B, N, D)
        reach = torch.clamp(REACH * bond, max=REACH_ANGSTROM)
        outside = torch.clamp((neighbor_distance / reach - (1.0 - TAPER)) / TAPER, min=0.0, max=1.0)
        taper = 0.5 * (1.0 + torch.cos(math.pi * outside)) * neighbor_mask.to(outside.dtype)
        return DensePairs(neighbor.flatten(), neighbor_distance.flatten(), bond.flatten(), taper.flatten())

    def expected_error(self, hoppings: Sequence[Tensor], on_site: Sequence[Tensor], present: Tensor, n_slots: int) -> Tensor:
        """What to expect of how far members are apart; see `bandrt_train.model.hamiltonian.ensemble.disagreement`.

        Args:
            hoppings: (B * N * D, 81) eV of each member.
            on_site: (B * N, 81) eV of each.
            present: (B, N), 1 for an atom and 0 for padding.
            n_slots: D.

        Returns:
            (B,) eV.
        """
        if self.rule is None:
            return present.sum(dim=1) * math.nan
        pairs, atoms = _squares(hoppings), _squares(on_site)  # (n_members, B * N * D) and (n_members, B * N)
        of_pairs = torch.unflatten(pairs, 1, (-1, n_slots)).sum(dim=2)  # (n_members, B * N)
        squares = torch.unflatten(of_pairs + atoms, 1, present.shape) * present
        of_crystal = squares.sum(dim=2)  # (n_members, B)
        n_orbitals = N_ORBITALS * present.sum(dim=1).clamp(min=1.0)
        return self.rule.floor_ev + self.rule.slope * torch.sqrt(of_crystal / n_orbitals).mean(dim=0)


class DenseMember(nn.Module):
    """A trained `LearnedHamiltonian` over `DensePairs`."""

    flat_level: Tensor
    flat_kind: Tensor
    of_strengths: Tensor
    of_fields: Tensor
    shells: Tensor
    way_back: Tensor

    def __init__(self, model: LearnedHamiltonian) -> None:
        super().__init__()
        self.network: CouplingNetwork = model.network
        self.flat_level, self.flat_scale = model.flat_level, model.flat_scale
        self.register_buffer("of_strengths", _by_projector(hopping_blocks, N_STRENGTHS))
        self.register_buffer("of_fields", _by_projector(field_blocks, N_FIELDS))
        self.register_buffer("way_back", seen_back(torch.eye(N_STRENGTHS)))
        self.register_buffer("shells", F.one_hot(torch.tensor(SHELL_OF_ORBITAL), len(SHELLS)).float().T.contiguous())
        self.register_buffer("flat_kind", F.one_hot(torch.tensor(KIND_OF_FLAT_LEVEL), len(FLAT_KINDS)).float().T.contiguous())

    def forward(self, numbers: Tensor, pairs: DensePairs, angles: Tensor, n_slots: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make the blocks of a batch.

        Args:
            numbers: (A,) atomic numbers.
            pairs: of their neighbours, D for each atom.
            angles: (P, 3, 81) of the pairs, see `Angles`.
            n_slots: D.

        Returns:
            Blocks of pairs (P, 81) and of atoms (A, 81), and flat levels (A, 9), those that there are not among them, in eV;
            overlaps (P, 81), of orthogonal orbitals (0,).
        """
        network, ratio = self.network, pairs.ratio
        basis = network.basis(pairs.distance, ratio)
        nodes = network.embed(F.embedding(numbers, network.properties))
        weight = torch.unflatten(pairs.taper * torch.exp(-MESSAGE_FALL * (ratio - 1.0)), 0, (-1, n_slots))  # (A, D)
        for message in network.messages:
            assert isinstance(message, Message)
            nodes = _heard(message, nodes, pairs, basis, weight)
        centre, neighbor, pair = network.centre(nodes), network.neighbor(nodes), network.pair(basis)
        there = network.of_pair(_ends(centre, neighbor, pairs.neighbor, n_slots) + pair)
        back = network.of_pair(_ends(neighbor, centre, pairs.neighbor, n_slots) + pair)
        unit = HBAR2_OVER_M / pairs.bond**2 * pairs.taper
        scale, own, field, overlap = torch.split(there, network.outputs, dim=1)
        strength = network.strength(scale, own, ratio, unit)
        scale, own, _, overlap_back = torch.split(back, network.outputs, dim=1)
        hopping = 0.5 * (strength + torch.matmul(network.strength(scale, own, ratio, unit), self.way_back))
        near = torch.exp(-FIELD_FALL * (ratio - 1.0)) * pairs.taper
        fields = self.blocks(FIELD_EV * field * near[:, None], self.of_fields, angles)
        shift, flat_shift = torch.split(LEVEL_EV * network.of_atom(nodes), [len(SHELLS), len(FLAT_KINDS)], dim=1)
        level = torch.matmul(F.embedding(numbers, network.free_level) * network.level_scale + shift, self.shells)  # (A, 9)
        own_blocks = torch.diag_embed(level).flatten(1) + torch.unflatten(fields, 0, (-1, n_slots)).sum(dim=1)
        flat_levels = F.embedding(numbers, self.flat_level) * self.flat_scale + torch.matmul(flat_shift, self.flat_kind)
        overlaps = flat_levels.new_zeros(0)
        if network.usual_overlap is not None:
            one_way, other_way = (network.overlap(said, ratio, pairs.taper) for said in (overlap, overlap_back))
            overlaps = self.blocks(0.5 * (one_way + torch.matmul(other_way, self.way_back)), self.of_strengths, angles)
        return self.blocks(hopping, self.of_strengths, angles), own_blocks, flat_levels, overlaps

    def blocks(self, strengths: Tensor, of_projectors: Tensor, angles: Tensor) -> Tensor:
        """Blocks (P, 81) of strengths (P, n), by what each does to a projector, (3, n, 81)."""
        parts = [torch.matmul(strengths, of_projectors[i]) * angles[:, i] for i in range(3)]
        return parts[0] + parts[1] + parts[2]


class Angles(nn.Module):
    """The projectors of `bandrt_train.model.hamiltonian.slater_koster.projectors`, written out for each pair."""

    quadratic: Tensor
    linear: Tensor

    def __init__(self) -> None:
        super().__init__()
        matrices = d_matrices().float()  # (5, 3, 3)
        self.register_buffer("quadratic", (math.sqrt(1.5) * matrices).flatten(1).T.contiguous())  # (9, 5)
        self.register_buffer("linear", (math.sqrt(2.0) * matrices).permute(1, 2, 0).flatten(1).contiguous())  # (3, 15)

    def forward(self, direction: Tensor) -> Tensor:
        """Unit vectors (P, 3) to what has no, one and two nodes around the pair, (P, 3, 81)."""
        dyad = direction.unsqueeze(2) * direction.unsqueeze(1)  # (P, 3, 3)
        v = torch.matmul(dyad.flatten(1), self.quadratic)  # (P, 5)
        w = torch.unflatten(torch.matmul(direction, self.linear), 1, (3, 5))
        w = w - direction.unsqueeze(2) * (direction.unsqueeze(2) * w).sum(dim=1, keepdim=True)  # (P, 3, 5)
        u = torch.cat([torch.ones_like(direction[:, :1]), direction, v], dim=1)  # (P, 9)
        across = torch.eye(3, device=direction.device) - dyad
        pi = torch.cat([torch.zeros_like(direction).unsqueeze(2), across, w], dim=2)  # (P, 3, 9)
        d = (w.unsqueeze(3) * w.unsqueeze(2)).sum(dim=1)  # (P, 5, 5)
        delta = torch.eye(5, device=direction.device) - v.unsqueeze(2) * v.unsqueeze(1) - d
        parts = (
            u.unsqueeze(2) * u.unsqueeze(1),
            (pi.unsqueeze(3) * pi.unsqueeze(2)).sum(dim=1),
            F.pad(delta, (FIRST_D, 0, FIRST_D, 0)),
        )
        return torch.stack([part.flatten(1) for part in parts], dim=1)


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """The mean of what members say. They are not stacked, which would hold all of it twice."""
    return sum(parts[1:], parts[0]) / len(parts)


def _squares(parts: Sequence[Tensor]) -> Tensor:
    """How far each member's blocks, (n, 81), are from the mean, squared and added up: (n_members, n)."""
    mean = _mean(parts)
    return torch.stack([((part - mean) ** 2).sum(dim=1) for part in parts])


def _heard(message: Message, nodes: Tensor, pairs: DensePairs, basis: Tensor, weight: Tensor) -> Tensor:
    """One round of messages, (A, width) to (A, width); what is linear after the activation is applied to sums over neighbours."""
    n_slots = weight.shape[1]
    met = F.gelu(_ends(message.centre(nodes), message.neighbor(nodes), pairs.neighbor, n_slots) + message.pair(basis))
    pooled = torch.matmul(weight.unsqueeze(1), torch.unflatten(met, 0, (-1, n_slots))).squeeze(1)  # (A, width)
    heard = F.linear(pooled, message.said.weight) + weight.sum(dim=1, keepdim=True) * message.said.bias
    after: Tensor = nodes + message.norm(message.update(torch.cat([nodes, heard / USUAL_NEIGHBORS], dim=1)))
    return after


def _ends(of_centre: Tensor, of_neighbor: Tensor, neighbor: Tensor, n_slots: int) -> Tensor:
    """What the two ends of each pair bring, (A, width) each, to (P, width)."""
    around = torch.unflatten(F.embedding(neighbor, of_neighbor), 0, (-1, n_slots))  # (A, D, width)
    return (around + of_centre.unsqueeze(1)).flatten(0, 1)


def _by_projector(blocks: Callable[[Projectors, Tensor], Tensor], n_strengths: int) -> Tensor:
    """What each strength multiplies each projector by, (3, n_strengths, 81): `blocks` of one of them, where projectors are ones."""
    ones = torch.ones(n_strengths, N_ORBITALS, N_ORBITALS)
    each = torch.eye(n_strengths)
    found = [blocks(Projectors(*(ones * float(i == chosen) for i in range(3))), each).flatten(1) for chosen in range(3)]
    return torch.stack(found)
