"""ONNX nodes written as expressions: values that know their graph, and Loops and Scans whose bodies are functions.

A node goes to the innermost body that one of its operands belongs to, so that what does not change within a loop is computed
before it. All constants are initializers of the outermost graph, each value once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT, BOOL = int(TensorProto.FLOAT), int(TensorProto.INT64), int(TensorProto.BOOL)
_DTYPES: dict[int, type[np.generic]] = {FLOAT: np.float32, INT: np.int64, BOOL: np.bool_}
_GIVES_BOOL = frozenset({"And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or"})


@dataclass(eq=False)
class Constants:
    """What the bodies of one graph share: constants, and the numbers in names."""

    prefix: str
    tensors: dict[tuple[str, tuple[int, ...], bytes], TensorProto] = field(default_factory=dict)
    n_names: int = 0

    def name(self, kind: str) -> str:
        """A name that no other node has."""
        self.n_names += 1
        return f"{self.prefix}{kind}_{self.n_names}"

    def find(self, array: NDArray[Any]) -> str:
        """The name of a constant, made when it is first needed."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.tensors:
            self.tensors[key] = numpy_helper.from_array(array, self.name("Constant"))
        return self.tensors[key].name


@dataclass(eq=False)
class Graph:
    """Nodes in the order in which they run."""

    constants: Constants
    depth: int = 0
    nodes: list[NodeProto] = field(default_factory=list)

    @classmethod
    def new(cls, prefix: str) -> Graph:
        """Start an outermost graph, whose names all begin with `prefix`."""
        return cls(Constants(prefix))

    def value(self, name: str, kind: int = FLOAT) -> Value:
        """What another part of the model calls so."""
        return Value(self, name, kind)

    def constant(self, values: Any, kind: int = FLOAT) -> Value:
        """A constant as an operand in this graph."""
        return Value(self, self.constants.find(np.ascontiguousarray(np.asarray(values, _DTYPES[kind]))), kind)

    def inner(self) -> Graph:
        """Start a body within this graph."""
        return Graph(self.constants, self.depth + 1)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a graph.

    Attributes:
        graph: where it is computed.
        name: in ONNX.
        kind: `FLOAT`, `INT`, `BOOL`, or another element type of ONNX.
    """

    graph: Graph
    name: str
    kind: int

    def __add__(self, other: Operand) -> Value:
        return op("Add", self, self._like(other))

    def __sub__(self, other: Operand) -> Value:
        return op("Sub", self, self._like(other))

    def __rsub__(self, other: Operand) -> Value:
        return op("Sub", self._like(other), self)

    def __mul__(self, other: Operand) -> Value:
        return op("Mul", self, self._like(other))

    def __truediv__(self, other: Operand) -> Value:
        return op("Div", self, self._like(other))

    def __matmul__(self, other: Value) -> Value:
        return op("MatMul", self, other)

    def __lt__(self, other: Operand) -> Value:
        return op("Less", self, self._like(other))

    def __le__(self, other: Operand) -> Value:
        return op("LessOrEqual", self, self._like(other))

    def __gt__(self, other: Operand) -> Value:
        return op("Greater", self, self._like(other))

    def __ge__(self, other: Operand) -> Value:
        return op("GreaterOrEqual", self, self._like(other))

    def __and__(self, other: Value) -> Value:
        return op("And", self, other)

    def __or__(self, other: Value) -> Value:
        return op("Or", self, other)

    def __invert__(self) -> Value:
        return op("Not", self)

    def equals(self, other: Operand) -> Value:
        """Where both are the same."""
        return op("Equal", self, self._like(other))

    def least(self, other: Operand) -> Value:
        """The smaller of both, element by element."""
        return op("Min", self, self._like(other))

    def most(self, other: Operand) -> Value:
        """The larger of both, element by element."""
        return op("Max", self, self._like(other))

    def where(self, chosen: Operand, otherwise: Operand, kind: int = FLOAT) -> Value:
        """One of two operands, where this is true and where not."""
        first, second = (one if isinstance(one, Value) else self.graph.constant(one, kind) for one in (chosen, otherwise))
        return op("Where", self, first, second)

    def cast(self, kind: int) -> Value:
        """The same numbers in another type."""
        return op("Cast", self, to=kind)

    def size(self, axis: int) -> Value:
        """How long an axis is: (1,) int64."""
        return op("Shape", self, start=axis, end=axis + 1)

    def root(self) -> Value:
        """The square root."""
        return op("Sqrt", self)

    def scalar(self) -> Value:
        """The only element, as an array without axes."""
        return op("Squeeze", self, self.graph.constant([0], INT))

    def reshape(self, *sizes: int | Value) -> Value:
        """Another shape: sizes are numbers or (1,) values; 0 keeps that of the axis, -1 is what is left."""
        if all(isinstance(size, int) for size in sizes):
            return op("Reshape", self, self.graph.constant(sizes, INT))
        parts = [size if isinstance(size, Value) else self.graph.constant([size], INT) for size in sizes]
        return op("Reshape", self, op("Concat", *parts, axis=0))

    def transpose(self, *axes: int) -> Value:
        """Axes in another order."""
        return op("Transpose", self, perm=list(axes))

    def unsqueeze(self, *axes: int) -> Value:
        """Further axes of one element."""
        return op("Unsqueeze", self, self.graph.constant(axes, INT))

    def sum(self, *axes: int, keepdims: bool = True) -> Value:
        """The sum over axes."""
        return self._reduce("ReduceSum", axes, keepdims)

    def min(self, *axes: int, keepdims: bool = True) -> Value:
        """The smallest over axes."""
        return self._reduce("ReduceMin", axes, keepdims)

    def max(self, *axes: int, keepdims: bool = True) -> Value:
        """The largest over axes."""
        return self._reduce("ReduceMax", axes, keepdims)

    def cut(self, axis: int, start: int | Value, end: int | Value | None = None) -> Value:
        """Part of an axis, to its end if none is given; numbers or (1,) values."""
        ends = (start, np.iinfo(np.int64).max if end is None else end)
        first, last = (one if isinstance(one, Value) else self.graph.constant([one], INT) for one in ends)
        return op("Slice", self, first, last, self.graph.constant([axis], INT))

    def take(self, axis: int, indices: Value) -> Value:
        """Elements of an axis by their indices."""
        return op("Gather", self, indices, axis=axis)

    def halves(self, axis: int) -> tuple[Value, Value]:
        """Both halves of an axis."""
        first, second = ops("Split", 2, self, axis=axis, num_outputs=2)
        return first, second

    def _reduce(self, how: str, axes: tuple[int, ...], keepdims: bool) -> Value:
        return op(how, self, self.graph.constant(axes, INT), keepdims=int(keepdims))

    def _like(self, other: Operand) -> Value:
        return other if isinstance(other, Value) else self.graph.constant(other, self.kind)


Operand = Value | float | int
"""A value, or a number of the type of the value beside it."""


def op(kind: str, *inputs: Value, **attributes: Any) -> Value:
    """Add a node with one output."""
    [output] = ops(kind, 1, *inputs, **attributes)
    return output


def ops(kind: str, n_outputs: int, *inputs: Value, **attributes: Any) -> list[Value]:
    """Add a node, to the innermost graph of its inputs; outputs have the type of the last input unless the operation says more."""
    graph = max((one.graph for one in inputs), key=lambda one: one.depth)
    outputs = [graph.constants.name(kind) for _ in range(n_outputs)]
    graph.nodes.append(helper.make_node(kind, [one.name for one in inputs], outputs, **attributes))
    return [Value(graph, name, _kind_of(kind, inputs, attributes)) for name in outputs]


def concat(axis: int, *parts: Value) -> Value:
    """Values one after the other."""
    return parts[0] if len(parts) == 1 else op("Concat", *parts, axis=axis)


def counted(end: Value) -> Value:
    """0, 1... up to a (1,) number, which is not reached."""
    zero, one = (end.graph.constant(number, INT) for number in (0, 1))
    return op("Range", zero, end.scalar(), one)


def _kind_of(operation: str, inputs: Sequence[Value], attributes: dict[str, Any]) -> int:
    if operation in _GIVES_BOOL:
        return BOOL
    if operation == "Cast":
        return int(attributes["to"])
    if operation == "Shape":
        return INT
    return inputs[1].kind if operation == "Where" else inputs[0].kind


Body = Callable[..., tuple[Sequence[Value], Sequence[Value]]]
"""From the number of the trip and what is carried to what is carried on, and what is kept of every trip."""


def loop(trips: Value, carried: Sequence[Value], body: Body) -> list[Value]:
    """Repeat a body.

    Args:
        trips: (1,) int64, how often.
        carried: what the first trip begins with; shapes stay.
        body: called once, to write the nodes of a trip.

    Returns:
        What the last trip carried on, and then what was kept of each, stacked along a new first axis.
    """
    graph = max((one.graph for one in (trips, *carried)), key=lambda one: one.depth)
    inner = graph.inner()
    trip, go = (Value(inner, graph.constants.name(name), kind) for name, kind in (("trip", INT), ("go", BOOL)))
    begun = [Value(inner, graph.constants.name("carried"), one.kind) for one in carried]
    carried_on, kept = body(trip, *begun)
    further = op("Identity", Value(inner, graph.constant(True, BOOL).name, BOOL))  # TensorRT takes none that the body did not make
    outputs = [further, *(_own(inner, one) for one in (*carried_on, *kept))]
    attribute = _subgraph("loop", inner, (trip, go, *begun), outputs, scalars=2)
    names = [graph.constants.name("Loop") for _ in outputs[1:]]
    graph.nodes.append(helper.make_node("Loop", [trips.scalar().name, "", *(one.name for one in carried)], names, body=attribute))
    return [Value(graph, name, one.kind) for name, one in zip(names, outputs[1:], strict=True)]


def scan(carried: Sequence[Value], scanned: Sequence[Value], body: Callable[..., Sequence[Value]], *, n_axes: int) -> list[Value]:
    """Walk along the first axis of some values.

    Args:
        carried: what the first step begins with; shapes stay.
        scanned: one row of each is for each step.
        body: called once with what is carried and with the rows, and gives what is carried on.
        n_axes: of all that is carried.

    Returns:
        What the last step carried on.
    """
    graph = max((one.graph for one in (*carried, *scanned)), key=lambda one: one.depth)
    inner = graph.inner()
    begun = [Value(inner, graph.constants.name("carried"), one.kind) for one in (*carried, *scanned)]
    outputs = [_own(inner, one) for one in body(*begun)]
    attribute = _subgraph("scan", inner, begun, outputs, n_axes=n_axes)
    names = [graph.constants.name("Scan") for _ in outputs]
    inputs = [one.name for one in (*carried, *scanned)]
    graph.nodes.append(helper.make_node("Scan", inputs, names, body=attribute, num_scan_inputs=len(scanned)))
    return [Value(graph, name, one.kind) for name, one in zip(names, outputs, strict=True)]


def _own(graph: Graph, value: Value) -> Value:
    """A value as one that a body made: no output of a body comes from outside."""
    return value if value.graph is graph else op("Identity", Value(graph, value.name, value.kind))


def _subgraph(
    name: str, graph: Graph, inputs: Sequence[Value], outputs: Sequence[Value], *, scalars: int = 0, n_axes: int | None = None
) -> GraphProto:
    """A body as ONNX has it; its first inputs are scalars. The sizes of other shapes are for whoever runs it to infer."""
    sizes = None if n_axes is None else [graph.constants.name("size") for _ in range(n_axes)]
    shapes: list[list[str] | None] = [[]] * scalars + [None] * (len(inputs) - scalars)
    begun = [helper.make_tensor_value_info(one.name, one.kind, shape) for one, shape in zip(inputs, shapes, strict=True)]
    ended = [helper.make_tensor_value_info(one.name, one.kind, sizes) for one in outputs]
    return helper.make_graph(graph.nodes, name, begun, ended)
