"""Engines made from checkpoints of the released code: golden numbers, any number of slots, conventions, the whole command line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

import bandrt_export.onnx
from bandrt.batch import pad
from bandrt.cli import run
from bandrt.cli.inspect import command as inspect
from bandrt.contract import REQUIRED_INPUTS
from bandrt.engine import read_manifest
from bandrt.engine.onnx.session import OnnxSession
from bandrt.features import Features
from bandrt.manifest import BandRule, Bucket, Manifest, Precision, Profile, TrainingDomain
from bandrt_export.cli.export import command
from bandrt_export.dense.bandformer import DENSE
from bandrt_export.dense.released import DenseReleased, analysis_matrix, synthesis_matrix
from bandrt_export.onnx import export_onnx, trace
from bandrt_export.parity import HALF_LIMITS
from bandrt_export.plan.build import build_plan
from bandrt_export.verify import verify
from bandrt_train.checkpoint import load_checkpoint, save_checkpoint
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.released.config import Conventions
from bandrt_train.model.released.model import ReleasedBandformer
from tests.export.conftest import export_traced
from tests.support.random_graphs import random_features
from tests.support.small_models import (
    RECIPE,
    SMALL_RELEASED,
    isolated,
    perturbed,
    perturbed_released,
    real_features,
    write_released,
)

TOLERANCE_EV = 1e-4
"""fp32 rounding, in another order of operations, on energies of up to 80 eV, as random weights give; the project promises 1e-3."""
PORTABLE_OPS = set(
    "Add And Cast Clip Concat Constant Cos Div Equal Exp Expand Gather Gelu Gemm LayerNormalization LeakyRelu MatMul Max Mul Neg"
    " Not Pow Range ReduceSum Relu Reshape Shape Sin Slice Softmax Split Squeeze Sub Transpose Unsqueeze Where".split()
)
"""Operations that ONNX Runtime, TensorRT and TensorRT-RTX all take; no scatter, no DFT, no fused attention."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A released checkpoint and the engine made from it."""

    model: ReleasedBandformer
    checkpoint: Path
    engine: Path
    manifest: Manifest
    graph: onnx.ModelProto
    """As it was traced; copy it before changing it."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A small one, compiled when it was saved, of which edges run from the centre: slots as needed."""
    folder = tmp_path_factory.mktemp("released")
    model = perturbed_released(replace(SMALL_RELEASED, encoder_layers=1, decoder_layers=1, n_kpoints=128))
    checkpoint = write_released(folder / "ckpt.pt", model, prefix="_orig_mod.")
    engine, conventions = folder / "model.onnx", Conventions(direction="from_center")
    graph = trace(DENSE["released"].from_reference(model), n_slots=conventions.recipe(model.config).graph.n_neighbors)
    manifest = export_traced(graph, checkpoint, engine, conventions=conventions)
    return Exported(model, checkpoint, engine, manifest, graph)


