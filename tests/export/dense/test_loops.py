"""The exported bloch model is the reference model: same parameters, same numbers, whatever the padding, in torch and in ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch

import bandrt
from bandrt.batch import pad
from bandrt.engine import read_manifest
from bandrt.engine.onnx.session import OnnxSession
from bandrt.features import Features
from bandrt.manifest import BandRule, TrainingDomain
from bandrt_export.dense.bandformer import DENSE, DenseBloch
from bandrt_export.dense.loops import DenseBonds, DenseLoops, memberships
from bandrt_export.dense.reading import PooledReading
from bandrt_export.onnx import trace
from bandrt_export.parity import HALF_LIMITS
from bandrt_export.plan.build import build_plan
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.model.bandformer import Bandformer, BlochBandformer
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.loops import LoopReading, SparseBonds
from tests.export.conftest import export_traced
from tests.support.random_graphs import random_features
from tests.support.small_models import BLOCH, BLOCH_RECIPE, PORTABLE_OPS, bloch_features, isolated, perturbed

TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV, summed in another order."""
SHRINK = 0.5
"""Of parameters that were perturbed: loops multiply, and energies of hundreds of eV would leave no digits to compare."""


def small(kpoint_encoding: bool, stride: int = 1) -> BlochBandformer:
    model = perturbed(replace(BLOCH, kpoint_encoding=kpoint_encoding, kpoint_stride=stride))
    assert isinstance(model, BlochBandformer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(SHRINK)
    return model


def inputs(batch: dict[str, Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(batch[name]) for name in DenseBloch.inputs]


def assert_equal(model: Bandformer, features: list[Features], **shape: int) -> None:
    dense = DenseBloch.from_reference(model)
    with torch.no_grad():
        expected, found = model(to_batch(features)), dense(*inputs(pad(features, **shape)))
    n = len(features)
    assert all(torch.isfinite(output).all() for output in found)
    torch.testing.assert_close(found.band_energies[:n], expected.energies, atol=TOLERANCE_EV, rtol=0)
    torch.testing.assert_close(found.band_center[:n], expected.center, atol=TOLERANCE_EV, rtol=0)
    torch.testing.assert_close(found.band_dispersion[:n], expected.dispersion, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize(("kpoint_encoding", "stride"), [(False, 1), (True, 1), (True, 2)])
def test_dense_and_reference_agree_on_real_and_random_crystals(kpoint_encoding: bool, stride: int) -> None:
    model = small(kpoint_encoding, stride)
    assert_equal(model, bloch_features())
    rng = np.random.default_rng(0)
    for sizes in ((1,), (1, 2, 30), (17, 5, 5, 1)):
        assert_equal(model, [random_features(rng, n, like=bloch_features()[0], farthest_image=3) for n in sizes])


def test_padding_changes_nothing_and_gives_finite_numbers() -> None:
    model, features = small(True), bloch_features()[2:9:2]
    for shape in ({"n_atoms": 31}, {"batch_size": 7}, {"n_atoms": 50, "batch_size": 5, "n_slots": 34}):
        assert_equal(model, features, **shape)


def test_what_padding_holds_does_not_matter() -> None:
    dense = DenseBloch.from_reference(small(True))
    batch = pad(bloch_features()[5:8], n_atoms=20)
    dirty = {name: array.copy() for name, array in batch.items()}
    atoms, mask = batch["atom_mask"], batch["neighbor_mask"]
    dirty["atomic_numbers"][~atoms] = 77
    dirty["neighbor_index"][~mask] = 19
    dirty["neighbor_distance"][~mask] = 3.0
    dirty["neighbor_image"][~mask] = 2
    with torch.no_grad():
        for found, expected in zip(dense(*inputs(dirty)), dense(*inputs(batch)), strict=True):
            torch.testing.assert_close(found, expected, atol=TOLERANCE_EV, rtol=0)


def test_isolated_atoms_agree() -> None:
    features = bloch_features()
    assert_equal(small(True), [isolated(features[0]), features[4], isolated(features[7])])


def test_loops_of_two_slots_to_one_neighbour_interfere() -> None:
    """One atom with two images of itself at the same distance: at the zone boundary of one of them their hoppings cancel."""
    config = ModelConfig(d_model=12, n_heads=2, n_hoppings=1, n_gaussians=4, variant="bloch")
    loops = DenseLoops(config)
    nodes, gaussians, distance = torch.ones(1, 12), torch.ones(1, 2, 4), torch.full((1, 2), 2.5)
    turns = torch.tensor([[[0.0, 0.5], [0.0, 1.0]]])
    bonds = DenseBonds(torch.zeros(1, 2, dtype=torch.int64), gaussians, distance, torch.ones(1, 2, dtype=torch.bool), turns, 1)
    with torch.no_grad():
        (one_step, amplitude) = loops(nodes, bonds)[0]  # each at Γ and at the boundary
        hopping = loops.hoppings(loops.distance(gaussians) + loops.center(nodes) + loops.neighbor(nodes), distance)[0, 0, 0]
    torch.testing.assert_close(one_step, torch.stack([2 * hopping, 0 * hopping]), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(amplitude, torch.sqrt(one_step**2 + 1e-4), atol=1e-6, rtol=1e-6)
    assert SparseBonds._fields[1:3] == DenseBonds._fields[1:3]


def test_slots_are_grouped_by_the_neighbour_they_lead_to() -> None:
    neighbor = torch.tensor([[7, 3, 7, 9, 3, 9], [2, 2, 2, 2, 2, 2]])
    present = torch.tensor([[1.0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
    first, none = memberships(neighbor, present, 3) * present.unsqueeze(1)
    assert first.tolist() == [[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]
    assert not none.any()


def test_the_rearranged_reading_is_the_trained_one() -> None:
    torch.manual_seed(0)
    reading = LoopReading(replace(BLOCH, dropout=0.0)).eval()
    torch.nn.init.normal_(reading.bands.weight)  # zero in a fresh model
    nodes, loops, mask = (
        torch.randn(3, 5, BLOCH.d_model),
        torch.randn(3, 5, 7, 2 * BLOCH.n_hoppings),
        torch.ones(3, 5, dtype=torch.bool),
    )
    mask[1, 2:] = False
    with torch.no_grad():
        expected, found = reading(nodes, loops, mask), PooledReading(reading)(nodes, loops.transpose(2, 3), mask)
    torch.testing.assert_close(found.sequence, expected.sequence, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.deviation, expected.deviation, atol=1e-6, rtol=1e-5)


class Traced(NamedTuple):
    """A small model, the engine made from it, and its graph as it was traced; copy it before changing it."""

    model: BlochBandformer
    engine: Path
    graph: onnx.ModelProto


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("bloch")
    model = small(True, stride=2)
    training = TrainingDomain(n_crystals=12, elements=("O", "Si"), max_atoms=9, functional="PBE")
    save_checkpoint(
        folder / "model.ckpt", model=model, config=model.config, recipe=BLOCH_RECIPE, bands=BandRule(), training=training
    )
    graph = trace(DENSE["bloch"].from_reference(model), n_slots=BLOCH_RECIPE.graph.n_neighbors)
    export_traced(graph, folder / "model.ckpt", folder / "model.onnx")
    return Traced(model, folder / "model.onnx", graph)


@pytest.fixture(scope="module")
def exported(traced: Traced) -> tuple[BlochBandformer, Path]:
    return traced.model, traced.engine


@pytest.mark.slow
def test_the_engine_passed_parity_and_says_that_it_takes_images(exported: tuple[BlochBandformer, Path]) -> None:
    with OnnxSession(exported[1]) as session:
        manifest = session.manifest
    assert manifest.variant == "bloch"
    assert manifest.inputs == DenseBloch.inputs
    assert "neighbor_image" in manifest.inputs
    assert manifest.recipe == BLOCH_RECIPE
    assert manifest.parity is not None
    assert manifest.parity.max_energy_error_ev < TOLERANCE_EV


@pytest.mark.slow
def test_the_engine_uses_only_operations_that_every_backend_takes(exported: tuple[BlochBandformer, Path]) -> None:
    model = onnx.load(exported[1])
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= PORTABLE_OPS


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "shape"), [((1,), {}), ((2, 7, 10), {"n_atoms": 17}), ((1, 40), {"batch_size": 3})])
def test_shapes_never_seen_when_tracing_agree_with_torch(
    exported: tuple[BlochBandformer, Path], sizes: tuple[int, ...], shape: dict[str, int]
) -> None:
    model, engine = exported
    by_size = {len(one.atomic_numbers): one for one in bloch_features()}
    features = [by_size[size] for size in sizes]
    with OnnxSession(engine, whole_batches=True) as session:
        found = session.run(pad(features, **shape))["band_energies"]
    with torch.no_grad():
        expected = model(to_batch(features)).energies
    np.testing.assert_allclose(found[: len(features)], expected, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.slow
def test_a_user_predicts_with_it_like_with_any_engine(exported: tuple[BlochBandformer, Path], examples: Path) -> None:
    with bandrt.load(exported[1]) as engine:
        [result] = engine.predict([examples / "GaAs_mp-8883.cif"])
    assert isinstance(result, bandrt.Prediction)
    assert result.band_structure.energies.shape == (6, 48)


@pytest.mark.slow
def test_bloch_in_half_precision_passes_parity_and_becomes_a_plan(traced: Traced, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    parity = export_traced(traced.graph, traced.engine.with_name("model.ckpt"), half, precision="fp16").parity
    assert parity is not None
    assert parity.mean_energy_error_ev < HALF_LIMITS.mean_energy_ev
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    for model, precision in ((traced.engine, "fp32"), (half, "fp16")):
        output = tmp_path / f"{precision}.plan"
        manifest = build_plan(model, output, backend="tensorrt-rtx", targets=["sm89"], max_atoms=8, max_batch=1)
        assert read_manifest(output) == manifest
        assert manifest.precision == precision
        assert "neighbor_image" in manifest.inputs
