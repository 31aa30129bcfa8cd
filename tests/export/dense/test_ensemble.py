"""An ensemble becomes one engine: the mean of its members and the error to expect, in fp32, fp16 and as a plan."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from bandrt.batch import pad
from bandrt.cli import run
from bandrt.engine import read_manifest
from bandrt.engine.onnx.session import OnnxSession
from bandrt.features import featurize
from bandrt.manifest import BandRule, EnsembleRule, TrainingDomain
from bandrt_export.dense.bandformer import DENSE, DenseBloch
from bandrt_export.dense.ensemble import DenseEnsemble, dense_of
from bandrt_export.errors import ExportError
from bandrt_export.half import half_products
from bandrt_export.onnx import trace
from bandrt_export.parity import HALF_LIMITS, Limits, compare, packaged_crystals, require
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.model.ensemble import Ensemble
from bandrt_train.model.graphs import to_batch
from tests.export.conftest import export_traced
from tests.support.small_models import (
    BLOCH,
    BLOCH_RECIPE,
    PORTABLE_OPS,
    SMALL,
    SMALL_RELEASED,
    bloch_features,
    perturbed,
    perturbed_released,
    real_features,
)

RULE = EnsembleRule(("first", "second"), floor_ev=0.25, slope=1.5, n_crystals=9)
TINY = replace(
    BLOCH,
    d_model=12,
    n_heads=2,
    encoder_layers=1,
    decoder_layers=1,
    d_feedforward=12,
    n_hoppings=2,
    crystal_counts=False,
    atomic_levels=False,
)
OUTPUTS = ("band_energies", "band_center", "band_dispersion", "uncertainty_ev")
TOLERANCE_EV = 5e-5
"""fp32 rounding on energies of up to tens of eV, in another order of operations; the gate allows twice as much."""


@dataclass(frozen=True, eq=False)
class Made:
    """An ensemble and its engines."""

    model: Ensemble
    checkpoint: Path
    traced: onnx.ModelProto
    """With the exporter's notes."""
    engine: Path
    half: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A tiny ensemble of `bloch`, which takes every input, exported in both precisions; traced once, which takes seconds."""
    folder = tmp_path_factory.mktemp("ensemble")
    model = Ensemble([perturbed(TINY, seed=seed) for seed in range(2)], RULE).eval()
    checkpoint = folder / "ensemble.pt"
    save_checkpoint(checkpoint, model=model, config=TINY, recipe=BLOCH_RECIPE, bands=BandRule(), training=TrainingDomain())
    traced = trace(dense_of(model), n_slots=BLOCH_RECIPE.graph.n_neighbors)
    for name, precision in (("model.onnx", "fp32"), ("half.onnx", "fp16")):
        export_traced(traced, checkpoint, folder / name, precision=precision, crystals=packaged_crystals()[:16])
    return Made(model, checkpoint, traced, folder / "model.onnx", folder / "half.onnx")


@pytest.fixture
def session(made: Made) -> Iterator[OnnxSession]:
    with closing(OnnxSession(made.engine, whole_batches=True)) as opened:
        yield opened


@pytest.mark.parametrize("variant", DENSE)
@torch.no_grad()
def test_the_dense_ensemble_says_what_the_reference_says(variant: str) -> None:
    if variant == "released":
        members: list[Any] = [perturbed_released(SMALL_RELEASED, seed=seed) for seed in range(3)]
    else:
        config = BLOCH if variant == "bloch" else replace(SMALL, variant=variant, n_modes=16)
        members = [perturbed(config, seed=seed) for seed in range(3)]
    model = Ensemble(members, replace(RULE, members=("a", "b", "c"))).eval()
    features = (bloch_features() if variant == "bloch" else real_features())[:6]
    expected = model(to_batch(features))
    dense = dense_of(model)
    assert isinstance(dense, DenseEnsemble)
    batch = pad(features, n_atoms=8, batch_size=7)
    outputs = dict(zip(dense.outputs, dense(*(torch.as_tensor(batch[name]) for name in dense.inputs)), strict=True))
    assert set(outputs) == set(OUTPUTS if variant != "released" else ("band_energies", "uncertainty_ev"))
    assert all(torch.isfinite(output).all() for output in outputs.values())
    largest = float(expected.energies.abs().max())  # perturbed members say up to a hundred eV
    limit = max(dense.parity_limit_ev, 1e-5 * largest)
    np.testing.assert_allclose(outputs["band_energies"][:6], expected.energies, atol=limit)
    np.testing.assert_allclose(outputs["uncertainty_ev"][:6], expected.uncertainty, atol=limit)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "shape"), [((1,), {}), ((2, 7, 10), {"n_atoms": 17}), ((3, 3, 40), {"batch_size": 5})])
def test_shapes_never_seen_when_tracing_agree_with_torch(
    made: Made, session: OnnxSession, sizes: tuple[int, ...], shape: dict[str, int]
) -> None:
    by_size = {len(one.atomic_numbers): one for one in bloch_features()}
    features = [by_size[size] for size in sizes]
    outputs = session.run(pad(features, **shape))
    assert tuple(outputs) == OUTPUTS
    assert all(np.isfinite(output).all() for output in outputs.values())
    with torch.no_grad():
        expected = made.model(to_batch(features))
    for name, wanted in zip(OUTPUTS, (expected.energies, expected.center, expected.dispersion, expected.uncertainty), strict=True):
        np.testing.assert_allclose(outputs[name][: len(features)], wanted, atol=TOLERANCE_EV, rtol=0, err_msg=name)


@pytest.mark.slow
def test_the_graph_is_portable_and_names_its_outputs(made: Made) -> None:
    model = onnx.load(made.engine)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= PORTABLE_OPS | {"Abs"}
    [uncertainty] = [value for value in model.graph.output if value.name == "uncertainty_ev"]
    assert [axis.dim_param for axis in uncertainty.type.tensor_type.shape.dim] == ["batch"]


@pytest.mark.slow
def test_the_manifest_says_how_the_members_are_put_together(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = read_manifest(made.engine)
    assert manifest.ensemble == RULE
    assert manifest.variant == "bloch"
    assert manifest.outputs == OUTPUTS
    assert manifest.parity is not None
    assert manifest.parity.max_uncertainty_change_ev is not None
    assert 0.0 < manifest.parity.max_uncertainty_change_ev <= manifest.parity.max_energy_error_ev < TOLERANCE_EV
    assert run(["inspect", str(made.engine)]) == 0
    text = capsys.readouterr().out
    assert "mean of 2 such models, trained alike: first, second" in text
    assert "0.25 eV + 1.5 times their disagreement, fitted to 9 held-out crystals" in text


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "limits"), [(2e-4, Limits(max_energy_ev=1e-4)), (0.03, HALF_LIMITS)])
def test_the_gate_finds_a_wrong_uncertainty_in_both_precisions(
    made: Made, session: OnnxSession, shift: float, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = session.run
    features = bloch_features()[:5]
    require(compare(made.model, session, features, rule=BandRule(), limits=limits), name="model.onnx")

    def shifted(inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = true(inputs)
        return outputs | {"uncertainty_ev": outputs["uncertainty_ev"] + np.float32(shift)}

    monkeypatch.setattr(session, "run", shifted)
    report = compare(made.model, session, features, rule=BandRule(), limits=limits)
    assert report.max_uncertainty_change_ev == pytest.approx(shift, abs=TOLERANCE_EV)
    with pytest.raises(ExportError) as caught:
        require(report, name="model.onnx")
    assert caught.value.code == "parity-failed"


@pytest.mark.slow
def test_every_member_has_its_products_in_half_where_it_would_have_them_alone(made: Made) -> None:
    graph = onnx.load(made.half).graph
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    first, second = ({name.removeprefix(f"members.{i}.") for name in halves if name.startswith(f"members.{i}.")} for i in range(2))
    assert first == second
    assert any(name.startswith("encoder.") for name in first)
    assert not [name for name in first for full in DenseBloch.full_precision if name.startswith(f"{full}.")]
    assert half_products(onnx.load(made.half)) > 2 * len(first)


@pytest.mark.slow
def test_k_points_meet_lattice_vectors_in_full_precision(made: Made) -> None:
    graph = onnx.load(made.half).graph
    turned = {name for node in graph.node if node.op_type == "Transpose" and "kpoints" in node.input for name in node.output}
    assert turned
    assert {node.op_type for node in graph.node if turned & set(node.input)} == {"MatMul"}  # and no cast to half before it


@pytest.mark.slow
def test_crystals_go_to_a_table_with_their_uncertainty(made: Made, examples: Path, tmp_path: Path) -> None:
    shutil.copy(examples / "AlAs_mp-2172.cif", tmp_path)
    assert run(["infer", "--engine", str(made.engine), str(tmp_path / "AlAs_mp-2172.cif"), "-o", str(tmp_path / "bands")]) == 0
    with (tmp_path / "bands" / "summary.csv").open(encoding="utf-8") as stream:
        [row] = csv.DictReader(stream)
    with torch.no_grad():
        [expected] = made.model(to_batch([featurize(tmp_path / "AlAs_mp-2172.cif", BLOCH_RECIPE)])).uncertainty.tolist()
    assert float(row["uncertainty_ev"]) == pytest.approx(expected, abs=TOLERANCE_EV)
    assert expected > RULE.floor_ev


@pytest.mark.slow
def test_an_ensemble_is_verified_against_its_checkpoint(made: Made, examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crystals = [str(path) for path in sorted(examples.glob("*.cif"))[:3]]
    assert run(["verify", str(made.half), "--against", str(made.checkpoint), *crystals]) == 0
    text = capsys.readouterr().out
    assert "uncertainty  changes by" in text
    assert "passed" in text


@pytest.mark.slow
def test_a_plan_of_an_ensemble_is_built(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    from bandrt_export.plan.build import build_plan

    manifest = build_plan(made.half, tmp_path / "model.plan", backend="tensorrt-rtx", targets=["sm89"], max_atoms=8, max_batch=1)
    assert manifest.ensemble == RULE
    assert manifest.outputs == OUTPUTS
