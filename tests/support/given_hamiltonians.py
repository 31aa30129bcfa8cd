"""Hamiltonian tensors of the contract from train's own Hamiltonians, and a network that does nothing but give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import DIMENSIONS, HAMILTONIAN, INVERSION, N_ORBITALS, NOWHERE, TENSORS, TensorSpec, hamiltonian_given
from bandrt.hamiltonian.hoppings import hoppings_of
from bandrt.hamiltonian.inversion import inversion_of
from bandrt.manifest import BandRule, Manifest
from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe
from bandrt.symmetry.inversion import Inversion
from bandrt_train.model.hamiltonian.model import RealSpace
from bandrt_train.model.hamiltonian.pairs import Pairs
from tests.support.small_hamiltonians import plain_mesh

if TYPE_CHECKING:
    from onnx import ModelProto

GIVEN = "given_"
"""Before the names of the tensors that `network` is fed and gives."""
SOLVER_INPUTS = ("neighbor_index", "kpoints", "neighbor_image", "mesh_kpoints", "mesh_weights")


def manifest_of(n_kpoints: int, bands: BandRule | None = None, *, centred: bool = False, overlap: bool = False) -> Manifest:
    """The manifest of an engine that is fed a Hamiltonian; centres of inversion and overlaps of orbitals, too, if it is said."""
    kpath = KpathRecipe(n_kpoints=n_kpoints)
    made = Manifest(
        variant="hamiltonian",
        solver="graph",
        model={"overlap": overlap},
        checkpoint_sha256="0" * 64,
        recipe=Recipe(graph=GraphRecipe(rule="bonds"), kpath=kpath, mesh=MeshRecipe()),
        bands=BandRule() if bands is None else bands,
        inputs=(*SOLVER_INPUTS, *(INVERSION if centred else ())),
        outputs=("band_energies", "uncertainty_ev"),
    )
    return replace(made, inputs=(*made.inputs, *(GIVEN + one.name for one in hamiltonian_given(made))))


def network(tensors: Sequence[TensorSpec] = HAMILTONIAN) -> ModelProto:
    """A graph that gives the Hamiltonian that it is fed, in these tensors."""
    from onnx import helper

    def declared(tensor: TensorSpec, name: str) -> Any:
        shape = [dim if isinstance(dim, int) else DIMENSIONS[dim].name for dim in tensor.dims]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), shape)

    nodes = [helper.make_node("Identity", [GIVEN + one.name], [one.name]) for one in tensors]
    inputs = [declared(one, GIVEN + one.name) for one in tensors]
    graph = helper.make_graph(nodes, "network", inputs, [declared(one, one.name) for one in tensors])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def network_of_the_contract(tensors: Sequence[TensorSpec] = HAMILTONIAN) -> ModelProto:
    """A network with the inputs of an engine, that is none, which gives these tensors."""
    from onnx import TensorProto, helper

    from bandrt_export.eigensolver.graph import FLOAT, Graph

    graph = Graph.new("network/")
    numbers, distance = graph.value("atomic_numbers", int(TensorProto.INT32)).cast(FLOAT), graph.value("neighbor_distance")
    given = {
        "hoppings": distance.unsqueeze(3, 4) * graph.constant(np.ones((9, 9))),
        "overlaps": distance.unsqueeze(3, 4) * graph.constant(np.full((9, 9), 0.1)),
        "on_site": numbers.unsqueeze(2, 3) * graph.constant(np.eye(9)),
        "flat_levels": numbers.unsqueeze(2) * graph.constant(np.ones(9)),
        "electrons": numbers.sum(1, keepdims=False),
        "uncertainty_ev": distance.sum(1, 2, keepdims=False),
    }
    proto = network(tensors)
    graph.nodes.extend(helper.make_node("Identity", [given[one.name].name], [one.name]) for one in tensors)
    for kept, values in ((proto.graph.node, graph.nodes), (proto.graph.initializer, graph.constants.tensors.values())):
        del kept[:]
        kept.extend(values)
    del proto.graph.input[:]
    return proto


def batch_of(
    crystals: Sequence[tuple[Pairs, RealSpace]], kpoints: NDArray[Any], *, sizes: Mapping[str, int] | None = None
) -> dict[str, NDArray[Any]]:
    """What `network` with a solver is fed, for crystals and k-points (K, 3) that they share; `sizes` may be larger than needed."""
    meshes = [plain_mesh(pairs.lattice) for pairs, _ in crystals]
    slots = [np.bincount(pairs.centre, minlength=pairs.n_atoms) for pairs, _ in crystals]
    needed = {
        "B": len(crystals),
        "N": max(pairs.n_atoms for pairs, _ in crystals),
        "D": int(max(counts.max() for counts in slots)),
        "K": len(kpoints),
        "M": max(len(weights) for _, weights in meshes),
    }
    shape = needed | dict(sizes or {})
    batch = {name: TENSORS[name].padded(shape) for name in SOLVER_INPUTS}
    given = {one.name: np.zeros(one.axes(shape), one.dtype) for one in HAMILTONIAN}
    given["on_site"][:] = NOWHERE * np.eye(N_ORBITALS)
    given["flat_levels"][:] = NOWHERE
    for row, ((pairs, real_space), (points, weights)) in enumerate(zip(crystals, meshes, strict=True)):
        n = pairs.n_atoms
        blocks = real_space.hoppings.numpy().reshape(-1, n, N_ORBITALS, n, N_ORBITALS)
        home = len(blocks) // 2
        for atom in range(n):
            of_atom = np.flatnonzero(pairs.centre == atom)
            place = (row, atom, slice(len(of_atom)))
            batch["neighbor_index"][place] = pairs.neighbor[of_atom]
            batch["neighbor_image"][place] = pairs.lattice_vectors[pairs.cell[of_atom]]
            given["hoppings"][place] = blocks[pairs.cell[of_atom], atom, :, pairs.neighbor[of_atom], :]
            given["on_site"][row, atom] = blocks[home, atom, :, atom, :]
        given["flat_levels"][row, pairs.flat_atom, pairs.flat_level] = real_space.flat_levels.numpy()
        given["electrons"][row] = pairs.electrons
        batch["kpoints"][row] = kpoints
        batch["mesh_kpoints"][row, : len(points)] = points
        batch["mesh_weights"][row, : len(weights)] = weights
    return batch | {GIVEN + name: values for name, values in given.items()}


def inversions(crystals: Sequence[tuple[Pairs, RealSpace]]) -> list[Inversion | None]:
    """The centre of each crystal, as the runtime finds it for LAPACK."""
    found: list[Inversion | None] = []
    for pairs, real_space in crystals:
        batch = batch_of([(pairs, real_space)], np.zeros((1, 3)))
        hoppings, on_site, index, image = (
            batch[name][0] for name in (f"{GIVEN}hoppings", f"{GIVEN}on_site", "neighbor_index", "neighbor_image")
        )
        n_slots = np.bincount(pairs.centre, minlength=pairs.n_atoms)
        mask = np.arange(index.shape[1]) < n_slots[:, None]
        vectors = (pairs.direction * pairs.distance[:, None])[np.argsort(pairs.centre, kind="stable")]
        listed = hoppings_of(hoppings, on_site, index, image, mask, pairs.n_atoms)
        found.append(inversion_of(listed, vectors, pairs.atomic_numbers))
    return found


def with_centres(batch: Mapping[str, NDArray[Any]], found: Sequence[Inversion | None], n_centred: int) -> dict[str, NDArray[Any]]:
    """A batch of `batch_of` with the centres of its first crystals; what comes after all crystals is padding."""
    n_atoms = batch["neighbor_index"].shape[1]
    partner, image = np.zeros((n_centred, n_atoms), np.int32), np.zeros((n_centred, n_atoms, 3), np.int32)
    for row, inversion in enumerate(found[:n_centred]):
        assert inversion is not None
        n = len(inversion.partner)
        partner[row, :n], image[row, :n] = inversion
    return dict(batch) | dict(zip(INVERSION, (partner, image), strict=True))


def run(proto: ModelProto, batch: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Outputs of a graph on one thread of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[Any]] = session.run(None, dict(batch))
    return outputs