@pytest.fixture
def session(exported: Exported) -> Iterator[OnnxSession]:
    with closing(OnnxSession(exported.engine, whole_batches=True)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_released_checkpoint_becomes_a_plan_of_any_number_of_slots(
    exported: Exported, precision: Precision, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    model, output = exported.engine, tmp_path / "model.plan"
    if precision == "fp16":
        model = tmp_path / "half.onnx"
        conventions = Conventions(direction="from_center")
        half = export_traced(exported.graph, exported.checkpoint, model, precision="fp16", conventions=conventions)
        assert half.parity is not None
        assert half.parity.mean_energy_error_ev < HALF_LIMITS.mean_energy_ev
    manifest = build_plan(model, output, backend="tensorrt-rtx", targets=["sm89"], max_atoms=8, max_batch=2)
    assert read_manifest(output) == manifest
    assert manifest.precision == precision
    buckets = tuple(replace(bucket, scratch_bytes=None) for bucket in manifest.profile.buckets)
    assert replace(manifest.profile, buckets=buckets) == Profile(
        8, 2, max_slots=48, buckets=(Bucket(1, 8, 1, 1), Bucket(1, 8, 2, 2))
    )


def golden_features(golden: Any, number: int) -> Features:
    """A golden structure as features: the edges that arrive at each atom, in slots."""
    speakers, listeners = golden[f"edge_index_{number}"]
    counts = np.bincount(listeners, minlength=len(golden[f"x_{number}"]))
    index = np.zeros((len(counts), counts.max()), np.int32)
    distance, mask = np.zeros(index.shape, np.float32), np.zeros(index.shape, np.bool_)
    taken = np.zeros_like(counts)
    for speaker, listener, length in zip(speakers, listeners, golden[f"edge_len_{number}"], strict=True):
        place = listener, taken[listener]
        index[place], distance[place], mask[place] = speaker, length, True
        taken[listener] += 1
    return replace(
        real_features()[0],
        atomic_numbers=golden[f"x_{number}"].astype(np.int32),
        neighbor_index=index,
        neighbor_distance=distance,
        neighbor_mask=mask,
        neighbor_image=np.zeros((*index.shape, 3), np.int32),
        atom_mask=np.ones(len(counts), np.bool_),
        kpoints=golden[f"kpoints_{number}"],
    )


def dense_energies(dense: DenseReleased, features: Sequence[Features], **shape: int) -> torch.Tensor:
    batch = pad(features, **shape)
    with torch.no_grad():
        return dense(*(torch.from_numpy(batch[name]) for name in REQUIRED_INPUTS)).band_energies


def reference_energies(model: ReleasedBandformer, features: Sequence[Features]) -> torch.Tensor:
    with torch.no_grad():
        return model(to_batch(features)).energies


@pytest.mark.slow
def test_the_engine_gives_the_golden_bands_of_the_released_code(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "released-checkpoint"
    manifest = export_onnx(folder / "ckpt.pt", tmp_path / "model.onnx")
    assert manifest.parity is not None
    assert manifest.parity.max_energy_error_ev < TOLERANCE_EV
    with np.load(folder / "golden.npz") as golden, closing(OnnxSession(tmp_path / "model.onnx")) as session:
        features = [golden_features(golden, number) for number in range(len(golden["bands"]))]
        assert {one.neighbor_index.shape[1] for one in features} > {12}
        together = session.run(pad(features, n_atoms=33, n_slots=23))["band_energies"]
        np.testing.assert_allclose(together, golden["bands"], atol=TOLERANCE_EV, rtol=0)
        for one, expected in zip(features, golden["bands"], strict=True):
            np.testing.assert_allclose(session.run(pad([one]))["band_energies"][0], expected, atol=TOLERANCE_EV, rtol=0)


def test_the_dense_model_gives_the_golden_bands_of_the_released_code(shared: Path) -> None:
    folder = shared / "data" / "released-checkpoint"
    dense = DenseReleased.from_reference(load_checkpoint(folder / "ckpt.pt").build_model())
    with np.load(folder / "golden.npz") as golden:
        features = [golden_features(golden, number) for number in range(len(golden["bands"]))]
        np.testing.assert_allclose(dense_energies(dense, features), golden["bands"], atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("species_index", ["atomic_number", "atomic_number_minus_one"])
def test_dense_and_reference_agree_on_real_and_random_crystals(species_index: Any) -> None:
    model = perturbed_released(replace(SMALL_RELEASED, species_index=species_index))
    dense = DENSE["released"].from_reference(model)
    rng = np.random.default_rng(0)
    for features in (
        real_features()[::3],
        [
            random_features(rng, 1, n_slots=3, heaviest=99),
            random_features(rng, 17, n_slots=30, heaviest=99),
            random_features(rng, 5, n_slots=7, heaviest=99),
        ],
        [isolated(real_features()[4]), real_features()[9]],
    ):
        found = dense_energies(dense, features)
        torch.testing.assert_close(found, reference_energies(model, features), atol=TOLERANCE_EV, rtol=0)


def test_padding_changes_nothing_whatever_it_holds() -> None:
    model = perturbed_released()
    dense = DenseReleased.from_reference(model)
    features = real_features()[5:8]
    expected = reference_energies(model, features)
    found = dense_energies(dense, features, n_atoms=25, n_slots=19, batch_size=5)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:3], expected, atol=TOLERANCE_EV, rtol=0)
    batch = pad(features, n_atoms=25, n_slots=19)
    numbers, index, distance, mask, atoms, kpoints = (torch.from_numpy(batch[name].copy()) for name in REQUIRED_INPUTS)
    numbers[~atoms], index[~mask], distance[~mask] = 77, 24, 3.0
    with torch.no_grad():
        dirty = dense(numbers, index, distance, mask, atoms, kpoints).band_energies
    torch.testing.assert_close(dirty, expected, atol=TOLERANCE_EV, rtol=0)


def test_exchanged_layers_are_noticed() -> None:
    model = perturbed_released()
    dense, features, state = DenseReleased.from_reference(model), real_features()[6:8], model.state_dict()
    for stack in ("encoder.layers", "decoder.layers"):
        other = {f"{stack}.0.": f"{stack}.1.", f"{stack}.1.": f"{stack}.0."}
        exchanged = {
            name: next((state[name.replace(old, new)] for old, new in other.items() if name.startswith(old)), state[name])
            for name in state
        }
        dense.load_state_dict(exchanged)
        assert (dense_energies(dense, features) - reference_energies(model, features)).abs().max() > 100 * TOLERANCE_EV


@pytest.mark.parametrize("n_kpoints", [2, 48, 128])
def test_constant_matrices_are_the_fourier_transforms(n_kpoints: int) -> None:
    config = replace(SMALL_RELEASED, n_kpoints=n_kpoints)
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(n_kpoints, 3))
    modes = np.fft.rfft(waves, axis=0, norm="ortho")
    np.testing.assert_allclose(analysis_matrix(config).numpy() @ waves, np.concatenate([modes.real, modes.imag]), atol=1e-5)
    real, imag = rng.normal(size=(2, 6, config.n_modes))
    bands = np.fft.irfft(real + 1j * np.where(np.arange(config.n_modes) == 0, 0, imag), n=n_kpoints, norm="forward")
    np.testing.assert_allclose(np.concatenate([real, imag], axis=1) @ synthesis_matrix(config).numpy(), bands, atol=1e-4)


@pytest.mark.slow
def test_shapes_never_seen_when_tracing_agree_with_torch(exported: Exported, session: OnnxSession) -> None:
    rng = np.random.default_rng(1)
    kpoints = rng.uniform(-0.5, 0.5, (128, 3)).astype(np.float32)
    for sizes, slots in (((1,), 1), ((2, 40, 3), 31), ((7, 7), 12)):
        features = [replace(random_features(rng, size, n_slots=slots, heaviest=99), kpoints=kpoints) for size in sizes]
        found = session.run(pad(features))["band_energies"]
        np.testing.assert_allclose(found, reference_energies(exported.model, features), atol=TOLERANCE_EV, rtol=0)


@pytest.mark.slow
def test_a_batch_of_nothing_but_padding_is_finite(session: OnnxSession) -> None:
    features = [replace(one, kpoints=np.zeros((128, 3), np.float32)) for one in real_features()[:3]]
    batch = {name: np.zeros_like(array) for name, array in pad(features).items()}
    assert np.isfinite(session.run(batch)["band_energies"]).all()


@pytest.mark.slow
def test_names_types_and_axes_are_those_of_the_graph_contract(exported: Exported) -> None:
    graph = onnx.load(exported.engine).graph
    slots = ["batch", "atoms", "slots"]
    assert {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
        )
        for value in [*graph.input, *graph.output]
    } == {
        "atomic_numbers": ("INT32", slots[:2]),
        "neighbor_index": ("INT32", slots),
        "neighbor_distance": ("FLOAT", slots),
        "neighbor_mask": ("BOOL", slots),
        "atom_mask": ("BOOL", slots[:2]),
        "kpoints": ("FLOAT", ["batch", 128, 3]),
        "band_energies": ("FLOAT", ["batch", 6, 128]),
    }


