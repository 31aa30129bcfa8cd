"""An ONNX file on a GPU as what `bandrt.engine.plan.session` runs, in the place of a plan.

Inputs and outputs are memory of that session at fixed addresses, all work is on its stream, and copies of one batch overlap with
the next; they are sent by one thread, since ONNX Runtime keeps captured graphs, handles and workspaces of each thread that sends,
as long as the session lives. The CUDA provider has a session of ONNX Runtime for every shape: with its sizes fixed no node is left
on the CPU, which is made sure of, and runs are captured as CUDA graphs. With free sizes ONNX Runtime 1.31 has 30 of the 960 nodes
of `fast`, which compute shapes, on the CPU and copies one result to the GPU, with which it refuses both. Engines with a solver in
the graph have loops, and so no CUDA graphs. TensorRT and TensorRT-RTX compile a model once, for a range of shapes.

The counts are those of onnxruntime-gpu over the stub of CUDA that `bandrt.engine.onnx.gpu` speaks of.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from bandrt.contract import DTYPES, TENSORS, Axes, known_sizes
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.onnx.model import first_line, unreadable
from bandrt.engine.onnx.opener import Opener
from bandrt.engine.onnx.sender import Sender
from bandrt.engine.plan.cuda_device import device_error
from bandrt.engine.plan.device import DeviceBuffer, Stream
from bandrt.engine.session import tells_of_memory
from bandrt.engine.shapes import BatchShape, input_axes
from bandrt.errors import EngineError
from bandrt.manifest import Manifest


class OnnxPlan:
    """An ONNX file on a GPU, in the place of a plan."""

    n_profiles = 1
    compiles = False
    """What providers compile they keep themselves."""

    def __init__(self, opener: Opener, manifest: Manifest, dims: Mapping[str, tuple[str | int, ...]], stream: Stream) -> None:
        """Make sure that it runs there.

        Args:
            opener: opens sessions of it.
            manifest: what it says of itself, with the sizes that batches may have.
            dims: of each input, names of its free dimensions.
            stream: where it will run.

        Raises:
            EngineError: ``device-unavailable``, ``engine-unreadable``.
        """
        self._opener = opener
        self._manifest = manifest
        self._dims = dims
        self._sessions: WeakValueDictionary[tuple[tuple[str, int], ...], Any] = WeakValueDictionary()
        self._n_contexts = 0
        self.sender = Sender("bandrt-onnxruntime")
        self._fixed = not opener.provider.compiles and manifest.solver != "graph"
        self._graphs = self._fixed
        self._strict = self._fixed or opener.provider.compiles
        self.smallest = BatchShape(0, 1, 1, manifest.recipe.graph.n_neighbors, mesh=int(manifest.recipe.mesh is not None))
        """The shape of the smallest batch."""
        self._first = self._open_first(input_axes(manifest, self.smallest), stream)

    @property
    def captures_itself(self) -> bool:
        """See `bandrt.engine.plan.runnable.Runnable`."""
        return self._graphs

    def give_up_capture(self) -> None:
        """Nothing is captured but by ONNX Runtime itself."""

    def tensors(self) -> dict[str, tuple[bool, str]]:
        """See `bandrt.engine.plan.runnable.Runnable`; the model was compared with its manifest when it was opened."""
        names = (*self._manifest.inputs, *self._manifest.outputs)
        return {name: (name in self._manifest.inputs, DTYPES[name]) for name in names}

    def context(self, profile: int, inputs: Mapping[str, Axes], stream: Stream) -> OnnxContext:
        """See `bandrt.engine.plan.runnable.Runnable`."""
        self._n_contexts += 1
        return OnnxContext(self, self._manifest, inputs, stream, number=self._n_contexts)

    def compiled(self) -> bytes:
        """Nothing that could be kept."""
        return b""

    def session(self, inputs: Mapping[str, Axes], stream: Stream) -> Any:
        """A session for inputs of some shapes.

        Raises:
            DeviceError: ONNX Runtime refuses.
        """
        if not self._fixed:
            return self._first
        sizes = self._sizes(inputs)
        key = tuple(sorted(sizes.items()))
        session = self._sessions.get(key)
        if session is None:
            with _device_errors():
                session = self._opener.open(stream, sizes, graph=self._graphs, on_gpu_alone=self._strict)
            self._sessions[key] = session
        return session

    def give_up_graphs(self, error: Exception) -> bool:
        """After a run that failed: whether it was the capture, and so is worth another try without."""
        if not self._graphs or tells_of_memory(str(error)) or not re.search("captur|graph", str(error), re.IGNORECASE):
            return False
        self._graphs = False
        self._sessions.clear()
        logging.getLogger(__name__).warning("runs without CUDA graphs: %s", first_line(error))
        return True

    @property
    def index(self) -> int:
        """Of the GPU."""
        return self._opener.index

    def _sizes(self, inputs: Mapping[str, Axes]) -> dict[str, int]:
        """The size of every free dimension."""
        return {
            dim: size
            for name, axes in inputs.items()
            for dim, size in zip(self._dims[name], axes, strict=True)
            if isinstance(dim, str)
        }

    def _open_first(self, smallest: Mapping[str, Axes], stream: Stream) -> Any:
        """The session of the smallest batch, or of all: without a node on the CPU, or else without CUDA graphs."""
        opener = self._opener
        sizes = self._sizes(smallest) if self._fixed else {}
        refused: Exception | None = None
        if self._strict:
            try:
                session = self._running(opener.open(stream, sizes, graph=self._graphs, on_gpu_alone=True))
                self._sessions[tuple(sorted(sizes.items()))] = session
                return session
            except EngineError:
                raise
            except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
                refused = error
        if refused is not None and opener.provider.plugin:
            raise opener.refusal(refused) from refused
        self._fixed = self._graphs = self._strict = False
        try:
            session = self._running(opener.open(stream, {}, graph=False, on_gpu_alone=False))
        except EngineError:
            raise
        except Exception as error:
            if refused is not None and "provider" in str(error).lower():
                raise opener.refusal(error) from error
            raise unreadable(opener.path, error) from error
        if refused is not None:
            logging.getLogger(__name__).warning(
                "%s: runs without CUDA graphs, and some of its nodes on the CPU: %s", opener.path, first_line(refused)
            )
        return session

    def _running(self, session: Any) -> Any:
        """A session, if its provider has started.

        Raises:
            EngineError: ``device-unavailable``.
        """
        if self._opener.provider.name not in session.get_providers():
            raise self._opener.refusal(None)
        return session


class OnnxContext:
    """A session of ONNX Runtime, bound to the memory of one batch."""

    scratch_bytes = 0
    """ONNX Runtime has memory of its own to compute in."""

    def __init__(self, plan: OnnxPlan, manifest: Manifest, inputs: Mapping[str, Axes], stream: Stream, *, number: int) -> None:
        """Open a session for a shape, if there is none.

        Raises:
            DeviceError: ONNX Runtime refuses.
        """
        self._plan = plan
        self._inputs = dict(inputs)
        sizes = known_sizes(manifest) | {"B": inputs["atomic_numbers"][0]}
        self._outputs = {name: TENSORS[name].axes(sizes) for name in manifest.outputs}
        self._stream = stream
        self._session = plan.session(self._inputs, stream)
        self._addresses: Mapping[str, int] = {}
        self._binding: Any = None
        self._options = load_onnxruntime().RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._options.add_run_config_entry("gpu_graph_id", str(number))  # a graph holds addresses, and each context has its own

    def shape(self, name: str) -> Axes:
        """The shape of an input or output."""
        return (self._inputs | self._outputs)[name]

    def bind(self, addresses: Mapping[str, int], scratch: DeviceBuffer) -> None:
        """Say where inputs and outputs are."""
        self._addresses = addresses
        self._bind()

    def can_be_captured(self, stream: Stream) -> bool:
        """Never: ONNX Runtime captures itself."""
        return False

    def give_up_capture(self) -> None:
        """Nothing is captured here."""

    def enqueue(self, stream: Stream) -> None:
        """Put one run on the stream that the session was opened with."""
        try:
            self._send()
        except Exception as error:
            if not self._plan.give_up_graphs(error):
                raise device_error(str(error) or type(error).__name__) from error
            self._session = self._plan.session(self._inputs, self._stream)
            self._bind()
            with _device_errors():
                self._send()

    def _send(self) -> None:
        self._plan.sender.send(partial(self._session.run_with_iobinding, self._binding, self._options))

    def _bind(self) -> None:
        with _device_errors():
            self._binding = self._session.io_binding()
            for name, axes in self._inputs.items():
                self._binding.bind_input(name, *self._place(name, axes))
            for name, axes in self._outputs.items():
                self._binding.bind_output(name, *self._place(name, axes))

    def _place(self, name: str, axes: Axes) -> tuple[str, int, type[np.generic], Axes, int]:
        return "cuda", self._plan.index, np.dtype(DTYPES[name]).type, axes, self._addresses[name]


@contextmanager
def _device_errors() -> Iterator[None]:
    """Turn what ONNX Runtime raises into the errors of a device."""
    try:
        yield
    except Exception as error:
        raise device_error(str(error) or type(error).__name__) from error
