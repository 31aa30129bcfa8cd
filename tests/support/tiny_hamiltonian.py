"""A tiny engine that ends at a Hamiltonian, for tests of what makes bands of it, and the pairs that it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import HAMILTONIAN, HAMILTONIAN_NAMES, N_ORBITALS, NETWORK_INPUTS, NOWHERE, TENSORS, known_sizes
from bandrt.crystal import Crystal
from bandrt.manifest import METADATA_KEY, BandRule, Manifest
from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe

N_KPOINTS = 17
MANIFEST = Manifest(
    variant="hamiltonian",
    model={"kind": "tiny"},
    checkpoint_sha256="0" * 64,
    recipe=Recipe(graph=GraphRecipe(rule="bonds"), kpath=KpathRecipe(n_kpoints=N_KPOINTS), mesh=MeshRecipe()),
    bands=BandRule(n_bands=4, n_valence=2),
    inputs=NETWORK_INPUTS,
    outputs=("band_energies", "uncertainty_ev"),
    solver="lapack",
)
LEVELS = np.array([-9.0, -2.0, -2.0, -2.0, 4.0, 4.0, 4.0, 5.0, 5.0])
"""eV, of the orbitals of an atom, to which a hundredth of its atomic number is added."""
EVEN = np.diag([-1.4, 0.6, 0.6, 0.6, 0.2, 0.2, 0.2, 0.1, 0.1])
ODD = np.zeros((3, N_ORBITALS, N_ORBITALS))
"""By direction: an s hops to a p with the sign of the way."""
for _axis in range(3):
    ODD[_axis, 0, 1 + _axis], ODD[_axis, 1 + _axis, 0] = 1.1, -1.1
FALL = 2.0
"""Å: hoppings are ``exp(-distance / FALL)`` times that."""
HEAVY, FLAT_LEVEL = 20, -12.0
"""Heavier atoms have a flat level, in eV."""


def hamiltonian_of(crystal: Crystal, reach: float) -> tuple[NDArray[np.float64], Any, float, NDArray[np.float64]]:
    """What the tiny engine should say, in double precision: T(R) (V, n, n), the V vectors R, electrons, and flat levels."""
    pairs = bonds(crystal, reach)
    n = N_ORBITALS * crystal.n_atoms
    terms: dict[tuple[int, ...], NDArray[np.float64]] = {}
    terms[(0, 0, 0)] = np.diag(np.concatenate([LEVELS + 0.01 * number for number in crystal.atomic_numbers]))
    for i, j, image, distance, direction in pairs:
        block = np.exp(-distance / FALL) * (EVEN + np.tensordot(direction, ODD, 1))
        matrix = terms.setdefault(image, np.zeros((n, n)))
        matrix[N_ORBITALS * i : N_ORBITALS * (i + 1), N_ORBITALS * j : N_ORBITALS * (j + 1)] += block
    flat = np.full(int((crystal.atomic_numbers > HEAVY).sum()), FLAT_LEVEL)
    electrons = float((2 + crystal.atomic_numbers % 2).sum())
    return np.stack(list(terms.values())), np.array(list(terms)), electrons, flat


Bond = tuple[int, int, tuple[int, ...], float, NDArray[np.float64]]


def bonds(crystal: Crystal, reach: float) -> list[Bond]:
    """Every pair of atoms nearer than `reach`, Å, with the cell of the other, the distance and the direction."""
    found: list[Bond] = []
    for i, j in product(range(crystal.n_atoms), repeat=2):
        for image in product(range(-3, 4), repeat=3):
            way = (crystal.frac_coords[j] + image - crystal.frac_coords[i]) @ crystal.lattice
            distance = float(np.linalg.norm(way))
            if 1e-3 < distance < reach:
                found.append((i, j, image, distance, way / distance))
    return found


def tiny_batch(
    crystals: Sequence[Crystal], kpoints: NDArray[np.float64], mesh: NDArray[np.float64], *, reach: float = 4.0, n_rows: int = 0
) -> dict[str, NDArray[Any]]:
    """Crystals as the tiny engine is fed them, padded, all with the same k-points (K, 3) and an even mesh (M, 3)."""
    pairs = [sorted(bonds(crystal, reach), key=lambda bond: bond[3]) for crystal in crystals]
    slots = [[[bond for bond in own if bond[0] == i] for i in range(one.n_atoms)] for own, one in zip(pairs, crystals, strict=True)]
    sizes = {
        "B": max(n_rows, len(crystals)),
        "N": max(one.n_atoms for one in crystals),
        "D": 2 + max(len(of_atom) for own in slots for of_atom in own),
        "K": len(kpoints),
        "M": 3 + len(mesh),
    }
    batch = {name: TENSORS[name].padded(sizes) for name in NETWORK_INPUTS}
    for row, (one, own) in enumerate(zip(crystals, slots, strict=True)):
        batch["kpoints"][row] = kpoints
        batch["mesh_kpoints"][row, : len(mesh)], batch["mesh_weights"][row, : len(mesh)] = mesh, 1.0 / len(mesh)
        batch["atomic_numbers"][row, : one.n_atoms], batch["atom_mask"][row, : one.n_atoms] = one.atomic_numbers, True
        for i, of_atom in enumerate(own):
            for slot, (_, j, image, distance, direction) in enumerate(of_atom):
                place = (row, i, slot)
                batch["neighbor_index"][place], batch["neighbor_mask"][place] = j, True
                batch["neighbor_image"][place], batch["neighbor_distance"][place] = image, distance
                batch["neighbor_direction"][place] = direction
    return batch


def tiny_hamiltonian_model(manifest: Manifest = MANIFEST) -> Any:
    """The ONNX model; its uncertainty is the mean distance of neighbours in Å, divided by ten."""
    from onnx import TensorProto, helper, numpy_helper

    types = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT, "bool": TensorProto.BOOL}

    def value_info(name: str) -> Any:
        tensor = next(one for one in (*TENSORS.values(), *HAMILTONIAN) if one.name == name)
        return helper.make_tensor_value_info(name, types[tensor.dtype], tensor.shape(known_sizes(manifest)))

    flat = np.full(N_ORBITALS, NOWHERE)
    flat[0] = FLAT_LEVEL
    numbers = {
        "even": EVEN.reshape(-1),
        "odd": ODD.reshape(3, -1),
        "fall": np.array(-1.0 / FALL),
        "levels": np.diag(LEVELS),
        "hundredths": 0.01 * np.eye(N_ORBITALS),
        "nowhere": NOWHERE * np.eye(N_ORBITALS),
        "flat": flat,
        "none": np.full(N_ORBITALS, NOWHERE),
        "tenth": np.array(0.1),
        "pair": np.array(2.0),
    }
    whole = {
        "blocks": np.array([0, 0, 0, N_ORBITALS, N_ORBITALS]),
        "behind": np.array([3]),
        "behind_atoms": np.array([2]),
        "as_matrix": np.array([2, 3]),
        "slot_axes": np.array([1, 2]),
        "atom_axis": np.array([1]),
    }
    steps: list[tuple[Any, ...]] = [
        ("Cast", ["neighbor_mask"], "slots", {"to": TensorProto.FLOAT}),
        ("Mul", ["neighbor_distance", "fall"], "falling"),
        ("Exp", ["falling"], "near"),
        ("Mul", ["near", "slots"], "strength"),
        ("Unsqueeze", ["strength", "behind"], "strengths"),
        ("MatMul", ["neighbor_direction", "odd"], "turned"),
        ("Add", ["turned", "even"], "unscaled"),
        ("Mul", ["unscaled", "strengths"], "scaled"),
        ("Reshape", ["scaled", "blocks"], "hoppings"),
        ("Cast", ["atomic_numbers"], "z", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["z", "as_matrix"], "of_matrix"),
        ("Mul", ["of_matrix", "hundredths"], "raised"),
        ("Add", ["raised", "levels"], "own"),
        ("Unsqueeze", ["atom_mask", "as_matrix"], "is_matrix"),
        ("Where", ["is_matrix", "own", "nowhere"], "on_site"),
        ("Greater", ["atomic_numbers", "heavy"], "is_heavy"),
        ("Unsqueeze", ["is_heavy", "behind_atoms"], "has_level"),
        ("Where", ["has_level", "flat", "none"], "flat_levels"),
        ("Mod", ["atomic_numbers", "two"], "odd_one"),
        ("Cast", ["odd_one"], "odd_electron", {"to": TensorProto.FLOAT}),
        ("Add", ["odd_electron", "pair"], "of_atom"),
        ("Cast", ["atom_mask"], "atoms", {"to": TensorProto.FLOAT}),
        ("Mul", ["of_atom", "atoms"], "of_atoms"),
        ("ReduceSum", ["of_atoms", "atom_axis"], "electrons", {"keepdims": 0}),
        ("Mul", ["neighbor_distance", "slots"], "masked"),
        ("ReduceSum", ["masked", "slot_axes"], "total", {"keepdims": 0}),
        ("ReduceSum", ["slots", "slot_axes"], "n_slots", {"keepdims": 0}),
        ("Div", ["total", "n_slots"], "mean_distance"),
        ("Mul", ["mean_distance", "tenth"], "uncertainty_ev"),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], **(more[0] if more else {})) for op, inputs, output, *more in steps],
        "tiny",
        [value_info(name) for name in manifest.inputs],
        [value_info(name) for name in HAMILTONIAN_NAMES],
        [
            *(numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in numbers.items()),
            *(numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in whole.items()),
            numpy_helper.from_array(np.array(HEAVY, np.int32), "heavy"),
            numpy_helper.from_array(np.array(2, np.int32), "two"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    return model
