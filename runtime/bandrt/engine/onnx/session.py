"""ONNX Runtime sessions, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bandrt.contract import TENSORS, Dtype, hamiltonian_given, known_sizes, require_names
from bandrt.cores import available_cores
from bandrt.engine.cuda_driver import require_gpu
from bandrt.engine.cuda_wheels import require_driver
from bandrt.engine.onnx.binding import BoundRunner, load_cuda_libraries
from bandrt.engine.onnx.denormals import SESSION_OPTION, aside, flushed
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.onnx.slices import SlicedRunner, peak_of
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, parse_device, run_in_turn, tells_of_memory
from bandrt.engine.shapes import shape_of
from bandrt.errors import EngineError, MissingPackageError
from bandrt.manifest import Manifest

_ELEMENT_TYPES: dict[Dtype, str] = {"int32": "tensor(int32)", "float32": "tensor(float)", "bool": "tensor(bool)"}
_ERRORS_ONLY = 3
"""ONNX Runtime's log severity: warnings about its own optimiser are nothing a user can act on."""
CUDA_OPTIONS = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
"""True fp32, and memory no faster than shapes ask for it, since they change from batch to batch."""


class OnnxSession:
    """A model run by ONNX Runtime.

    The manifest is read and the model's inputs and outputs are compared with it before anything is computed. A CUDA device is
    used or refused, never replaced by the CPU. A model whose solver is ``lapack`` gives `bandrt.contract.hamiltonian_given`, of
    which `bandrt.engine.hamiltonian` makes what its manifest lists; batches of it are run as they are given.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None, whole_batches: bool = False) -> None:
        """Open a model.

        Args:
            path: the ``.onnx`` file.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            threads: CPU threads of one run; None takes every core this process may use.
            whole_batches: run a batch as it is given, padding included, as a check of the model wants it; otherwise the CPU takes
                it in slices, which is faster.

        Raises:
            EngineError: ``engine-unreadable``, ``engine-mismatch`` or ``device-unavailable``.
            UsageError: ``unknown-device``.
            ManifestError: the model carries no manifest, or not one that describes it.
            MissingPackageError: ONNX Runtime is not installed.
        """
        kind, index = parse_device(device)
        if kind == "cuda":
            purpose, instead = f"{path}: device {device}", "run it on the CPU: --device cpu"
            require_gpu(index, purpose=purpose, instead=instead, named=":" in device)
            require_driver(("onnxruntime-gpu",), purpose=purpose, instead=instead)
        self._manifest = manifest_of(path)
        self._path = path
        self._device = device if kind == "cpu" else f"cuda:{index}"
        on_host = self._manifest.solver == "lapack"
        if on_host and kind == "cuda":
            raise EngineError(
                "device-unavailable",
                f"{path}: its bands are computed with LAPACK, on the CPU alone; run it with --device cpu, take another engine"
                " (--engine fast), or export it again with --solver graph",
            )
        given = tuple(TENSORS[name] for name in self._manifest.outputs if name in TENSORS)
        self._gives = hamiltonian_given(self._manifest) if on_host else given
        try:
            onnxruntime = load_onnxruntime()
        except ImportError as error:
            raise MissingPackageError("onnxruntime", kind, f"running {path.name}") from error
        threads = threads or available_cores()
        provider, missing = "CPUExecutionProvider", ""
        providers: list[Any] = [provider]
        if kind == "cuda":
            provider = "CUDAExecutionProvider"
            if provider not in onnxruntime.get_available_providers():
                raise EngineError(
                    "device-unavailable",
                    f"device {device}: this onnxruntime has no CUDA; pip uninstall onnxruntime, then pip install 'bandrt[cuda]',"
                    " or use cpu",
                )
            missing = load_cuda_libraries()
            providers.insert(0, (provider, {"device_id": str(index), **CUDA_OPTIONS}))
        try:
            opened = partial(onnxruntime.InferenceSession, str(path), providers=providers)
            session = aside(partial(opened, sess_options=_options(threads)))
            sliced = kind == "cpu" and not whole_batches and not on_host
            alone = session
            if sliced and threads > 1:
                alone = aside(partial(opened, sess_options=_options(1)))
        except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
            raise EngineError("engine-unreadable", f"{path}: ONNX Runtime cannot load it ({_first_line(error)})") from error
        if provider not in session.get_providers():
            because = f" ({missing})" if missing else ""
            raise EngineError(
                "device-unavailable",
                f"device {device}: ONNX Runtime could not start {provider} on it, and the CPU does not take its place; CUDA or"
                f" cuDNN of the version it was built for is missing{because}: pip install 'onnxruntime-gpu[cuda,cudnn]'",
            )
        self._session: Any = session
        self._compare_with_manifest()
        self._sliced: SlicedRunner | None = None
        if sliced:
            run, run_alone = partial(self._evaluate, session), partial(self._evaluate, alone)
            self._sliced = SlicedRunner(run, run_alone, threads, peak_of(self._manifest))
        self._bound: BoundRunner | None = None
        if kind == "cuda":
            self._bound = BoundRunner(session, self._manifest.inputs, self._manifest.outputs, kind=kind, index=index)

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed."""
        return self._manifest

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda:N``."""
        return self._device

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch; see `bandrt.engine.session.Session.run`."""
        feeds = {name: inputs[name] for name in self._manifest.inputs}
        try:
            if self._bound is not None:
                return self._bound.run(feeds)
            return self._evaluate(self._session, feeds) if self._sliced is None else self._sliced.run(feeds)
        except Exception as error:
            crystals, atoms, _ = shape_of(inputs)
            if tells_of_memory(str(error)) or isinstance(error, MemoryError):
                if self._bound is not None:
                    self._bound.forget()
                raise OutOfMemoryError.of_batch(self._device, crystals, atoms) from error
            raise EngineError(
                "engine-failed", f"{self._path}: failed on {crystals} crystals of up to {atoms} atoms ({_first_line(error)})"
            ) from error

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Evaluate batches one after another; see `bandrt.engine.session.Session.run_many`."""
        return run_in_turn(self.run, batches)

    def close(self) -> None:
        """Free the model."""
        if self._sliced is not None:
            self._sliced.close()
        self._sliced = self._bound = self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _evaluate(self, session: Any, feeds: Inputs) -> Outputs:
        names = [tensor.name for tensor in self._gives]
        return dict(zip(names, flushed(partial(session.run, names, feeds)), strict=True))

    def _compare_with_manifest(self) -> None:
        manifest = self._manifest
        require_names(manifest, name=str(self._path))
        inputs = {i.name: i for i in self._session.get_inputs()}
        outputs = {o.name: o for o in self._session.get_outputs()}
        given = {tensor.name for tensor in self._gives}
        self._compare("inputs", set(inputs), set(manifest.inputs))
        self._compare("outputs", set(outputs) & given, given)
        for tensor in (*(TENSORS[name] for name in manifest.inputs), *self._gives):
            found, expected = (inputs | outputs)[tensor.name], _ELEMENT_TYPES[tensor.dtype]
            if found.type != expected:
                raise EngineError("engine-mismatch", f"{self._path}: {tensor.name} is {found.type}, expected {expected}")
            self._compare_shape(tensor.name, found.shape, tensor.shape(known_sizes(manifest)))

    def _compare(self, what: str, found: set[str], expected: set[str]) -> None:
        if found != expected:
            raise EngineError(
                "engine-mismatch",
                f"{self._path}: the model's {what} are {', '.join(sorted(found))}, its manifest says {', '.join(sorted(expected))}",
            )

    def _compare_shape(self, name: str, found: Sequence[Any], expected: tuple[str | int, ...]) -> None:
        """Compare the sizes that both the model and its manifest have fixed."""
        for axis, (size, said) in enumerate(zip(found, expected, strict=False)):
            if isinstance(size, int) and isinstance(said, int) and size != said:
                raise EngineError(
                    "engine-mismatch", f"{self._path}: axis {axis} of {name} has size {size}, its manifest says {said}"
                )


def _options(threads: int) -> Any:
    """How ONNX Runtime runs a model."""
    options = load_onnxruntime().SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # plans memory per shape, and shapes here change from batch to batch
    options.add_session_config_entry(*SESSION_OPTION)
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
