"""What the ONNX file of a learned Hamiltonian gives, made by its model in torch: an oracle of what NumPy makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.contract import NOWHERE
from bandrt.crystal import Crystal
from bandrt_train.model.hamiltonian.atoms import KIND_OF_FLAT_LEVEL, N_ORBITALS
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.hamiltonian.pairs import find_pairs


def hamiltonian_tensors(
    model: LearnedHamiltonian, crystals: Sequence[Crystal], *, n_atoms: int = 0, n_slots: int = 0
) -> dict[str, NDArray[Any]]:
    """Pairs and blocks of several crystals, padded to at least so many atoms and neighbour slots, by the names of the contract."""
    pairs = [find_pairs(crystal) for crystal in crystals]
    with torch.no_grad():
        solids = model.real_space(pairs)
    most = max(n_atoms, *(one.n_atoms for one in pairs))
    slots = max([n_slots, *(int(np.bincount(one.centre).max()) for one in pairs)])
    shape, n = (len(pairs), most, slots), N_ORBITALS
    made: dict[str, NDArray[Any]] = {
        "atomic_numbers": np.zeros(shape[:2], np.int32),
        "atom_mask": np.zeros(shape[:2], np.bool_),
        "neighbor_index": np.zeros(shape, np.int32),
        "neighbor_distance": np.zeros(shape, np.float32),
        "neighbor_mask": np.zeros(shape, np.bool_),
        "neighbor_image": np.zeros((*shape, 3), np.int32),
        "neighbor_direction": np.zeros((*shape, 3), np.float32),
        "hoppings": np.zeros((*shape, n, n), np.float32),
        "on_site": np.broadcast_to(NOWHERE * np.eye(n, dtype=np.float32), (*shape[:2], n, n)).copy(),
        "flat_levels": np.full((*shape[:2], len(KIND_OF_FLAT_LEVEL)), NOWHERE, np.float32),
        "electrons": np.array([one.electrons for one in pairs], np.float32),
    }
    if model.config.overlap:
        made["overlaps"] = np.zeros((*shape, n, n), np.float32)
    for row, (one, solid) in enumerate(zip(pairs, solids, strict=True)):
        blocks = solid.hoppings.reshape(-1, one.n_atoms, n, one.n_atoms, n).transpose(2, 3).numpy()
        atoms = np.arange(one.n_atoms)
        made["atomic_numbers"][row, atoms], made["atom_mask"][row, atoms] = one.atomic_numbers, True
        made["on_site"][row, atoms] = blocks[len(blocks) // 2, atoms, atoms]
        made["flat_levels"][row, one.flat_atom, one.flat_level] = solid.flat_levels.numpy()
        order = np.lexsort((one.distance, one.centre))
        slot = np.arange(len(order)) - np.searchsorted(one.centre[order], one.centre[order])
        place = (row, one.centre[order], slot)
        made["neighbor_index"][place] = one.neighbor[order]
        made["neighbor_distance"][place] = one.distance[order]
        made["neighbor_mask"][place] = True
        made["neighbor_image"][place] = one.lattice_vectors[one.cell[order]]
        made["neighbor_direction"][place] = one.direction[order]
        made["hoppings"][place] = blocks[one.cell[order], one.centre[order], one.neighbor[order]]
        if solid.overlaps is not None:
            overlaps = solid.overlaps.reshape(-1, one.n_atoms, n, one.n_atoms, n).transpose(2, 3).numpy()
            made["overlaps"][place] = overlaps[one.cell[order], one.centre[order], one.neighbor[order]]
    return made
