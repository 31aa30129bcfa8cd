"""How fast a model can be on a GPU: bytes that its kernels move and floating-point operations, against what the GPU does a second.

Bytes are counted in a plan of TensorRT-RTX, which says as text what each kernel reads and writes; the plan is built for the very
shape, so that all sizes are numbers, and needs no GPU. Where that cannot be, they are counted in the ONNX graph as if every stretch
between two matrix products were one kernel. Operations are counted in the graph: 2 m n k of a product, one for each number that
anything else makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bandrt.engine.session import Inputs

PRODUCTS = ("MatMul", "Gemm")
MOVES_NOTHING = ("Shape", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Constant", "ConstantOfShape", "Range")
LOOPS = ("Loop", "Scan", "If")
BYTES = {"float": 4, "int32": 4, "int64": 8, "bool": 1, "half": 2, "int8": 1, "uint8": 1}
_TENSOR = re.compile(r"\n  (?:sub_)?tensor=\{ ([^\n]*) type=(\w+)")
_KERNEL = re.compile(r"\n  (?:function|fully_connected|runtime_fusion|runtime_function|memset|copy)=\{([^\n]*)")
_OPERANDS = re.compile(r" (?:input|output)(?:_args)?=\{([^}]*)\}")
_QUOTED = re.compile(r'"([^"]*)"')


class Peak(NamedTuple):
    """What a GPU does a second."""

    bytes: float
    fp32: float
    """Floating-point operations of the ordinary units; TF32 is off."""
    fp16: float
    """Of products on tensor cores, not sparse."""


PEAKS: Mapping[str, Peak] = {"H200": Peak(4.8e12, 67e12, 989e12), "L4": Peak(300e9, 30.3e12, 121e12)}
"""By a word in the name of a GPU. Source: NVIDIA's data sheets of H200 SXM and L4."""
BOUNDS: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "H200": {2: (86e3, 126e3), 8: (42e3, 76e3), 20: (15e3, 35e3), 64: (4e3, 11e3)},
    "L4": {2: (5e3, 8e3), 8: (2.6e3, 4.8e3), 20: (0.9e3, 2.2e3), 64: (0.2e3, 0.7e3)},
}
"""Crystals per second of the engine fast, by atoms, that were estimated before anything had run; on which side results fall."""


class UncountableError(Exception):
    """Nothing can be counted; the message says why."""


@dataclass(frozen=True)
class Counts:
    """What one crystal of a batch costs."""

    flops: float
    bytes: float
    kernels: int
    source: str
    """Where the bytes were counted: ``plan`` or ``graph``."""


def known_gpu(name: str) -> str | None:
    """The GPU of `PEAKS` that a name means: ``NVIDIA H200`` is H200, and L40 is not L4."""
    return next((word for word in PEAKS if re.search(rf"\b{word}\b", name)), None)


def side(rate: float, gpu: str, atoms: int) -> str | None:
    """Whether crystals per second are below, within or above the estimate for a GPU; None where there is none."""
    bounds = BOUNDS.get(known_gpu(gpu) or "", {})
    if atoms not in bounds:
        return None
    least, most = bounds[atoms]
    return "below" if rate < least else "above" if rate > most else "within"


def roofline(counts: Counts, peak: Peak, *, precision: str, atoms: int, crystals: int) -> dict[str, Any]:
    """Crystals per second at most, with the arithmetic as text.

    Args:
        counts: of one crystal.
        peak: of the GPU.
        precision: of the products, ``fp32`` or ``fp16``.
        atoms: of a crystal.
        crystals: in a batch.
    """
    operations = peak.fp16 if precision == "fp16" else peak.fp32
    by_memory, by_arithmetic = counts.bytes / peak.bytes, counts.flops / operations
    rate = 1 / max(by_memory, by_arithmetic)
    text = (
        f"{atoms} atoms x {crystals}: {counts.bytes / 1e6:.2f} MB in {counts.kernels} kernels ({counts.source})"
        f" / {peak.bytes / 1e12:.2f} TB/s = {by_memory * 1e6:.2f} us;"
        f" {counts.flops / 1e9:.3f} GFLOP / {operations / 1e12:.1f} TFLOP/s = {by_arithmetic * 1e6:.2f} us;"
        f" {counts.flops / counts.bytes:.1f} FLOP a byte, so at most {rate:,.0f} crystals/s"
        f" by {'memory' if by_memory > by_arithmetic else 'arithmetic'}"
    )
    return {"counts": asdict(counts), "crystals_per_s": rate, "arithmetic": text}


