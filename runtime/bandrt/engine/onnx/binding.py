"""ONNX Runtime on a device of its own: inputs and outputs stay in buffers there, a set for every shape and caller.

The runner is the same for any device, so that it is tested on the CPU; it has never run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from bandrt.contract import DTYPES
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.session import Inputs, Outputs

MOST_KEPT = 32
"""Sets of buffers that are kept for later; of more than these, the one that was not needed for longest is given up."""

Shapes = tuple[tuple[int, ...], ...]
"""Of the inputs, in their order."""


class Bound(NamedTuple):
    """Buffers of one shape, and what binds a session to them."""

    binding: Any
    """An ``onnxruntime.IOBinding``."""
    inputs: dict[str, Any]
    """Each input's ``onnxruntime.OrtValue``, by name."""


def load_cuda_libraries() -> str:
    """Let ONNX Runtime find CUDA and cuDNN among the installed Python packages; what it says of those that are missing."""
    library = load_onnxruntime()
    said = StringIO()
    with redirect_stdout(said):  # it prints, and our standard output is data
        library.preload_dlls()
    return said.getvalue().strip().partition("\n")[0]


class BoundRunner:
    """Runs an ONNX Runtime session through I/O binding; several threads may call it, each has buffers of its own while it does."""

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
        self._free: list[tuple[Shapes, Bound]] = []
        """Sets that nobody uses, the one that was used last at the end."""
        self._lock = Lock()

    def run(self, inputs: Inputs) -> Outputs:
        """Copy a batch to the device, evaluate it there, and copy the outputs back."""
        shapes = tuple(inputs[name].shape for name in self._inputs)
        bound = self._taken(shapes)
        for name, buffer in bound.inputs.items():
            buffer.update_inplace(np.ascontiguousarray(inputs[name]))
        self._session.run_with_iobinding(bound.binding)
        outputs = dict(zip(self._outputs, bound.binding.copy_outputs_to_cpu(), strict=True))
        with self._lock:  # buffers of a run that failed do not come back
            self._free.append((shapes, bound))
            del self._free[:-MOST_KEPT]
        return outputs

    def forget(self) -> None:
        """Give up all buffers that nobody uses."""
        with self._lock:
            self._free.clear()

    def _taken(self, shapes: Shapes) -> Bound:
        """Buffers for the caller alone, until it gives them back."""
        with self._lock:
            for place in reversed(range(len(self._free))):
                if self._free[place][0] == shapes:
                    return self._free.pop(place)[1]
        return self._bind(shapes)

    def _bind(self, shapes: Shapes) -> Bound:
        library = load_onnxruntime()
        binding, buffers = self._session.io_binding(), {}
        for name, shape in zip(self._inputs, shapes, strict=True):
            dtype = np.dtype(DTYPES[name])
            buffers[name] = library.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._kind, self._index)
            binding.bind_ortvalue_input(name, buffers[name])
        for name in self._outputs:
            binding.bind_output(name, self._kind, self._index)
        return Bound(binding, buffers)
