"""Crystals and models for tests of the learned Hamiltonian: in double precision, with weights that matter."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.computed.documents import BandDocument
from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.hamiltonian.filling import KEPT, Filled
from bandrt.kpaths.mesh import TIME_REVERSAL, Mesh, mesh
from bandrt.recipe import MeshRecipe
from bandrt_train.data.recipes import HAMILTONIAN_MESH
from bandrt_train.model.hamiltonian import filling
from bandrt_train.model.hamiltonian.config import HamiltonianConfig
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, RealSpace
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs

SMALL = HamiltonianConfig(width=12, n_layers=2, n_gaussians=6, dropout=0.0)
OVERLAPPING = replace(SMALL, overlap=True)
FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
QUARTERS = np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
SILICON = Crystal(5.43 * FCC, np.array([14, 14], np.int32), QUARTERS)
GALLIUM_ARSENIDE = Crystal(5.65 * FCC, np.array([31, 33], np.int32), QUARTERS)
SALT = Crystal(5.64 * FCC, np.array([11, 17], np.int32), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
ALUMINIUM = Crystal(4.05 * FCC, np.array([13], np.int32), np.zeros((1, 3)))
TRICLINIC = Crystal(
    np.array([[3.1, 0.2, -0.3], [0.7, 3.9, 0.4], [-0.5, 0.9, 4.6]]),
    np.array([22, 8, 11], np.int32),
    np.array([[0.02, 0.11, 0.05], [0.47, 0.41, 0.55], [0.61, 0.93, 0.71]]),
)
"""Nothing about it is symmetric."""


def small_model(seed: int = 0, config: HamiltonianConfig = SMALL) -> LearnedHamiltonian:
    """A model whose network says as much as the textbook that it starts from."""
    torch.manual_seed(seed)
    model = LearnedHamiltonian(config).double().eval()
    with torch.no_grad():
        for last in (model.network.of_pair[-1], model.network.of_atom[-1]):
            assert isinstance(last, torch.nn.Linear)
            last.weight *= 4.0
    return model


def plain_mesh(lattice: NDArray[np.float64]) -> Mesh:
    """The usual mesh of a lattice, whatever symmetry its crystal has."""
    return mesh(lattice, TIME_REVERSAL, MeshRecipe())


def fill(pairs: Pairs, real_space: RealSpace, kpoints: NDArray[np.float64]) -> Filled:
    """Bands at k-points (K, 3), filled on that mesh."""
    return filling.fill(pairs, real_space, kpoints, plain_mesh(pairs.lattice), smearing_ev=MeshRecipe().smearing)


def predict(model: HamiltonianModel, pairs: Pairs, kpoints: NDArray[np.float64]) -> Filled:
    """The same of a model."""
    return filling.predict(model, pairs, kpoints, plain_mesh(pairs.lattice), smearing_ev=MeshRecipe().smearing)


def bands_of(model: LearnedHamiltonian, crystal: Crystal, kpoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bands (K, n_bands) eV at fractional k-points (K, 3)."""
    with torch.no_grad():
        [energies] = model([find_pairs(crystal)], [torch.from_numpy(np.asarray(kpoints, np.float64))])
    values: NDArray[np.float64] = energies.numpy()
    return values


def document_of(model: LearnedHamiltonian, crystal: Crystal, *, name: str = "crystal", n_kpoints: int = 9) -> BandDocument:
    """What a code would write that computes just what a model says: all bands of a crystal, along two lines from Γ."""
    steps = np.linspace(0.0, 0.5, n_kpoints)
    kpoints = np.concatenate([steps[:, None] * np.array([1.0, 0.0, 1.0]), steps[:, None] * np.ones(3)])
    pairs, whole = find_pairs(crystal), replace(HAMILTONIAN_MESH, symmetry="time_reversal", kept=None)
    zone = mesh(crystal.lattice, TIME_REVERSAL, whole)
    filled = filling.predict(model, pairs, kpoints, zone, smearing_ev=whole.smearing)
    energies = bands_of(model, crystal, kpoints).T
    known = ~np.isnan(filled.energies[:, 0])
    first = pairs.n_filled - int(known[:KEPT].sum())
    zero = float(energies[first, 0] - filled.energies[known][0, 0])
    return BandDocument(
        id=name,
        crystal=crystal,
        reciprocal=crystal.reciprocal,
        frac_kpoints=kpoints,
        energies=energies[None],
        efermi=zero,
        branches=np.array([[0, n_kpoints - 1], [n_kpoints, 2 * n_kpoints - 1]]),
        labels=(None,) * len(kpoints),
        is_metal=filled.is_metal,
        n_electrons=pairs.electrons,
        method="made by a model",
    )


def document_text(document: BandDocument) -> str:
    """A document as one line of JSON, as in a shard of labels."""
    crystal = document.crystal
    assert crystal is not None
    sites = [
        {"species": [{"element": SYMBOLS[number], "occu": 1.0}], "abc": place.tolist()}
        for number, place in zip(crystal.atomic_numbers, crystal.frac_coords, strict=True)
    ]
    values = {
        "id": document.id,
        "kpoints": document.frac_kpoints.tolist(),
        "bands": {"1": document.energies[0].tolist()},
        "efermi": document.efermi,
        "lattice_rec": {"matrix": document.reciprocal.tolist()},
        "labels_dict": {},
        "branches": [{"start_index": int(first), "end_index": int(last)} for first, last in document.branches],
        "structure": {"lattice": {"matrix": crystal.lattice.tolist()}, "sites": sites},
        "is_metal_label": document.is_metal,
        "n_electrons": document.n_electrons,
        "method": document.method,
    }
    return json.dumps(values)
