"""The learned Hamiltonian: from what the network says of the pairs of a crystal to T(R), H(k) and the bands.

``H(k)[i a, j b] = sum_R exp(2 pi i k R) T(R)[i a, j b]``, k fractional and R whole: phases are those of cells, not of atoms, which
changes eigenvectors and no eigenvalue, and makes H(k + G) the same as H(k). T is real and ``T(-R) = T(R)^T``: no spin-orbit
coupling, no magnetic field, the same bands at k and -k, H(k) Hermitian. Energies are in eV; where their zero lies is for `filling`
to say.

Orbitals are orthogonal, or overlap by a small S, whose sum over cells S(k) is made as H(k) is. Löwdin's orthogonal orbitals have
the Hamiltonian ``(1 + S)^(-1/2) H (1 + S)^(-1/2)`` (J. Chem. Phys. 18, 365 (1950)); to first order, which is what is learned, it is
``H - (S H + H S) / 2``. So matrices stay as large as they are, and each atom hops to another by way of any third.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bandrt_train.model.hamiltonian.atoms import KIND_OF_FLAT_LEVEL, N_ORBITALS, SHELL_OF_ORBITAL, atomic_data
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.network import CouplingNetwork, Couplings, pair_batch
from bandrt_train.model.hamiltonian.pairs import Pairs
from bandrt_train.model.hamiltonian.slater_koster import field_blocks, hopping_blocks, projectors


class RealSpace(NamedTuple):
    """The Hamiltonian of one crystal between its orbitals, n = 9 N of them, and what does not hop."""

    hoppings: Tensor
    """(V, n, n) eV, T(R): from orbitals (rows) to orbitals in the cell at R. The atoms' own blocks are in that of R = 0."""
    lattice_vectors: Tensor
    """(V, 3) R, whole numbers."""
    flat_levels: Tensor
    """(F,) eV: bands that are the same everywhere."""
    overlaps: Tensor | None = None
    """(V, n, n) S(R), without that of an orbital with itself; None where orbitals are orthogonal."""
    uncertainty: Tensor | None = None
    """(), eV, the error to expect of the bands; None from one model alone."""


class LearnedHamiltonian(nn.Module):
    """Crystals, as their pairs, to tight-binding Hamiltonians and their bands; some 80,000 parameters at the default width."""

    flat_level: Tensor

    def __init__(self, config: HamiltonianConfig) -> None:
        super().__init__()
        self.config = config
        self.network = CouplingNetwork(config)
        self.register_buffer("flat_level", torch.nan_to_num(torch.from_numpy(atomic_data().flat_level).float()))
        self.flat_scale = nn.Parameter(torch.ones(()))

    def real_space(self, crystals: Sequence[Pairs]) -> list[RealSpace]:
        """Run the network on several crystals at once and make the Hamiltonian of each."""
        batch = pair_batch(crystals, like=self.flat_scale)
        said: Couplings = self.network(batch)
        seen = projectors(batch.direction)
        hoppings = hopping_blocks(seen, said.hopping)
        own = torch.diag_embed(said.level.index_select(1, torch.tensor(SHELL_OF_ORBITAL, device=said.level.device)))
        own = own.index_add(0, batch.centre, field_blocks(seen, said.field))  # (A, 9, 9)
        n_atoms, n_pairs = [one.n_atoms for one in crystals], [len(one.centre) for one in crystals]
        parts = (torch.split(hoppings, n_pairs), torch.split(own, n_atoms), torch.split(said.flat_shift, n_atoms))
        found = [self._assemble(one, *of_one) for one, *of_one in zip(crystals, *parts, strict=True)]
        if said.overlap is None:
            return found
        overlaps = torch.split(hopping_blocks(seen, said.overlap), n_pairs)
        matrices = [_matrices(pairs, of_one) for pairs, of_one in zip(crystals, overlaps, strict=True)]
        return [one._replace(overlaps=of_one) for one, of_one in zip(found, matrices, strict=True)]

    def forward(self, crystals: Sequence[Pairs], kpoints: Sequence[Tensor]) -> list[Tensor]:
        """Bands of each crystal at fractional k-points (K, 3) of its own: (K, n_bands) eV, ascending, flat levels among them."""
        return [bands(one, k) for one, k in zip(self.real_space(crystals), kpoints, strict=True)]

    def _assemble(self, crystal: Pairs, hoppings: Tensor, own: Tensor, flat_shift: Tensor) -> RealSpace:
        """Put the blocks (E, 9, 9) of pairs and (N, 9, 9) of atoms into their places."""
        matrices = _matrices(crystal, hoppings, own)
        atom, level = (torch.from_numpy(values).to(own.device) for values in (crystal.flat_atom, crystal.flat_level))
        kind = torch.tensor(KIND_OF_FLAT_LEVEL, device=own.device)[level]
        free = self.flat_level[torch.from_numpy(crystal.atomic_numbers).to(own.device)[atom], level]
        vectors = torch.from_numpy(crystal.lattice_vectors).to(own)
        return RealSpace(matrices, vectors, free * self.flat_scale + flat_shift[atom, kind])


def _matrices(crystal: Pairs, blocks: Tensor, own: Tensor | None = None) -> Tensor:
    """Blocks (E, 9, 9) of pairs and (N, 9, 9) of atoms in their places, (V, n, n)."""
    n, n_cells = crystal.n_atoms, len(crystal.lattice_vectors)
    place = torch.from_numpy((crystal.cell * n + crystal.centre) * n + crystal.neighbor).to(blocks.device)
    placed = blocks.new_zeros(n_cells * n * n, N_ORBITALS, N_ORBITALS).index_copy(0, place, blocks)
    if own is not None:
        home = torch.arange(n, device=blocks.device) * (n + 1) + n_cells // 2 * n * n
        placed = placed.index_add(0, home, own)
    return placed.reshape(n_cells, n, n, N_ORBITALS, N_ORBITALS).transpose(2, 3).reshape(n_cells, n * N_ORBITALS, n * N_ORBITALS)


def bloch_sum(real_space: RealSpace, kpoints: Tensor) -> Tensor:
    """H(k) between orthogonal orbitals, (K, n, n) complex and Hermitian, eV, at fractional k-points (K, 3)."""
    phase = 2.0 * math.pi * kpoints @ real_space.lattice_vectors.T  # (K, V)
    matrices = _summed(real_space.hoppings, phase)
    if real_space.overlaps is None:
        return matrices
    product = _summed(real_space.overlaps, phase) @ matrices
    return matrices - 0.5 * (product + product.mH)


def _summed(matrices: Tensor, phase: Tensor) -> Tensor:
    """The sum over cells, (K, n, n) complex, of matrices (V, n, n) with phases (K, V): two real products."""
    flat = matrices.flatten(1)
    return torch.complex(torch.cos(phase) @ flat, torch.sin(phase) @ flat).reshape(-1, *matrices.shape[1:])


def bands(real_space: RealSpace, kpoints: Tensor) -> Tensor:
    """Bands (K, n_bands) eV, ascending, at fractional k-points (K, 3).

    The gradient through eigenvalues is exact, degenerate ones included.
    """
    hopping: Tensor = torch.linalg.eigvalsh(bloch_sum(real_space, kpoints))
    if not len(real_space.flat_levels):
        return hopping
    return torch.cat([hopping, real_space.flat_levels.expand(len(kpoints), -1)], dim=1).sort(dim=1).values
