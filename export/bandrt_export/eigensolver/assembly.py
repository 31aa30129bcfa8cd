"""From a network that gives the Hamiltonian tensors to an engine that gives bands: the solver appended to its graph."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, ValueInfoProto, checker, helper

from bandrt.contract import BAND_ENERGIES, DIMENSIONS, INVERSION, N_ORBITALS, NOWHERE, OVERLAPS, TENSORS, uses_centres
from bandrt.hamiltonian.filling import kept_for
from bandrt.manifest import Manifest
from bandrt.recipe import MeshRecipe
from bandrt_export.eigensolver.bands import bands
from bandrt_export.eigensolver.bloch import Inversions, blocks
from bandrt_export.eigensolver.filling import occupation, window
from bandrt_export.eigensolver.graph import Graph, concat

PREFIX = "solver/"
"""Of the names of all that is appended."""
HIGHEST_EV = NOWHERE / 2.0
"""Orbitals and levels below it are there, and all others are padding."""


def with_solver(proto: ModelProto, manifest: Manifest) -> ModelProto:
    """Append the solver to a network.

    Args:
        proto: a graph whose outputs are the Hamiltonian tensors of the contract, with overlaps where orbitals have them; changed in
            place. They keep their names, within.
        manifest: of the engine that is made: its inputs and outputs, bands and k-points.

    Returns:
        The graph of the engine: inputs and outputs are those of the manifest, in its order.
    """
    graph = Graph.new(PREFIX)
    kinds = {one.name: one.type.tensor_type.elem_type for one in (*proto.graph.output, *_inputs(proto, manifest))}
    named = {name: graph.value(name, kind) for name, kind in kinds.items()}
    n_kpoints, rule = manifest.recipe.kpath.n_kpoints, manifest.bands
    occupied = occupation(named["electrons"], named["on_site"], named["flat_levels"], N_ORBITALS, HIGHEST_EV, kept_for(rule))
    energies = bands(
        blocks(
            named["hoppings"],
            named["on_site"],
            named["neighbor_index"],
            named["neighbor_image"],
            N_ORBITALS,
            named.get(OVERLAPS[0].name),
        ),
        named["flat_levels"],
        occupied.wanted,
        concat(1, named["kpoints"], named["mesh_kpoints"]),
        2 * occupied.n_kept,
        HIGHEST_EV,
        Inversions(*(named[name] for name in INVERSION)) if uses_centres(manifest) else None,
    )
    chosen = window(
        energies,
        named["mesh_weights"],
        occupied,
        n_kpoints=n_kpoints,
        rule=rule,
        smearing_ev=(manifest.recipe.mesh or MeshRecipe()).smearing,
    )
    graph.nodes.append(helper.make_node("Identity", [chosen.name], [BAND_ENERGIES]))
    proto.graph.node.extend(graph.nodes)
    proto.graph.initializer.extend(graph.constants.tensors.values())
    inputs = _inputs(proto, manifest)
    own = {one.name: one for one in proto.graph.output}
    sizes = {"n_bands": rule.n_bands, "K": n_kpoints}
    outputs = [own.get(name) or _declared(name, sizes) for name in manifest.outputs]
    for field, values in ((proto.graph.input, inputs), (proto.graph.output, outputs)):
        kept = [type(one).FromString(one.SerializeToString()) for one in values]
        del field[:]
        field.extend(kept)
    checker.check_model(proto, full_check=True)
    return proto


def _inputs(proto: ModelProto, manifest: Manifest) -> list[ValueInfoProto]:
    """The engine's inputs: those of the network, and those that the solver alone takes."""
    own = {one.name: one for one in proto.graph.input}
    sizes = {"K": manifest.recipe.kpath.n_kpoints}
    return [own.get(name) or _declared(name, sizes) for name in manifest.inputs]


def _declared(name: str, sizes: dict[str, int]) -> ValueInfoProto:
    """A tensor of the contract as ONNX declares it; axes of no given size are free."""
    tensor = TENSORS[name]
    shape = [dim if isinstance(dim, int) else sizes.get(dim, DIMENSIONS[dim].name) for dim in tensor.dims]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), shape)
