"""Ensembles of learned Hamiltonians: blocks are averaged, not bands, so that a crystal is solved once for all members.

How far the members' Hamiltonians lie from their mean bounds how far their bands do: for Hermitian matrices with eigenvalues in
order, ``sum_n (a_n - b_n)^2 <= |A - B|_F^2`` (Hoffman and Wielandt, Duke Math. J. 20, 37 (1953)), and the mean over all k of
``|H(k)|_F^2`` is ``sum_R |T(R)|_F^2``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bandrt.manifest import EnsembleRule
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, RealSpace, bands
from bandrt_train.model.hamiltonian.pairs import Pairs


class LearnedHamiltonianEnsemble(nn.Module):
    """Members that share nothing but their input, and their configuration."""

    def __init__(self, members: Sequence[LearnedHamiltonian], rule: EnsembleRule) -> None:
        super().__init__()
        self.config: HamiltonianConfig = members[0].config
        self.rule = rule
        self.members = nn.ModuleList(members)

    def real_space(self, crystals: Sequence[Pairs]) -> list[RealSpace]:
        """The mean Hamiltonian of each crystal, with the error to expect of its bands."""
        found = [member.real_space(crystals) for member in self.alone()]
        return [self._mean(of_one) for of_one in zip(*found, strict=True)]

    def alone(self) -> list[LearnedHamiltonian]:
        """The members."""
        return [member for member in self.members if isinstance(member, LearnedHamiltonian)]

    def forward(self, crystals: Sequence[Pairs], kpoints: Sequence[Tensor]) -> list[Tensor]:
        """Bands of each crystal at fractional k-points (K, 3) of its own, as `LearnedHamiltonian.forward`."""
        return [bands(one, k) for one, k in zip(self.real_space(crystals), kpoints, strict=True)]

    def _mean(self, members: Sequence[RealSpace]) -> RealSpace:
        hoppings = torch.stack([one.hoppings for one in members])
        overlaps = [one.overlaps for one in members if one.overlaps is not None]
        flat_levels = torch.stack([one.flat_levels for one in members]).mean(dim=0)
        expected = self.rule.floor_ev + self.rule.slope * disagreement(hoppings)
        overlap = torch.stack(overlaps).mean(dim=0) if overlaps else None
        return RealSpace(hoppings.mean(dim=0), members[0].lattice_vectors, flat_levels, overlap, expected)


HamiltonianModel = LearnedHamiltonian | LearnedHamiltonianEnsemble
"""What a checkpoint holds: one model, or several in one."""


def disagreement(hoppings: Tensor) -> Tensor:
    """How far members are from their mean, eV: T(R) of one crystal, (n_members, V, n, n), to a number.

    It is the mean over members of the root mean square difference that Hoffman and Wielandt allow, over all bands and k-points.
    """
    apart = (hoppings - hoppings.mean(dim=0)).flatten(1)
    return (apart.square().sum(dim=1) / hoppings.shape[-1]).sqrt().mean()
