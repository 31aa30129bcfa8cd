"""Electrons into bands: where the energy zero is, metal or not, the gap, and which bands are the six around the Fermi level.

Bands are counted from half filling, which no energy decides: the window of the six is a view on them. The highest nonempty band of
a metal, by which the six are chosen, changes when a band grazes the Fermi level; the counted bands do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandrt.errors import InputError
from bandrt.kpaths.mesh import mesh
from bandrt.manifest import BandRule
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, RealSpace, bands
from bandrt_train.model.hamiltonian.pairs import Pairs

KEPT = 12
"""Bands kept up to half filling, and as many above it."""
SMEARING_EV = 0.05
HALVINGS = 50
"""Of the interval that holds the Fermi level: far below rounding."""


@dataclass(frozen=True, eq=False)
class Filled:
    """Bands of one crystal at K k-points, around half filling.

    Attributes:
        energies: (2 * KEPT, K) eV relative to E_F of a metal or to mid-gap; the first `KEPT` are those that the electrons would
            fill. NaN where the crystal has no such band.
        is_metal: whether bands of both halves overlap, here or on the mesh, or the number of electrons is odd.
        band_gap: eV, here and on the mesh; 0 for metals.
    """

    energies: NDArray[np.float64]
    is_metal: bool
    band_gap: float

    @property
    def n_nonempty(self) -> int:
        """How many of these bands are not empty."""
        if not self.is_metal:
            return KEPT
        return int((np.nan_to_num(self.energies, nan=np.inf)[KEPT:].min(axis=1) < 0.0).sum()) + KEPT

    def window(self, rule: BandRule, n_nonempty: int | None = None) -> NDArray[np.float64]:
        """The bands of a rule, (n_bands, K), around the highest nonempty one, or around a given one of these.

        Raises:
            InputError: ``too-few-bands`` where the crystal has not as many.
        """
        first = (self.n_nonempty if n_nonempty is None else n_nonempty) - rule.n_valence
        chosen = self.energies[max(first, 0) : first + rule.n_bands]
        if len(chosen) < rule.n_bands or np.isnan(chosen).any():
            raise InputError("too-few-bands", f"{rule.n_bands} bands are wanted, and this crystal has not as many in the model")
        return chosen


def fermi_level(energies: Tensor, weights: Tensor, electrons: float | Tensor, smearing_ev: float) -> Tensor:
    """The level up to which bands hold so many electrons: ``sum_k w_k sum_n 2 f = electrons``, found by halving.

    Args:
        energies: (K, n) eV.
        weights: (K,).
        electrons: more than none and fewer than these bands can hold.
        smearing_ev: of the Fermi function.
    """
    low, high = energies.min() - 1.0, energies.max() + 1.0
    for _ in range(HALVINGS):
        level = 0.5 * (low + high)
        fewer = (2.0 * weights[:, None] * torch.sigmoid((level - energies) / smearing_ev)).sum() < electrons
        low, high = torch.where(fewer, level, low), torch.where(fewer, high, level)
    return 0.5 * (low + high)


@torch.no_grad()
def predict(model: LearnedHamiltonian, crystal: Pairs, kpoints: NDArray[np.float64]) -> Filled:
    """Fill the bands of a crystal at k-points (K, 3), fractional.

    Raises:
        InputError: ``too-few-bands`` where its orbitals cannot hold its electrons, or hold no more.
    """
    [real_space] = model.real_space([crystal])
    return fill(crystal, real_space, kpoints)


@torch.no_grad()
def fill(crystal: Pairs, real_space: RealSpace, kpoints: NDArray[np.float64]) -> Filled:
    """Do as `predict` for a Hamiltonian that is there already."""
    if not 0 < crystal.n_filled < crystal.n_bands:
        raise InputError("too-few-bands", f"{crystal.electrons:g} electrons do not fill {crystal.n_bands} bands in part")
    points, weights = map(torch.from_numpy, mesh(crystal.lattice))
    on_path = torch.from_numpy(np.ascontiguousarray(kpoints)).to(real_space.hoppings)
    energies = bands(real_space, torch.cat([on_path, points.to(on_path)])).double().cpu()
    path, on_mesh, half = energies[: len(on_path)], energies[len(on_path) :], crystal.n_filled
    gap = float(energies[:, half].min() - energies[:, half - 1].max())
    is_metal = crystal.is_odd or gap <= 0.0
    if is_metal:
        zero = fermi_level(on_mesh, weights.double(), crystal.electrons, SMEARING_EV)
    else:
        zero = 0.5 * (path[:, half - 1].max() + path[:, half].min())
    kept = np.full((2 * KEPT, len(path)), np.nan)
    first, end = max(0, half - KEPT), min(crystal.n_bands, half + KEPT)
    kept[first - half + KEPT : end - half + KEPT] = (path[:, first:end] - zero).T.numpy()
    return Filled(kept, is_metal, 0.0 if is_metal else gap)


def mean_of(members: Sequence[Filled]) -> Filled:
    """What several models say of one crystal together: bands are averaged as they are counted, metal or not is voted on.

    Of an even number that are of two minds, it is no metal.
    """
    is_metal = sum(one.is_metal for one in members) * 2 > len(members)
    energies = np.mean([one.energies for one in members], axis=0)
    gaps = [one.band_gap for one in members if not one.is_metal]
    return Filled(energies, is_metal, 0.0 if is_metal else float(np.mean(gaps)))