@pytest.mark.slow
def test_the_graph_is_plain_onnx(exported: Exported) -> None:
    model = onnx.load(exported.engine)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= PORTABLE_OPS
    values: list[NDArray[Any]] = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert all(np.isfinite(value).all() for value in values)


@pytest.mark.slow
def test_the_manifest_says_what_was_assumed_and_what_is_unknown(exported: Exported, session: OnnxSession) -> None:
    manifest = session.manifest
    assert manifest == exported.manifest
    assert manifest.variant == "released"
    assert manifest.outputs == ("band_energies",)
    assert manifest.recipe == Conventions(direction="from_center").recipe(exported.model.config)
    assert manifest.model["species_index"] == "atomic_number"
    assert manifest.training == TrainingDomain()
    assert manifest.parity is not None
    assert manifest.parity.max_energy_error_ev < TOLERANCE_EV
    assert manifest.parity.limit_ev == 1e-3


@pytest.mark.slow
def test_infer_runs_on_real_crystals(exported: Exported, examples: Path, tmp_path: Path) -> None:
    assert run(["infer", "--engine", str(exported.engine), str(examples), "-o", str(tmp_path / "bands"), "--workers", "1"]) == 0
    with (tmp_path / "bands" / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 30
    with np.load(tmp_path / "bands" / "parts" / "part-00000.npz") as part:
        assert part["energies"].shape[1:] == (6, 128)


@pytest.mark.slow
def test_verify_takes_from_the_engine_what_the_checkpoint_leaves_unsaid(exported: Exported) -> None:
    found = verify(exported.engine, exported.checkpoint)
    assert found.passed
    assert found.same_checkpoint
    assert found.own_error_ev is None
    assert found.report.limit_ev == 1e-3


@pytest.mark.slow
def test_verify_takes_a_released_model_saved_as_our_checkpoint(exported: Exported, tmp_path: Path) -> None:
    path, model, manifest = tmp_path / "model.ckpt", exported.model, exported.manifest
    save_checkpoint(path, model=model, config=model.config, recipe=manifest.recipe, bands=manifest.bands, training=TrainingDomain())
    found = verify(exported.engine, path)
    assert found.passed
    assert not found.same_checkpoint


@pytest.fixture
def traced(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exported graph is given to every export of this test instead of tracing it again."""
    proto = onnx.load(exported.engine)
    monkeypatch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: proto)


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_the_command_takes_the_conventions_and_says_what_it_assumed(exported: Exported, tmp_path: Path) -> None:
    engine = tmp_path / "model.onnx"
    options = ["--edges", "from_center", "--frame", "cartesian", "--scheme", "setyawan_curtarolo"]
    result = CliRunner().invoke(command, [str(exported.checkpoint), "-o", str(engine), *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert "released model, 6 bands at 128 k-points" in result.stdout
    assert "trained on data that the checkpoint does not describe" in result.stdout
    assert "edges from_center, k-points cartesian, species by atomic_number, paths setyawan_curtarolo" in result.stdout
    with closing(OnnxSession(engine)) as session:
        assert session.manifest.recipe.graph.direction == "from_center"
        assert session.manifest.recipe.kpath.frame == "cartesian"


@pytest.mark.slow
def test_inspect_says_that_the_training_data_are_unknown(exported: Exported) -> None:
    text = CliRunner().invoke(inspect, [str(exported.engine)], catch_exceptions=False).stdout
    assert "edges from_center" in text
    assert text.count("not said") == 3


def test_conventions_for_a_checkpoint_of_our_own_are_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, path = perturbed(), tmp_path / "model.ckpt"
    save_checkpoint(path, model=model, config=model.config, recipe=RECIPE, bands=BandRule(), training=TrainingDomain())
    assert run(["export", str(path), "-o", str(tmp_path / "model.onnx"), "--edges", "from_center"]) == 2
    assert "conventions-unused" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()
