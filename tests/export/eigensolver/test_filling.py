"""The Fermi level, the gap and the window in the graph, from bands that are made up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.contract import N_ORBITALS, NOWHERE
from bandrt.hamiltonian.filling import KEPT, fermi_level
from bandrt.manifest import BandRule
from tests.support.given_hamiltonians import run

if TYPE_CHECKING:
    from onnx import ModelProto

N_KPOINTS, N_MESH, N_BANDS, N_VALENCE = 5, 40, 4, 2
SMEARING_EV = 0.12
TOLERANCE_EV = 1e-4
"""fp32, and half of the last interval."""


@cache
def chooser() -> ModelProto:
    import onnx
    from onnx import TensorProto, helper

    from bandrt_export.eigensolver.filling import occupation, window
    from bandrt_export.eigensolver.graph import Graph

    graph = Graph.new("")
    occupied = occupation(
        graph.value("electrons"), graph.value("on_site"), graph.value("flat_levels"), N_ORBITALS, NOWHERE / 2.0, KEPT
    )
    chosen = window(
        graph.value("energies"),
        graph.value("weights"),
        occupied,
        n_kpoints=N_KPOINTS,
        rule=BandRule(N_BANDS, N_VALENCE),
        smearing_ev=SMEARING_EV,
    )
    graph.nodes.append(helper.make_node("Identity", [chosen.name], ["chosen"]))
    shapes: dict[str, list[Any]] = {
        "electrons": ["B"],
        "on_site": ["B", "N", N_ORBITALS, N_ORBITALS],
        "flat_levels": ["B", "N", N_ORBITALS],
        "energies": ["B", "K", 2 * KEPT],
        "weights": ["B", "M"],
    }
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, ["B", N_BANDS, N_KPOINTS])]
    body = helper.make_graph(graph.nodes, "filling", inputs, outputs, list(graph.constants.tensors.values()))
    proto = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def choose(path: NDArray[Any], mesh: NDArray[Any], weights: NDArray[Any], electrons: float = 36.0) -> NDArray[Any]:
    """The window (N_BANDS, N_KPOINTS) of four atoms, whose 18th band of 36 is the last that 36 electrons fill."""
    batch = {
        "electrons": np.array([electrons]),
        "on_site": np.zeros((1, 4, N_ORBITALS, N_ORBITALS)),
        "flat_levels": np.full((1, 4, N_ORBITALS), NOWHERE),
        "energies": np.concatenate([path, mesh])[None],
        "weights": weights[None],
    }
    [chosen] = run(chooser(), {name: values.astype(np.float32) for name, values in batch.items()})
    return np.asarray(chosen[0])


def made_up(seed: int, gap: float, width: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Bands on path and mesh, (K, 2 * KEPT) and (M, 2 * KEPT) eV, with a gap of so much were they flat, and weights."""
    rng = np.random.default_rng(seed)
    centres = np.linspace(-8.0, 9.0, 2 * KEPT)
    centres[KEPT:] += gap - (centres[KEPT] - centres[KEPT - 1])
    energies = np.sort(centres + width * rng.uniform(-0.5, 0.5, (N_KPOINTS + N_MESH, 2 * KEPT)), axis=1)
    weights = rng.uniform(0.5, 2.0, N_MESH)
    return energies[:N_KPOINTS], energies[N_KPOINTS:], weights / weights.sum()


def level_of(mesh: NDArray[Any], weights: NDArray[Any], electrons: float) -> float:
    """The level by the runtime's search, electrons of these bands."""
    return float(fermi_level(mesh, weights, electrons, SMEARING_EV))


def within(level: float, path: NDArray[Any], mesh: NDArray[Any], electrons: float) -> float:
    """The level, moved to where it lies without smearing: in the overlap of the halves, or in the last band of an odd number."""
    both = np.concatenate([path, mesh])
    low, high = both[:, KEPT].min(), both[:, KEPT - 1].max()
    if electrons % 2:
        low, high = path[:, KEPT - 1].min(), path[:, KEPT - 1].max()
    margin = min(0.002, 0.5 * (high - low))
    return float(min(max(level, low + margin), high - margin))


