"""ONNX files on a GPU: ONNX Runtime in the place of a plan, under the session that runs plans.

Inputs and outputs are memory of that session at fixed addresses, all work is on its stream, and copies of one batch overlap with
the next. The CUDA provider has a session of ONNX Runtime for every shape: with its sizes fixed no node is left on the CPU, which
is made sure of, and runs are captured as CUDA graphs. With free sizes ONNX Runtime 1.31 has 30 of the 960 nodes of `fast`, which
compute shapes, on the CPU and copies one result to the GPU, with which it refuses both. Engines with a solver in the graph have
loops, and so no CUDA graphs. TensorRT and TensorRT-RTX compile a model once, for a range of shapes.

The counts, and all that calls the CUDA provider, were tried with onnxruntime-gpu over a stub of CUDA that computes nothing, the
rest on a simulated device; nothing has run on a GPU.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from bandrt.contract import DTYPES, TENSORS, Axes, known_sizes
from bandrt.engine.cuda_driver import Gpu, require_gpu
from bandrt.engine.cuda_wheels import require_driver
from bandrt.engine.onnx.denormals import aside
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.onnx.library import load_cuda_libraries, load_onnxruntime, plugin_devices
from bandrt.engine.onnx.model import first_line, read_model, session_options, unreadable
from bandrt.engine.onnx.providers import PROVIDERS, Provider, Ranges, Setting
from bandrt.engine.plan.cuda_device import CudaDevice, device_error
from bandrt.engine.plan.device import Device, DeviceBuffer, DeviceError, Stream
from bandrt.engine.plan.file import RTX_TARGETS
from bandrt.engine.plan.lane import Streams
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import parse_device, tells_of_memory
from bandrt.engine.shapes import BatchShape, input_axes
from bandrt.errors import EngineError, MissingPackageError
from bandrt.files import file_sha256
from bandrt.manifest import Bucket, Manifest, Profile

ON_CPU = "run it on the CPU: --device cpu"
ANY = 1 << 20
"""Crystals or atoms: no batch has more."""
COMPILED_ATOMS, COMPILED_CRYSTALS = 128, 64
"""What a model is compiled for by the providers that do that."""
USUAL_ATOMS = 16
"""Of a crystal, for which it is fastest."""
MOST_SLOTS = 128
"""Neighbours of an atom, where their number is not the graph recipe's."""
NO_TF32 = "NVIDIA_TF32_OVERRIDE"
"""Of the environment: the providers that compile have no option for it."""


def open_on_gpu(path: Path, *, device: str) -> PlanSession:
    """Open an ONNX file on a GPU.

    Args:
        path: the ``.onnx`` file.
        device: one of `bandrt.engine.session.DeviceKind` but ``cpu``, with or without a number.

    Raises:
        EngineError: ``engine-unreadable``, ``engine-mismatch`` or ``device-unavailable``.
        UsageError: ``unknown-device``.
        ManifestError: the model carries no manifest, or not one that describes it.
        MissingPackageError: ONNX Runtime or cuda-core is not installed.
    """
    kind, index = parse_device(device)
    provider = PROVIDERS[kind]
    purpose = f"{path}: device {device}"
    gpu = require_gpu(index, purpose=purpose, instead=ON_CPU, named=":" in device)
    require_driver(provider.packages, purpose=purpose, instead=ON_CPU)
    manifest = manifest_of(path)
    if manifest.solver == "lapack":
        raise EngineError(
            "device-unavailable",
            f"{path}: its bands are computed with LAPACK, on the CPU alone; run it with --device cpu, take another engine"
            " (--engine fast), or export it again with --solver graph",
        )
    _require_use(provider, manifest, gpu, f"device {device}")
    try:
        load_onnxruntime()
    except ImportError as error:
        raise MissingPackageError("onnxruntime", provider.extra, f"running {path.name}") from error
    missing = _started(provider, index, f"device {device}")
    dims = read_model(path, manifest)
    manifest = dataclasses.replace(manifest, profile=_profile(manifest, provider))
    try:
        on: Device = CudaDevice(index, extra=provider.extra)
        streams = Streams.of(on)
    except DeviceError as error:
        raise EngineError("device-unavailable", f"device {device}: {gpu.name} does not start ({error})") from error
    opener = _Opener(path, manifest, provider, index, gpu, missing, device)
    plan = OnnxPlan(opener, manifest, dims, streams.compute)
    session = PlanSession(path, manifest, plan, on, name=f"{kind}:{index}", streams=streams)
    try:
        session.prepare(plan.smallest)  # what is missing, such as cuDNN, may be noticed only by a run
    except EngineError as error:
        session.close()
        raise opener.refusal(error) from error
    return session


def _require_use(provider: Provider, manifest: Manifest, gpu: Gpu, said: str) -> None:
    """Refuse what a provider is not made for.

    Raises:
        EngineError: ``device-unavailable``.
    """
    if provider.plugin and gpu.target not in RTX_TARGETS:
        raise EngineError("device-unavailable", f"{said}: TensorRT-RTX has no target for {gpu.name}, {gpu.target}; use cuda")
    if provider.compiles and manifest.solver == "graph":
        raise EngineError(
            "device-unavailable",
            f"{said}: this engine has its solver in the graph, whose batches differ in meshes, too; use cuda, or build a plan",
        )


