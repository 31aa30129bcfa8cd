"""The dense Hamiltonian is the learned one: the same blocks, whatever the padding, in torch and in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from bandrt.contract import HAMILTONIAN, HAMILTONIAN_NAMES, NETWORK_INPUTS, NOWHERE, OVERLAPS, TENSORS
from bandrt.crystal import Crystal
from bandrt.manifest import EnsembleRule
from bandrt_export.dense.hamiltonian import DenseHamiltonian
from bandrt_export.onnx import trace
from bandrt_export.parity import packaged_crystals
from bandrt_train.data.recipes import HAMILTONIAN_MESH, HAMILTONIAN_RECIPE
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel, LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian
from bandrt_train.model.hamiltonian.pairs import REACH, REACH_ANGSTROM, find_pairs
from tests.support.hamiltonian_tensors import hamiltonian_tensors
from tests.support.small_hamiltonians import ALUMINIUM, GALLIUM_ARSENIDE, OVERLAPPING, SALT, SILICON, TRICLINIC, small_model
from tests.support.small_models import PORTABLE_OPS

Arrays = dict[str, NDArray[Any]]
Model = Callable[[], LearnedHamiltonian]
TOLERANCE_EV = 1e-4
"""fp32 rounding of levels some tens of eV deep."""
SMALL_CRYSTALS = (SILICON, ALUMINIUM, TRICLINIC, SALT, GALLIUM_ARSENIDE)
RULE = EnsembleRule(("first", "second", "third"), floor_ev=0.25, slope=1.5, n_crystals=9)
NO_KPOINTS = {"kpoints": (HAMILTONIAN_RECIPE.kpath.n_kpoints, 3), "mesh_kpoints": (4, 3), "mesh_weights": (4,)}
"""What no block depends on."""


@cache
def alone() -> LearnedHamiltonian:
    return small_model().float()


@cache
def overlapping() -> LearnedHamiltonian:
    return small_model(config=OVERLAPPING).float()


@cache
def together() -> LearnedHamiltonianEnsemble:
    return LearnedHamiltonianEnsemble([small_model(seed).float() for seed in range(3)], RULE).eval()


def batch_of(crystals: Sequence[Crystal], model: LearnedHamiltonian | None = None, **least: int) -> tuple[Arrays, Arrays]:
    """Inputs of several crystals, and the blocks that a trained model makes of them, in the same slots."""
    made = hamiltonian_tensors(model or alone(), crystals, **least)
    made |= {name: np.ones((len(crystals), *shape), np.float32) for name, shape in NO_KPOINTS.items()}
    given = (*HAMILTONIAN_NAMES, *(one.name for one in OVERLAPS))
    return {name: made[name] for name in NETWORK_INPUTS}, {name: made[name] for name in given if name in made}


@torch.no_grad()
def run(model: HamiltonianModel, inputs: Arrays) -> Arrays:
    said = DenseHamiltonian(model).eval()(*(torch.from_numpy(inputs[name]) for name in NETWORK_INPUTS))
    return {name: tensor.numpy() for name, tensor in said._asdict().items()}


def assert_same(found: Arrays, expected: Arrays) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=TOLERANCE_EV, rtol=0, err_msg=name)


@pytest.mark.parametrize("least", [{}, {"n_atoms": 5, "n_slots": 130}], ids=["as they are", "padded"])
@pytest.mark.parametrize("model", [alone, overlapping])
@pytest.mark.parametrize("crystal", SMALL_CRYSTALS, ids=lambda one: one.formula)
def test_blocks_are_those_of_the_trained_model(crystal: Crystal, model: Model, least: dict[str, int]) -> None:
    inputs, expected = batch_of([crystal], model(), **least)
    assert ("overlaps" in expected) == (model is overlapping)
    assert_same(run(model(), inputs), expected)


@pytest.mark.parametrize("model", [alone, overlapping])
def test_real_crystals_of_many_elements_side_by_side(model: Model) -> None:
    crystals = [one for one in packaged_crystals() if one.n_atoms <= 10]
    assert {one.n_atoms for one in crystals} >= {1, 2, 10}
    inputs, expected = batch_of(crystals, model())
    found = run(model(), inputs)
    assert_same(found, expected)
    assert (found["hoppings"][~inputs["neighbor_mask"]] == 0.0).all()
    assert (found["on_site"][~inputs["atom_mask"]] == NOWHERE * np.eye(9, dtype=np.float32)).all()
    assert (found["flat_levels"][~inputs["atom_mask"]] == NOWHERE).all()
    np.testing.assert_array_equal(found["electrons"], [find_pairs(one).electrons for one in crystals])


def test_what_stands_on_padding_changes_nothing() -> None:
    inputs, expected = batch_of([SALT, TRICLINIC], n_atoms=4, n_slots=120)
    padding = ~inputs["neighbor_mask"]
    inputs["neighbor_index"][padding] = 1
    inputs["neighbor_distance"][padding] = 2.5
    inputs["neighbor_direction"][padding] = [0.6, 0.0, 0.8]
    assert_same(run(alone(), inputs), expected)


def test_a_batch_of_nothing_but_padding_is_finite() -> None:
    inputs, _ = batch_of([SALT])
    found = run(together(), {name: np.zeros_like(values) for name, values in inputs.items()})
    assert all(np.isfinite(values).all() for values in found.values())


def test_an_atom_without_neighbours_has_the_levels_of_a_free_one_moved_by_the_network() -> None:
    inputs, _ = batch_of([ALUMINIUM])
    inputs["neighbor_mask"][:] = False
    found = run(alone(), inputs)
    np.testing.assert_array_equal(found["hoppings"], 0.0)
    own = found["on_site"][0, 0]
    np.testing.assert_allclose(own, np.diag(np.diag(own)), atol=1e-6)
    assert len({round(float(level), 4) for level in np.diag(own)}) == 3


def test_the_order_of_atoms_changes_only_the_order_of_blocks() -> None:
    order = np.array([2, 0, 1])
    other = Crystal(TRICLINIC.lattice, TRICLINIC.atomic_numbers[order], TRICLINIC.frac_coords[order])
    first, second = (run(alone(), batch_of([one])[0]) for one in (TRICLINIC, other))
    np.testing.assert_allclose(second["on_site"][0], first["on_site"][0, order], atol=TOLERANCE_EV)
    np.testing.assert_allclose(second["flat_levels"][0], first["flat_levels"][0, order], atol=TOLERANCE_EV)
    sums = [np.sort(one["hoppings"].sum(axis=(0, 1, 2)).ravel()) for one in (first, second)]
    np.testing.assert_allclose(sums[1], sums[0], atol=10 * TOLERANCE_EV)


def test_blocks_of_members_are_averaged_and_their_difference_says_how_wrong_they_may_be() -> None:
    crystals = [SALT, ALUMINIUM, TRICLINIC]
    inputs, _ = batch_of(crystals, n_atoms=5)
    members = [run(member, inputs) for member in together().alone()]
    found = run(together(), inputs)
    for name in ("hoppings", "on_site", "flat_levels", "electrons"):
        np.testing.assert_allclose(found[name], np.mean([one[name] for one in members], axis=0), atol=TOLERANCE_EV, err_msg=name)
    with torch.no_grad():
        solids = together().real_space([find_pairs(one) for one in crystals])
    expected = [float(one.uncertainty) for one in solids if one.uncertainty is not None]
    np.testing.assert_allclose(found["uncertainty_ev"], expected, rtol=1e-4)
    assert (found["uncertainty_ev"] > RULE.floor_ev).all()
    assert np.isnan(members[0]["uncertainty_ev"]).all()


def test_the_recipe_is_what_the_model_is_trained_on() -> None:
    recipe = HAMILTONIAN_RECIPE
    assert (recipe.graph.rule, recipe.graph.reach, recipe.graph.cutoff) == ("bonds", REACH, REACH_ANGSTROM)
    assert recipe.mesh == HAMILTONIAN_MESH  # which filling takes in training


@pytest.fixture(scope="module")
def traced() -> onnx.ModelProto:
    """Of the ensemble; it takes half a minute."""
    return trace(DenseHamiltonian(together()).eval(), n_slots=HAMILTONIAN_RECIPE.graph.n_neighbors)


@pytest.fixture(scope="module")
def session(traced: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(traced.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crystals", "least"),
    [
        ([ALUMINIUM], {}),
        ([SILICON], {"n_atoms": 2, "n_slots": 200}),
        (SMALL_CRYSTALS, {"n_atoms": 11}),
        ([TRICLINIC] * 4, {}),
    ],
    ids=["one atom", "many slots", "five crystals", "four times the same"],
)
def test_shapes_never_seen_when_tracing_agree_with_torch(
    session: onnxruntime.InferenceSession, crystals: Sequence[Crystal], least: dict[str, int]
) -> None:
    inputs, _ = batch_of(crystals, **least)
    found = dict(zip(HAMILTONIAN_NAMES, session.run(list(HAMILTONIAN_NAMES), inputs), strict=True))
    assert_same(found, run(together(), inputs))


@pytest.mark.slow
def test_the_graph_is_portable_and_has_the_names_and_axes_of_the_contract(traced: onnx.ModelProto) -> None:
    onnx.checker.check_model(traced, full_check=True)
    assert {node.op_type for node in traced.graph.node} <= PORTABLE_OPS | {"Pad", "Less"}
    named = {"B": "batch", "N": "atoms", "D": "slots", "M": "mesh", "K": HAMILTONIAN_RECIPE.kpath.n_kpoints}
    tensors = (*(TENSORS[name] for name in NETWORK_INPUTS), *HAMILTONIAN)
    expected = {one.name: [named[dim] if isinstance(dim, str) else dim for dim in one.dims] for one in tensors}
    found = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*traced.graph.input, *traced.graph.output]
    }
    assert found == expected
    assert list(found) == [*NETWORK_INPUTS, *HAMILTONIAN_NAMES]