def count_graph(model: Path, batch: Inputs) -> Counts:
    """Count in an ONNX graph; ONNX Runtime says the shapes of all that it makes of a batch.

    Raises:
        UncountableError: the graph has loops, whose trips are not counted.
    """
    import onnx

    proto = onnx.load(model)
    if found := {node.op_type for node in proto.graph.node} & set(LOOPS):
        raise UncountableError(f"{model.name}: has {', '.join(sorted(found))}, whose trips are not counted")
    sizes = {one.name: (tuple(one.dims), _itemsize(one.data_type)) for one in proto.graph.initializer} | _made(proto, batch)
    flops, kernels, total = 0.0, 0, 0.0
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    makers = {output: node for node in proto.graph.node for output in node.output}
    for node in proto.graph.node:
        out = float(np.prod(sizes[node.output[0]][0]))
        if node.op_type in PRODUCTS:
            transposed = any(one.name == "transA" and one.i for one in node.attribute)
            flops += 2 * out * sizes[node.input[0]][0][-2 if transposed else -1]
            kernels += 1
            total += _n_bytes({*node.input, *node.output}, sizes)
        elif node.op_type not in MOVES_NOTHING:
            flops += out
        if node.op_type not in PRODUCTS:
            for name in node.input:
                if name in makers and makers[name].op_type not in PRODUCTS:
                    parent[root(name)] = root(node.output[0])
    stretches: dict[str, list[Any]] = {}
    for node in proto.graph.node:
        if node.op_type not in PRODUCTS:
            stretches.setdefault(root(node.output[0]), []).append(node)
    results = {one.name for one in proto.graph.output}
    for nodes in stretches.values():
        made = {name for node in nodes for name in node.output}
        read = {name for node in nodes for name in node.input} - made
        wanted = made & (results | {name for node in proto.graph.node if node.op_type in PRODUCTS for name in node.input})
        total += _n_bytes(read | wanted, sizes)
    n_crystals = len(batch["kpoints"])
    return Counts(flops / n_crystals, total / n_crystals, kernels + len(stretches), "graph")


def count_plan(content: bytes, crystals: int) -> tuple[float, int]:
    """Bytes that a plan moves for one crystal, and its kernels: what every kernel reads and writes.

    Args:
        content: of a TensorRT-RTX plan with one optimisation profile of one shape.
        crystals: in a batch.

    Raises:
        UncountableError: it says nothing of its kernels, as a plan of TensorRT, or its sizes are no numbers.
    """
    text = content.decode("latin-1")
    sizes: dict[str, float] = {}
    for fields, kind in _TENSOR.findall(text):
        name, dims = re.search(r'name="([^"]*)"', fields), re.search(r"dims=\{ ?([^}]*)\}", fields)
        if name and dims:
            axes = dims[1].split()
            if not all(axis.isdigit() for axis in axes):
                raise UncountableError(f"the plan takes several shapes: {name[1]} has the axes {dims[1].strip()}")
            sizes[name[1]] = float(np.prod([int(axis) for axis in axes])) * BYTES[kind]
    kernels = _KERNEL.findall(text)
    if not sizes or not kernels:
        raise UncountableError("the plan does not say what its kernels read and write")
    operands = [{name for group in _OPERANDS.findall(kernel) for name in _QUOTED.findall(group)} for kernel in kernels]
    return sum(sizes.get(name, 0.0) for names in operands for name in names) / crystals, len(kernels)


def plan_of(model: Path, batch: Inputs, target: str = "sm89") -> bytes:
    """A TensorRT-RTX plan of an ONNX engine for the shape of a batch alone.

    Raises:
        MissingPackageError: TensorRT-RTX is not installed.
    """
    from bandrt.engine.cuda_driver import find_driver
    from bandrt.manifest import Bucket, Profile
    from bandrt_export.plan.builder import PlanBuilder

    crystals, atoms, slots = batch["neighbor_index"].shape
    builder = PlanBuilder("tensorrt-rtx", find_driver())
    profile = Profile(max_atoms=atoms, max_batch=crystals, buckets=(Bucket(atoms, atoms, crystals, crystals),))
    content, _ = builder.build(builder.parse(model), profile, builder.targets([target]), slots)
    return content


def count(model: Path, batch: Inputs) -> tuple[Counts, str]:
    """What a crystal of a batch costs, counted in a plan where one can be built, and why not where it cannot."""
    counts = count_graph(model, batch)
    try:
        n_bytes, kernels = count_plan(plan_of(model, batch), len(batch["kpoints"]))
    except Exception as error:  # whatever is missing, the graph is there
        return counts, f"bytes are of the graph: {error}"
    return Counts(counts.flops, n_bytes, kernels, "plan"), f"the graph has {counts.bytes / 1e6:.2f} MB in {counts.kernels} kernels"


def _made(proto: Any, batch: Inputs) -> dict[str, tuple[tuple[int, ...], int]]:
    """Shape and bytes a number of every input and of all that is made of them."""
    import onnx
    import onnxruntime

    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    known = {one.name for one in whole.graph.output}
    names = [name for node in whole.graph.node for name in node.output if name]
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {one.name: batch[one.name] for one in proto.graph.input}
    found = feeds | dict(zip(names, session.run(names, feeds), strict=True))
    return {name: (array.shape, array.dtype.itemsize) for name, array in found.items()}


def _itemsize(kind: int) -> int:
    import onnx

    return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _n_bytes(names: set[str], sizes: Mapping[str, tuple[tuple[int, ...], int]]) -> float:
    return sum(float(np.prod(sizes[name][0])) * sizes[name][1] for name in names if name)
