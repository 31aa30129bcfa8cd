"""Half precision, written into the graph: matrix products in fp16, everything else in fp32.

The types stand in the graph itself, so a strongly typed backend has no choice and cannot fall back in silence. Distances, waves,
softmax, normalisation and heads keep fp32: there, rounding costs more than it saves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

PRODUCTS = frozenset({"MatMul", "Gemm"})
SCOPES = "pkg.torch.onnx.name_scopes"
"""The note in which torch's exporter lists the modules around an operation, outermost first."""
MEMBER = re.compile(r"members\.\d+")
"""The modules of an ensemble that are whole models."""


def with_half_products(proto: ModelProto, *, full_precision: Collection[str]) -> ModelProto:
    """Turn the matrix products of a traced graph to fp16.

    Each takes fp16 operands and gives fp32; a bias is added in fp32. What a model multiplies itself and not in one of its modules,
    such as k-points with lattice vectors, stays fp32.

    Args:
        proto: as torch's exporter wrote it, with its notes; changed in place.
        full_precision: names of the modules and constants whose products stay fp32.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    halves: dict[str, str] = {}
    nodes: list[NodeProto] = []

    def half(name: str) -> str:
        """The fp16 twin of a tensor, made where it is first needed: rounded here if it is constant, by a cast if not."""
        if name not in halves:
            halves[name] = f"{name}_half"
            if name in weights:
                with np.errstate(over="ignore"):  # what is too large becomes infinite, and the parity gate refuses that
                    rounded = numpy_helper.to_array(weights[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(rounded, halves[name]))
            else:
                nodes.append(helper.make_node("Cast", [name], [halves[name]], f"{name}_to_half", to=TensorProto.FLOAT16))
        return halves[name]

    for node in graph.node:
        if node.op_type not in PRODUCTS or _stays(node, full_precision):
            nodes.append(node)
            continue
        [result] = node.output
        bias = node.input[2] if len(node.input) > 2 else None
        product = f"{result}_product" if bias else result
        node.input[:] = [half(name) for name in node.input[:2]]
        node.output[:] = [f"{result}_in_half"]
        nodes += [node, helper.make_node("Cast", list(node.output), [product], f"{result}_to_float", to=TensorProto.FLOAT)]
        if bias:
            nodes.append(helper.make_node("Add", [product, bias], [result], f"{result}_bias"))
    graph.ClearField("node")
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)
    return proto


def with_rounding_spelled_out(proto: ModelProto) -> ModelProto:
    """A copy that any backend computes as fp16 hardware does: operands and results rounded to fp16, sums in fp32.

    ONNX Runtime has no fp16 products on most CPUs; it computes them in fp32 and drops the casts around them, so what it says of the
    graph itself is better than what a GPU will say.
    """
    from onnx import ModelProto, TensorProto, helper

    rounded = ModelProto()
    rounded.CopyFrom(proto)
    halves = _halves(proto)
    nodes: list[NodeProto] = []
    for node in rounded.graph.node:
        if node.op_type not in PRODUCTS or not halves.issuperset(node.input):
            nodes.append(node)
            continue
        [result] = node.output
        for place, name in enumerate(node.input):
            node.input[place] = f"{result}_operand_{place}"
            nodes.append(helper.make_node("Cast", [name], [node.input[place]], to=TensorProto.FLOAT))
        node.output[:] = [f"{result}_unrounded"]
        nodes += [node, helper.make_node("Cast", list(node.output), [result], to=TensorProto.FLOAT16)]
    rounded.graph.ClearField("node")
    rounded.graph.node.extend(nodes)
    return rounded


def half_products(proto: ModelProto) -> int:
    """How many matrix products of a graph take fp16 operands."""
    halves = _halves(proto)
    return sum(node.op_type in PRODUCTS and halves.issuperset(node.input) for node in proto.graph.node)


def _halves(proto: ModelProto) -> set[str]:
    """Names of the fp16 constants and of what is cast to fp16."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    return constants | {name for node in proto.graph.node if _casts_to(node, TensorProto.FLOAT16) for name in node.output}


def _stays(node: NodeProto, full_precision: Collection[str]) -> bool:
    """Whether a product stays fp32: it lies in, or takes, what must, or it is a model's own, in none of its modules."""
    notes = {note.key: note.value for note in node.metadata_props}
    model, *modules, _ = ast.literal_eval(notes[SCOPES])
    assert model == ""
    own = not modules or MEMBER.fullmatch(modules[-1]) is not None
    return own or not {*modules, *node.input}.isdisjoint(full_precision)


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(attribute.i == kind for attribute in node.attribute if attribute.name == "to")