@pytest.mark.parametrize("electrons", [35.0, 36.0])
def test_the_zero_is_where_it_would_be_without_smearing_where_bands_are_narrow(electrons: float) -> None:
    k = np.linspace(-0.5, 0.5, N_KPOINTS + N_MESH)
    bands = np.linspace(-8.0, 9.0, 2 * KEPT) + np.zeros((len(k), 1))
    bands[:, KEPT - 1], bands[:, KEPT] = 0.01 - 0.03 * k**2, -0.01 + 9.0 * k**2
    path, mesh, weights = bands[::9], np.delete(bands, np.s_[::9], 0), np.full(N_MESH, 1 / N_MESH)
    smeared = level_of(mesh, weights, 2.0 * KEPT - (36.0 - electrons))
    level = within(smeared, path, mesh, electrons)
    assert abs(level - smeared) > 0.02
    n_nonempty = KEPT + int((path[:, KEPT:].min(axis=0) - level < -0.001).sum())
    expected = (path - level).T[n_nonempty - N_VALENCE :][:N_BANDS]
    np.testing.assert_allclose(choose(path, mesh, weights, electrons), expected, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize(("electrons", "gap"), [(36.0, 0.2), (36.0, -1.0), (35.0, 1.0), (35.0, -2.0)])
@pytest.mark.parametrize("seed", range(4))
def test_the_zero_of_a_metal_is_the_level_that_the_runtime_finds(seed: int, electrons: float, gap: float) -> None:
    path, mesh, weights = made_up(seed, gap, width=1.5)
    level = within(level_of(mesh, weights, 2.0 * KEPT - (36.0 - electrons)), path, mesh, electrons)
    n_nonempty = KEPT + int((path[:, KEPT:].min(axis=0) < level).sum())
    expected = (path - level).T[n_nonempty - N_VALENCE :][:N_BANDS]
    np.testing.assert_allclose(choose(path, mesh, weights, electrons), expected, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_zero_of_an_insulator_is_the_middle_of_the_gap_of_the_path(seed: int) -> None:
    path, mesh, weights = made_up(seed, 2.0, width=1.0)
    middle = 0.5 * (path[:, KEPT - 1].max() + path[:, KEPT].min())
    expected = (path - middle).T[KEPT - N_VALENCE :][:N_BANDS]
    np.testing.assert_allclose(choose(path, mesh, weights), expected, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("gap", [1.0, 1.5, 2.0])
def test_the_level_is_found_in_a_gap_of_the_mesh_though_few_electrons_are_left_there(gap: float) -> None:
    """The bands overlap on the path alone. In fp32, 36 electrons and 1e-9 are 36."""
    path, mesh, weights = made_up(0, gap, width=0.1)
    path = path.copy()
    bottom, top = path[1, KEPT], path[1, KEPT - 1]
    path[0, KEPT - 1 : KEPT + 1] = bottom, bottom + 0.5
    path[2, KEPT - 1 : KEPT + 1] = top - 0.5, top
    level = level_of(mesh, weights, 2.0 * KEPT)
    assert mesh[:, KEPT - 1].max() + 0.3 < level < mesh[:, KEPT].min() - 0.3
    assert within(level, path, mesh, 36.0) == level
    found = choose(path, mesh, weights)
    expected = (path - level).T[KEPT + 1 - N_VALENCE :][:N_BANDS]
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=0)


def test_points_of_no_weight_are_none() -> None:
    path, mesh, weights = made_up(1, 0.2, width=1.5)
    beyond = np.concatenate([mesh, np.tile(np.linspace(-50.0, 50.0, 2 * KEPT), (3, 1))])
    padded = np.concatenate([weights, np.zeros(3)])
    np.testing.assert_array_equal(choose(path, beyond, padded), choose(path, mesh, weights))
    insulator, mesh, weights = made_up(1, 2.0, width=1.0)
    crossing = np.concatenate([mesh, np.full((1, 2 * KEPT), 30.0)])  # it would close the gap
    found = choose(insulator, crossing, np.append(weights, 0.0))
    np.testing.assert_array_equal(found, choose(insulator, mesh, weights))


@pytest.mark.parametrize(
    ("electrons", "there"), [(2.0, False), (4.0, True), (68.0, True), (70.0, False), (0.0, False), (72.0, False)]
)
def test_a_window_that_reaches_beyond_the_bands_is_no_number(electrons: float, there: bool) -> None:
    path, mesh, weights = made_up(2, 2.0, width=1.0)
    assert np.isfinite(choose(path, mesh, weights, electrons)).all() == there
    assert np.isnan(choose(path, mesh, weights, electrons)).all() != there


def test_a_metal_of_too_many_bands_above_half_filling_is_no_number() -> None:
    """The window would begin above the last of the bands that are solved for."""
    path, mesh, weights = made_up(3, -1.0, width=1.0)
    low = path.copy()
    low[0] = np.linspace(-30.0, -29.0, 2 * KEPT)
    assert np.isnan(choose(low, mesh, weights)).all()