def _started(provider: Provider, index: int, said: str) -> str:
    """Let ONNX Runtime know a provider, and give what it says of libraries that it does not find.

    Raises:
        EngineError: ``device-unavailable``.
    """
    if provider.plugin:
        if len(plugin_devices(provider.name)) <= index:
            raise EngineError("device-unavailable", f"{said}: {provider.absent}, or use cpu")
        return ""
    if provider.name not in load_onnxruntime().get_available_providers():
        raise EngineError("device-unavailable", f"{said}: {provider.absent}, or use cpu")
    return load_cuda_libraries()


def _profile(manifest: Manifest, provider: Provider) -> Profile:
    """What batches are padded within: anything, or what the model is compiled for."""
    slots = None if "D" in known_sizes(manifest) else MOST_SLOTS if provider.compiles else ANY
    if not provider.compiles:
        return dataclasses.replace(manifest.profile, max_slots=slots, buckets=(Bucket(1, ANY, 1, ANY),))
    bucket = Bucket(1, COMPILED_ATOMS, 1, COMPILED_CRYSTALS)
    return Profile(COMPILED_ATOMS, COMPILED_CRYSTALS, slots, (bucket,))


def _ranges(manifest: Manifest) -> Ranges:
    """Shapes of the inputs that a model is compiled for."""
    least = manifest.recipe.graph.n_neighbors
    most = manifest.profile.max_slots or least
    shapes = (
        BatchShape(0, 1, 1, least),
        BatchShape(0, COMPILED_CRYSTALS, USUAL_ATOMS, least),
        BatchShape(0, COMPILED_CRYSTALS, COMPILED_ATOMS, most),
    )
    small, usual, large = (input_axes(manifest, shape) for shape in shapes)
    return {name: (small[name], usual[name], large[name]) for name in manifest.inputs}


class _Opener:
    """Opens sessions of ONNX Runtime on a GPU; one that would run elsewhere is refused."""

    def __init__(self, path: Path, manifest: Manifest, provider: Provider, index: int, gpu: Gpu, missing: str, device: str) -> None:
        self.path = path
        self.provider = provider
        self.index = index
        self._manifest = manifest
        self._gpu = gpu
        self._missing = missing
        self._device = device

    def open(self, stream: Stream, fixed: Mapping[str, int], *, graph: bool, on_gpu_alone: bool) -> Any:
        """A session.

        Args:
            stream: where it runs.
            fixed: sizes by the names of dimensions; of others, any.
            graph: whether runs become CUDA graphs.
            on_gpu_alone: whether a node on the CPU is an error.

        Raises:
            Exception: of ONNX Runtime's own classes.
        """
        provider = self.provider
        options = session_options(1)
        for name, size in fixed.items():
            options.add_free_dimension_override_by_name(name, size)
        if on_gpu_alone:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        ranges = _ranges(self._manifest) if provider.compiles else {}
        own = provider.options(Setting(self.index, stream.handle, graph, ranges, self._cache() if provider.compiles else None))
        if provider.compiles:
            os.environ[NO_TF32] = "0"
        inference_session = partial(load_onnxruntime().InferenceSession, str(self.path), sess_options=options, enable_fallback=0)
        if provider.plugin:
            options.add_provider_for_devices([plugin_devices(provider.name)[self.index]], own)
            return aside(inference_session)
        others = [
            (name, PROVIDERS["cuda"].options(Setting(self.index, stream.handle, False, {}, None))) for name in provider.beside
        ]
        return aside(partial(inference_session, providers=[(provider.name, own), *others]))

    def refusal(self, error: Exception | None) -> EngineError:
        """The error of a provider that did not start, or of what it does not run."""
        reason = self._missing or (first_line(error) if error is not None else "")
        because = f" ({reason})" if reason else ""
        return EngineError(
            "device-unavailable",
            f"device {self._device}: ONNX Runtime could not start {self.provider.name} on it{because}, and the CPU does not take"
            f" its place; {self.provider.stopped}",
        )

    def _cache(self) -> Path | None:
        """The folder for what is compiled of this model, by this ONNX Runtime, on this kind of GPU; None where none can be made."""
        origin = (load_onnxruntime().__version__, self._gpu.name, self._gpu.target)
        key = hashlib.sha256("\n".join((file_sha256(self.path), *origin)).encode()).hexdigest()[:32]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "bandrt" / f"{self.provider.kind}-{key}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            said = f"{folder}: what is compiled cannot be kept ({error}); the next run compiles it again"
            logging.getLogger(__name__).warning(said)
            return None
        return folder if os.access(folder, os.W_OK) else None


class OnnxPlan:
    """An ONNX file on a GPU, in the place of a plan."""

    n_profiles = 1
    compiles = False
    """What providers compile they keep themselves."""

    def __init__(self, opener: _Opener, manifest: Manifest, dims: Mapping[str, tuple[str | int, ...]], stream: Stream) -> None:
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
        self._fixed = not opener.provider.compiles and manifest.solver != "graph"
        self._graphs = self._fixed
        self._strict = self._fixed or opener.provider.compiles
        self.smallest = BatchShape(0, 1, 1, manifest.recipe.graph.n_neighbors, mesh=int(manifest.recipe.mesh is not None))
        """The shape of the smallest batch."""
        self._first = self._open_first(input_axes(manifest, self.smallest), stream)

    @property
    def runs_alone(self) -> bool:
        """ONNX Runtime captures in a mode in which no other thread may ask CUDA for anything."""
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
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:
            if not self._plan.give_up_graphs(error):
                raise device_error(str(error) or type(error).__name__) from error
            self._session = self._plan.session(self._inputs, self._stream)
            self._bind()
            with _device_errors():
                self._session.run_with_iobinding(self._binding, self._options)

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
