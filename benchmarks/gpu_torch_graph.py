"""The nodes of an ONNX engine in PyTorch: where a GPU has torch and nothing else, its loops run there all the same, and captured.

Shapes, trips and indices that come of them stay on the host, as in TensorRT; what they are needed for on the device is copied there
once and kept, so that a second run copies nothing and can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bandrt.engine.session import Inputs

ON_HOST = {
    **dict.fromkeys(
        ("Reshape", "Expand", "Unsqueeze", "Squeeze", "ReduceSum", "ReduceMean", "ReduceMin", "ReduceMax", "Split"), (1,)
    ),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
}
"""Inputs that are read as numbers, by their place."""


def there(values: Sequence[Tensor | None]) -> list[Tensor]:
    """Those of an operator's inputs that are there."""
    return [value for value in values if value is not None]


class TorchGraph:
    """An ONNX file that runs in PyTorch."""

    def __init__(self, model: Path, device: str) -> None:
        import onnx

        self._graph = onnx.load(model).graph
        self._device = torch.device(device)
        self._moved: dict[tuple[Any, ...], Tensor] = {}
        self._constants = {one.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(one))) for one in self._graph.initializer}

    @torch.inference_mode()
    def run(self, batch: Inputs) -> dict[str, Tensor]:
        """Outputs by name, of inputs by name."""
        return self._outputs(self._inputs(batch))

    @torch.inference_mode()
    def captured(self, batch: Inputs) -> Callable[[], dict[str, Tensor]]:
        """Capture a run as a CUDA graph; what is returned starts it again on the same inputs."""
        inputs = self._inputs(batch)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # copies what stays on the device, and lets libraries start
            self._outputs(inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._outputs(inputs)

        def replay() -> dict[str, Tensor]:
            graph.replay()
            return outputs

        return replay

    def _inputs(self, batch: Inputs) -> dict[str, Tensor]:
        return {one.name: torch.as_tensor(batch[one.name]).to(self._device) for one in self._graph.input}

    def _outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = self._constants | dict(inputs)
        self._nodes(self._graph.node, values)
        return {one.name: values[one.name] for one in self._graph.output}

    def _nodes(self, nodes: Sequence[Any], values: dict[str, Tensor]) -> None:
        import onnx

        for node in nodes:
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            given = [values[name] if name else None for name in node.input]
            if node.op_type in ("Loop", "Scan"):
                outputs: Sequence[Tensor] = (self._loop if node.op_type == "Loop" else self._scan)(given, attributes, values)
            else:
                outputs = self._made(node.op_type, given, attributes, len(node.output))
            values.update(zip(node.output, outputs, strict=False))

    def _made(self, kind: str, given: list[Tensor | None], attributes: dict[str, Any], n_outputs: int) -> Sequence[Tensor]:
        numbers, names = ON_HOST.get(kind, ()), OPERATIONS
        if kind not in names:
            raise NotImplementedError(f"no {kind} in PyTorch here")
        operands = [one for place, one in enumerate(given) if one is not None and place not in numbers]
        away = any(one.device != torch.device("cpu") for one in operands)
        if away and kind != "Shape":
            given = [one if one is None or place in numbers else self._there(one) for place, one in enumerate(given)]
        if kind == "Split":
            return split(given[0], None if len(given) < 2 else given[1], attributes, n_outputs)
        return [names[kind](*given, **attributes)]

    def _there(self, value: Tensor) -> Tensor:
        """A value on the device; one of the host is copied the first time that its content is met."""
        if value.device == self._device or self._device.type == "cpu":
            return value
        key = (value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes())
        if key not in self._moved:
            self._moved[key] = value.to(self._device)
        return self._moved[key]

    def _loop(self, given: list[Tensor | None], attributes: dict[str, Any], outer: Mapping[str, Tensor]) -> list[Tensor]:
        body, trips, carried = attributes["body"], given[0], there(given[2:])
        assert trips is not None, "a loop without a number of trips"
        names, kept = [one.name for one in body.input], list[list[Tensor]]()
        values: dict[str, Tensor] = dict(outer)
        for trip in range(int(trips)):
            begun = [torch.tensor(trip), torch.tensor(True), *carried]
            values.update(zip(names, begun, strict=True))
            self._nodes(body.node, values)
            ended = [values[one.name] for one in body.output[1:]]
            carried = ended[: len(carried)]
            kept.append(ended[len(carried) :])
        n_kept = len(body.output) - 1 - len(carried)
        nothing = torch.zeros(0, device=self._device)
        return [*carried, *([nothing] * n_kept if not kept else map(torch.stack, zip(*kept, strict=True)))]

    def _scan(self, given: list[Tensor | None], attributes: dict[str, Any], outer: Mapping[str, Tensor]) -> list[Tensor]:
        body, n_scanned = attributes["body"], attributes["num_scan_inputs"]
        carried, scanned = there(given[:-n_scanned]), there(given[-n_scanned:])
        names, values = [one.name for one in body.input], dict(outer)
        for rows in zip(*scanned, strict=True):
            values.update(zip(names, [*carried, *rows], strict=True))
            self._nodes(body.node, values)
            carried = [values[one.name] for one in body.output]
        return carried


def numbers_of(value: Tensor) -> list[int]:
    return [int(one) for one in value.reshape(-1)]


def split(value: Any, sizes: Tensor | None, attributes: Mapping[str, Any], n_outputs: int) -> Sequence[Tensor]:
    axis = attributes.get("axis", 0)
    each: Any = -(-value.shape[axis] // n_outputs) if sizes is None else numbers_of(sizes)
    return torch.split(value, each, dim=axis)


def cast(value: Tensor, *, to: int) -> Tensor:
    import onnx

    kind = torch.from_numpy(np.zeros(0, onnx.helper.tensor_dtype_to_np_dtype(to))).dtype
    return value.to(kind)


def divided(one: Tensor, other: Tensor) -> Tensor:
    return one / other if one.is_floating_point() else torch.div(one, other, rounding_mode="trunc")


def gathered(value: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    axis = axis % value.dim()
    indices = torch.where(indices < 0, indices + value.shape[axis], indices).long()
    return value.index_select(axis, indices.reshape(-1)).reshape(*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :])


def reshaped(value: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    sizes = numbers_of(shape)
    return value.reshape([value.shape[axis] if size == 0 and not allowzero else size for axis, size in enumerate(sizes)])


def sliced(value: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    first, last = numbers_of(starts), numbers_of(ends)
    places = list(range(len(first))) if axes is None else numbers_of(axes)
    strides = [1] * len(first) if steps is None else numbers_of(steps)
    cuts = [slice(None)] * value.dim()
    for place, start, end, step in zip(places, first, last, strides, strict=True):
        cuts[place] = slice(start, end, step)
    return value[tuple(cuts)]


def padded(value: Tensor, pads: Tensor, fill: Tensor | None = None, axes: Tensor | None = None, *, mode: bytes = b"") -> Tensor:
    assert mode in (b"", b"constant"), "pads with a constant alone"
    both = numbers_of(pads)
    half = len(both) // 2
    places = list(range(half)) if axes is None else [axis % value.dim() for axis in numbers_of(axes)]
    by_axis = {place: (both[i], both[half + i]) for i, place in enumerate(places)}
    widths = [width for axis in reversed(range(value.dim())) for width in by_axis.get(axis, (0, 0))]
    if fill is None:
        return functional.pad(value, widths)
    larger = functional.pad(torch.ones_like(value, dtype=torch.bool), widths)
    return torch.where(larger, functional.pad(value, widths), fill)  # the number stays on the device


def reduced(how: Callable[..., Tensor], value: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, **_: Any) -> Tensor:
    places = tuple(range(value.dim())) if axes is None else tuple(numbers_of(axes))
    return how(value, dim=places, keepdim=bool(keepdims))


def squeezed(value: Tensor, axes: Tensor | None = None) -> Tensor:
    return value.squeeze() if axes is None else value.squeeze(tuple(numbers_of(axes)))


def unsqueezed(value: Tensor, axes: Tensor) -> Tensor:
    n_axes = value.dim() + axes.numel()
    for axis in sorted(one % n_axes for one in numbers_of(axes)):
        value = value.unsqueeze(axis)
    return value


def product(a: Tensor, b: Tensor, c: Tensor | None = None, **given: float) -> Tensor:
    first, second = (one.mT if given.get(name) else one for one, name in ((a, "transA"), (b, "transB")))
    found = given.get("alpha", 1.0) * (first @ second)
    return found if c is None else found + given.get("beta", 1.0) * c


def normalized(value: Tensor, scale: Tensor, shift: Tensor | None = None, **given: Any) -> Tensor:
    return functional.layer_norm(value, value.shape[given.get("axis", -1) :], scale, shift, given.get("epsilon", 1e-5))


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    **{"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": divided, "Pow": torch.pow, "MatMul": torch.matmul},
    **{"Less": torch.lt, "LessOrEqual": torch.le, "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Equal": torch.eq},
    **{"And": torch.logical_and, "Or": torch.logical_or, "Not": torch.logical_not, "Where": torch.where},
    **{"Min": torch.minimum, "Max": torch.maximum, "Sqrt": torch.sqrt, "Exp": torch.exp, "Log": torch.log, "Abs": torch.abs},
    **{"Neg": torch.neg, "Floor": torch.floor, "Ceil": torch.ceil, "Round": torch.round, "Reciprocal": torch.reciprocal},
    **{"Sin": torch.sin, "Cos": torch.cos, "Softplus": functional.softplus, "Identity": lambda value: value, "Cast": cast},
    "Softmax": lambda value, axis=-1: torch.softmax(value, axis),
    "Gelu": lambda value, approximate=b"none": functional.gelu(value, approximate=approximate.decode()),
    "Clip": lambda value, low=None, high=None: value.clamp(low, high),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Transpose": lambda value, perm: value.permute(*perm),
    "Shape": lambda value, start=0, end=None: torch.tensor(value.shape[start:end], dtype=torch.int64),
    "Range": lambda start, limit, step: torch.arange(int(start), int(limit), int(step)),
    "Expand": lambda value, shape: value.expand(np.broadcast_shapes(tuple(value.shape), tuple(numbers_of(shape)))),
    "Gather": gathered,
    "Reshape": reshaped,
    "Slice": sliced,
    "Pad": padded,
    "Squeeze": squeezed,
    "Unsqueeze": unsqueezed,
    "Gemm": product,
    "LayerNormalization": normalized,
    "ReduceSum": partial(reduced, torch.sum),
    "ReduceMean": partial(reduced, torch.mean),
    "ReduceMin": partial(reduced, torch.amin),
    "ReduceMax": partial(reduced, torch.amax),
    "Split": lambda *given, **attributes: given[0],
}
