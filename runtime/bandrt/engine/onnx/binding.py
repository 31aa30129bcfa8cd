"""ONNX Runtime on a device of its own: inputs and outputs stay in buffers there, one set for every shape.

The runner is the same for any device, so that it is tested on the CPU; it has never run on a GPU.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from bandrt.contract import DTYPES
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.session import Inputs, Outputs

MOST_SHAPES = 32
"""Sets of buffers that are kept; of more than these, the one that was not needed for longest is given up."""


def load_cuda_libraries() -> str:
    """Let ONNX Runtime find CUDA and cuDNN among the installed Python packages; what it says of those that are missing."""
    library = load_onnxruntime()
    said = StringIO()
    with redirect_stdout(said):  # it prints, and our standard output is data
        library.preload_dlls()
    return said.getvalue().strip().partition("\n")[0]


class BoundRunner:
    """Runs an ONNX Runtime session through I/O binding."""

    def __init__(self, session: Any, inputs: Sequence[str], outputs: Sequence[str], *, kind: str, index: int) -> None:
        """Take an open session.

        Args:
            session: an ``onnxruntime.InferenceSession``.
            inputs: names of its inputs that are fed.
            outputs: names of its outputs that are wanted.
            kind: of the device, ``cuda`` or ``cpu``.
            index: its number.
        """
        self._session = session
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._kind = kind
        self._index = index
        self._bound: OrderedDict[tuple[tuple[int, ...], ...], tuple[Any, dict[str, Any]]] = OrderedDict()

    def run(self, inputs: Inputs) -> Outputs:
        """Copy a batch to the device, evaluate it there, and copy the outputs back."""
        shapes = tuple(inputs[name].shape for name in self._inputs)
        if shapes not in self._bound:
            if len(self._bound) >= MOST_SHAPES:
                self._bound.popitem(last=False)
            self._bound[shapes] = self._bind(shapes)
        self._bound.move_to_end(shapes)
        binding, buffers = self._bound[shapes]
        for name, buffer in buffers.items():
            buffer.update_inplace(np.ascontiguousarray(inputs[name]))
        self._session.run_with_iobinding(binding)
        return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))

    def forget(self) -> None:
        """Give up all buffers."""
        self._bound.clear()

    def _bind(self, shapes: tuple[tuple[int, ...], ...]) -> tuple[Any, dict[str, Any]]:
        library = load_onnxruntime()
        binding, buffers = self._session.io_binding(), {}
        for name, shape in zip(self._inputs, shapes, strict=True):
            dtype = np.dtype(DTYPES[name])
            buffers[name] = library.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._kind, self._index)
            binding.bind_ortvalue_input(name, buffers[name])
        for name in self._outputs:
            binding.bind_output(name, self._kind, self._index)
        return binding, buffers
