"""fp16 stands in the graph where it should, is really computed by the gate, and costs next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import bandrt_export.onnx
from bandrt.batch import pad
from bandrt.contract import REQUIRED_INPUTS
from bandrt.engine.onnx.session import OnnxSession
from bandrt_export.cli.export import command
from bandrt_export.errors import ExportError
from bandrt_export.half import PRODUCTS, half_products, with_half_products, with_rounding_spelled_out
from bandrt_export.onnx import export_onnx
from tests.support.small_models import real_features

MEAN_LIMIT_EV, GAP_LIMIT_EV = 5e-3, 20e-3
"""What half precision may cost on real crystals."""


@pytest.fixture
def copied(exported: Any) -> onnx.ModelProto:
    """The small model's graph, with the exporter's notes, free to change."""
    copy = onnx.ModelProto()
    copy.CopyFrom(exported.traced)
    return copy


def weights_of(proto: onnx.ModelProto, kind: int) -> set[str]:
    return {tensor.name for tensor in proto.graph.initializer if tensor.data_type == kind}


def test_products_are_half_and_everything_else_is_not(half_engine: Path) -> None:
    proto = onnx.shape_inference.infer_shapes(onnx.load(half_engine), strict_mode=True)
    onnx.checker.check_model(proto, full_check=True)
    graph = proto.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    takes_half = {node.op_type for node in graph.node if any(kinds.get(name) == TensorProto.FLOAT16 for name in node.input)}
    assert takes_half == {"Cast", *({node.op_type for node in graph.node} & PRODUCTS)}
    in_full = [node for node in graph.node if node.op_type in PRODUCTS and kinds[node.input[0]] == TensorProto.FLOAT]
    assert {name.split(".")[0] for node in in_full for name in node.input if "." in name} == {"node_features", "heads"}
    n_products = sum(node.op_type in PRODUCTS for node in graph.node)
    assert half_products(proto) == n_products - len(in_full) > len(in_full) > 0


def test_inputs_outputs_biases_and_normalisation_stay_fp32(half_engine: Path) -> None:
    proto = onnx.load(half_engine)
    assert not any(v.type.tensor_type.elem_type == TensorProto.FLOAT16 for v in [*proto.graph.input, *proto.graph.output])
    assert not [name for name in weights_of(proto, TensorProto.FLOAT16) if "bias" in name or "norm" in name or "heads" in name]


def test_weights_are_rounded_once_and_kept_once(half_engine: Path, exported: Any) -> None:
    proto = onnx.load(half_engine)
    used = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= used
    assert half_engine.stat().st_size < 0.9 * exported.engine.stat().st_size


def test_an_fp16_engine_runs_on_the_cpu_and_passed_its_gate(half_engine: Path, exported: Any) -> None:
    with OnnxSession(half_engine) as session:
        manifest = session.manifest
        outputs = session.run(pad(real_features()[:3], batch_size=4, n_atoms=9))
    assert all(np.isfinite(output).all() for output in outputs.values())
    assert manifest.precision == "fp16"
    parity = manifest.parity
    assert parity is not None
    assert (parity.limit_ev, parity.mean_limit_ev, parity.gap_limit_ev) == (None, MEAN_LIMIT_EV, GAP_LIMIT_EV)
    assert parity.mean_energy_error_ev < MEAN_LIMIT_EV
    assert parity.max_gap_change_ev < GAP_LIMIT_EV
    assert parity.max_energy_error_ev > 3 * exported.manifest.parity.max_energy_error_ev, "no rounding was measured"


def test_the_gate_computes_what_fp16_hardware_does(exported: Any, copied: onnx.ModelProto) -> None:
    half = with_half_products(copied, full_precision=["node_features", "heads"])
    rounded = with_rounding_spelled_out(half)
    batch = pad(real_features()[:2])
    feeds = {name: batch[name] for name in REQUIRED_INPUTS}

    def energies(proto: onnx.ModelProto) -> Any:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(["band_energies"], feeds)[0]

    exact, expected = energies(exported.traced), ReferenceEvaluator(half).run(["band_energies"], feeds)[0]
    lost = np.abs(expected - exact).mean()
    # numpy sums in fp16 where hardware sums in fp32: the same size of error, not the same error
    assert 0.5 * lost < np.abs(energies(rounded) - exact).mean() < 2.0 * lost


def test_a_product_is_rounded_before_and_after() -> None:
    x, w = np.array([[1 + 2**-13, 3.0]], np.float32), np.array([[1.0], [2**-11]], np.float16)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["x_half"], to=TensorProto.FLOAT16),
            helper.make_node("MatMul", ["x_half", "w"], ["y_half"]),
            helper.make_node("Cast", ["y_half"], ["y"], to=TensorProto.FLOAT),
        ],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(w, "w")],
    )
    rounded = with_rounding_spelled_out(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    session = onnxruntime.InferenceSession(rounded.SerializeToString(), providers=["CPUExecutionProvider"])
    [[[y]]] = session.run(None, {"x": x})
    assert y == np.float16(np.float32(1.0) + 3 * np.float32(2**-11))


def test_a_bias_is_added_in_fp32(copied: onnx.ModelProto) -> None:
    with_bias = {node.output[0]: node.input[2] for node in copied.graph.node if node.op_type == "Gemm" and len(node.input) == 3}
    half = with_half_products(copied, full_precision=["node_features", "heads"])
    added = {node.output[0]: node.input[1] for node in half.graph.node if node.op_type == "Add"}
    kept = {node.output[0]: node.input[2] for node in half.graph.node if node.op_type == "Gemm" and len(node.input) == 3}
    assert with_bias
    assert with_bias.items() <= (added | kept).items()
    assert all(name.startswith(("node_features", "heads")) for name in kept.values())


def test_a_graph_whose_halves_overflow_is_refused(exported: Any, copied: onnx.ModelProto, tmp_path: Path) -> None:
    [tensor] = [one for one in copied.graph.initializer if one.name == "encoder.layers.0.attention.value.weight"]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1e6, tensor.name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: copied)
        with pytest.raises(ExportError) as refused:
            export_onnx(exported.checkpoint, tmp_path / "model.onnx", precision="fp16")
    assert refused.value.code == "parity-failed"
    assert not list(tmp_path.iterdir())


def test_the_command_exports_in_half(exported: Any, copied: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: copied)
        arguments = [str(exported.checkpoint), "-o", str(tmp_path / "model.onnx"), "--precision", "fp16", "-q"]
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert ", fp16, opset 20" in result.stdout
    assert "(limit 0.005), gaps within" in result.stdout


def test_a_limit_of_ones_own_is_judged_too(exported: Any, copied: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandrt_export.onnx, "trace", lambda dense, *, n_slots: copied)
        with pytest.raises(ExportError, match=r"by up to .* the limit is 1e-09 eV"):
            export_onnx(exported.checkpoint, tmp_path / "model.onnx", precision="fp16", limit_ev=1e-9)
