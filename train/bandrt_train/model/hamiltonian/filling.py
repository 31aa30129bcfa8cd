"""Filling: bands of the model, put in order around half filling by the runtime, for one model or several together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.hamiltonian import filling
from bandrt.hamiltonian.filling import Filled
from bandrt.kpaths.mesh import Mesh
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel
from bandrt_train.model.hamiltonian.model import RealSpace, bands
from bandrt_train.model.hamiltonian.pairs import Pairs


@torch.no_grad()
def predict(model: HamiltonianModel, crystal: Pairs, kpoints: NDArray[np.float64], mesh: Mesh, *, smearing_ev: float) -> Filled:
    """Fill the bands of a crystal at k-points (K, 3), fractional.

    Args:
        model: what gives them.
        crystal: its pairs.
        kpoints: where.
        mesh: that engines fill its bands on.
        smearing_ev: that goes with the mesh.

    Raises:
        InputError: ``too-few-bands`` where its orbitals cannot hold its electrons, or hold no more.
    """
    [real_space] = model.real_space([crystal])
    return fill(crystal, real_space, kpoints, mesh, smearing_ev=smearing_ev)


@torch.no_grad()
def fill(crystal: Pairs, real_space: RealSpace, kpoints: NDArray[np.float64], mesh: Mesh, *, smearing_ev: float) -> Filled:
    """Do as `predict` for a Hamiltonian that is there already."""
    on_path = torch.from_numpy(np.ascontiguousarray(kpoints)).to(real_space.hoppings)
    on_mesh = torch.from_numpy(mesh.frac_kpoints).to(on_path)
    energies = bands(real_space, torch.cat([on_path, on_mesh])).double().cpu().numpy()
    path, zone = energies[: len(on_path)], energies[len(on_path) :]
    return filling.fill(path, zone, mesh.weights, crystal.electrons, smearing_ev=smearing_ev)


def mean_of(members: Sequence[Filled]) -> Filled:
    """What several models say of one crystal together: bands are averaged as they are counted, metal or not is voted on.

    Of an even number that are of two minds, it is no metal.
    """
    is_metal = sum(one.is_metal for one in members) * 2 > len(members)
    energies = np.mean([one.energies for one in members], axis=0)
    gaps = [one.band_gap for one in members if not one.is_metal]
    return Filled(energies, is_metal, 0.0 if is_metal else float(np.mean(gaps)))
