"""The exported file computes what torch computes, at any shape, and says what it is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import closing
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
from bandrt.contract import REQUIRED_INPUTS
from bandrt.engine import read_manifest
from bandrt.engine.onnx.file import CHECKSUM_KEY
from bandrt.engine.onnx.session import OnnxSession
from bandrt.errors import OutputError
from bandrt.files import file_sha256
from bandrt.manifest import METADATA_KEY, BandRule, Manifest
from bandrt_export.cli.export import command
from bandrt_export.dense.bandformer import DENSE, DenseBands
from bandrt_export.errors import ExportError
from bandrt_export.onnx import OPSET, export_onnx, trace, without_traces
from bandrt_export.parity import BATCH_SIZES
from bandrt_train.model.bandformer import Bandformer
from bandrt_train.model.graphs import to_batch
from tests.support.small_models import RECIPE, real_features

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE_EV = 1e-5
"""fp32 rounding on energies of a few eV, in another order of operations."""
CONTRACT = {
    "atomic_numbers": ("INT32", ["batch", "atoms"]),
    "neighbor_index": ("INT32", ["batch", "atoms", 12]),
    "neighbor_distance": ("FLOAT", ["batch", "atoms", 12]),
    "neighbor_mask": ("BOOL", ["batch", "atoms", 12]),
    "atom_mask": ("BOOL", ["batch", "atoms"]),
    "kpoints": ("FLOAT", ["batch", 48, 3]),
    "band_energies": ("FLOAT", ["batch", 6, 48]),
    "band_center": ("FLOAT", ["batch", 6]),
    "band_dispersion": ("FLOAT", ["batch", 6, 48]),
}
PORTABLE_OPS = set(
    "Add Cast Clip Concat Constant Cos Div Exp Expand Flatten Gather Gelu Gemm LayerNormalization MatMul Max Min Mul Neg Pow Range"
    " ReduceMean ReduceSum Reshape Shape Sin Slice Softmax Split Squeeze Sub Transpose Unsqueeze Where".split()
)
"""Operations that ONNX Runtime, TensorRT and TensorRT-RTX all take; no scatter, no DFT, no fused attention."""


@pytest.fixture
def session(exported: Any) -> Iterator[OnnxSession]:
    with closing(OnnxSession(exported.engine, whole_batches=True)) as opened:
        yield opened


def reference_energies(model: Bandformer, features: list[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(model(to_batch(features)).energies)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((1,), {}),
        ((2, 7, 10), {"n_atoms": 17}),
        ((40,), {}),
        ((3,) * 5, {"batch_size": 8, "n_atoms": 3}),
        ((1, 40), {"n_atoms": 64}),
    ],
)
def test_shapes_never_seen_when_tracing_agree_with_torch(
    exported: Any, session: OnnxSession, sizes: tuple[int, ...], shape: dict[str, int]
) -> None:
    by_size = {len(one.atomic_numbers): one for one in real_features()}
    features = [by_size[size] for size in sizes]
    outputs = session.run(pad(features, **shape))
    assert all(np.isfinite(output).all() for output in outputs.values())
    with torch.no_grad():
        expected = exported.model(to_batch(features))
    n = len(features)
    np.testing.assert_allclose(outputs["band_energies"][:n], expected.energies, atol=TOLERANCE_EV, rtol=0)
    np.testing.assert_allclose(outputs["band_center"][:n], expected.center, atol=TOLERANCE_EV, rtol=0)
    np.testing.assert_allclose(outputs["band_dispersion"][:n], expected.dispersion, atol=TOLERANCE_EV, rtol=0)


def test_a_batch_of_nothing_but_padding_is_finite(session: OnnxSession) -> None:
    batch = {name: np.zeros_like(array) for name, array in pad(real_features()[:3]).items()}
    assert all(np.isfinite(output).all() for output in session.run(batch).values())


def test_names_types_and_axes_are_those_of_the_graph_contract(exported: Any) -> None:
    graph = onnx.load(exported.engine).graph
    found = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
        )
        for value in [*graph.input, *graph.output]
    }
    assert found == CONTRACT
    assert list(found) == [*REQUIRED_INPUTS, *DenseBands._fields]


def test_the_graph_is_plain_onnx_in_one_file(exported: Any) -> None:
    model = onnx.load(exported.engine, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert {node.op_type for node in model.graph.node} <= PORTABLE_OPS
    assert not model.functions
    assert {tensor.data_location for tensor in model.graph.initializer} == {onnx.TensorProto.DEFAULT}
    assert os.listdir(exported.engine.parent) == [exported.engine.name]


def test_the_file_names_no_place_or_time_of_its_making(exported: Any) -> None:
    content = exported.engine.read_bytes()
    assert not [trace for trace in (str(ROOT).encode(), b"site-packages", b".py", b"stack_trace") if trace in content]


def test_the_manifest_inside_says_what_the_engine_is(exported: Any) -> None:
    entries = {entry.key: entry.value for entry in onnx.load(exported.engine).metadata_props}
    assert set(entries) == {METADATA_KEY, CHECKSUM_KEY}
    manifest = Manifest.from_json(entries[METADATA_KEY])
    assert manifest == exported.manifest
    assert manifest.checkpoint_sha256 == file_sha256(exported.checkpoint)
    assert manifest.recipe == RECIPE
    assert manifest.bands == BandRule()
    assert manifest.model["edge_values"] is True
    assert manifest.training.elements == ("O", "Si")
    assert manifest.backend.opset == OPSET
    assert manifest.parity is not None
    assert manifest.parity.n_crystals == len(real_features())
    assert manifest.parity.batch_sizes == BATCH_SIZES
    assert manifest.parity.max_energy_error_ev < TOLERANCE_EV


@pytest.fixture
def traced(exported: Any, monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """The exported graph, given to every export of this test instead of tracing it again."""
    proto = onnx.load(exported.engine)
    monkeypatch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: proto)
    return proto


@pytest.mark.parametrize(
    "parameter", ["heads.center.2.bias", "encoder.layers.0.feed_forward.3.weight", "decoder.layers.0.self_attention.out.bias"]
)
def test_a_damaged_engine_is_refused_and_leaves_nothing(
    exported: Any, traced: onnx.ModelProto, tmp_path: Path, parameter: str
) -> None:
    [tensor] = [one for one in traced.graph.initializer if one.name == parameter]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.05
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, parameter))
    with pytest.raises(ExportError, match=r"by up to [\d.]+ eV on 24 crystals, the limit is 0\.0001 eV") as refused:
        export_onnx(exported.checkpoint, tmp_path / "model.onnx")
    assert refused.value.code == "parity-failed"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("traced")
def test_an_engine_that_was_there_survives_a_failed_export(exported: Any, tmp_path: Path) -> None:
    engine = tmp_path / "model.onnx"
    engine.write_bytes(b"the old one")
    with pytest.raises(ExportError, match="1e-12"):
        export_onnx(exported.checkpoint, engine, limit_ev=1e-12)
    assert engine.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_a_place_that_cannot_be_written_is_found_out_first(exported: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, code in ((tmp_path, "output-not-a-file"), (tmp_path / "file" / "model.onnx", "output-unwritable")):
        with pytest.raises(OutputError) as refused:
            export_onnx(exported.checkpoint, place)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "code"), [("old.onnx", "output-exists"), ("old.plan", "output-exists"), ("old.onnx/x.onnx", "output-unwritable")]
)
def test_the_command_refuses_a_bad_place_before_it_reads_anything(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(*_: object, **__: object) -> None:
        pytest.fail("it began to work")

    monkeypatch.setattr("bandrt_export.onnx.load_any_checkpoint", reads)
    for old in ("old.onnx", "old.plan.json", "model.ckpt"):
        (tmp_path / old).write_text("the old one")
    arguments = [str(tmp_path / "model.ckpt"), "-o", str(tmp_path / name), "--backend", "tensorrt-rtx"]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, OutputError)
    assert result.exception.code == code


@pytest.mark.usefixtures("traced")
def test_an_export_says_how_far_its_comparison_is(exported: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    export_onnx(exported.checkpoint, tmp_path / "model.onnx", on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {told[-1][0]}


@pytest.mark.usefixtures("traced")
def test_an_engine_is_replaced_when_asked(exported: Any, tmp_path: Path) -> None:
    engine = tmp_path / "model.onnx"
    engine.write_text("the old one")
    result = CliRunner().invoke(command, [str(exported.checkpoint), "-o", str(engine), "--overwrite"], catch_exceptions=False)
    assert result.exit_code == 0
    assert read_manifest(engine).variant == "paper"


@pytest.mark.usefixtures("traced")
def test_the_command_prints_what_it_wrote(exported: Any, tmp_path: Path) -> None:
    engine = tmp_path / "new" / "model.onnx"
    result = CliRunner().invoke(command, [str(exported.checkpoint), "-o", str(engine)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "paper model, 6 bands at 48 k-points" in result.stdout
    assert "trained on 12 crystals of 2 elements PBE" in result.stdout
    assert "parity with PyTorch Geometric" in result.stdout
    assert engine.is_file()


def test_the_command_names_what_it_can_not_write(exported: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(exported.checkpoint), "-o", str(tmp_path / "model.pt")])
    assert result.exit_code == 2
    assert "*.onnx or *.plan" in result.stderr
    assert not list(tmp_path.iterdir())


def test_tracing_again_gives_the_same_graph_and_no_warning(exported: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = without_traces(trace(DENSE["paper"].from_reference(exported.model), n_slots=12))
    assert again.graph.SerializeToString(deterministic=True) == onnx.load(exported.engine).graph.SerializeToString(
        deterministic=True
    )
