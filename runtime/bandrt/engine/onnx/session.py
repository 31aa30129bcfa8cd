"""ONNX Runtime sessions, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bandrt.engine.cuda_driver import require_gpu
from bandrt.engine.onnx.binding import BoundRunner, load_cuda_libraries
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.onnx.slices import SlicedRunner
from bandrt.engine.session import (
    INPUT_TYPES,
    OUTPUT_TYPES,
    Inputs,
    OutOfMemoryError,
    Outputs,
    available_cores,
    parse_device,
    run_in_turn,
)
from bandrt.errors import EngineError, ManifestError, MissingPackageError
from bandrt.manifest import Manifest

_ELEMENT_TYPES = {"int32": "tensor(int32)", "float32": "tensor(float)", "bool": "tensor(bool)"}
_ERRORS_ONLY = 3
"""ONNX Runtime's log severity: warnings about its own optimiser are nothing a user can act on."""
OUT_OF_MEMORY = ("Failed to allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc", "bad allocation")
"""How ONNX Runtime's messages spell it; it has no class of its own for this."""
CUDA_OPTIONS = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
"""True fp32, and memory no faster than shapes ask for it, since they change from batch to batch."""


class OnnxSession:
    """A model run by ONNX Runtime.

    The manifest is read and the model's inputs and outputs are compared with it before anything is computed. A CUDA device is
    used or refused, never replaced by the CPU.
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
            require_gpu(index, purpose=f"{path}: device {device}", instead="run it on the CPU: --device cpu")
        self._manifest = manifest_of(path)
        self._path = path
        self._device = device if kind == "cpu" else f"cuda:{index}"
        try:
            import onnxruntime
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
            session = onnxruntime.InferenceSession(str(path), sess_options=_options(threads), providers=providers)
            sliced = kind == "cpu" and not whole_batches
            alone = session
            if sliced and threads > 1:
                alone = onnxruntime.InferenceSession(str(path), sess_options=_options(1), providers=providers)
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
            self._sliced = SlicedRunner(partial(self._evaluate, session), partial(self._evaluate, alone), threads)
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
            crystals, atoms = inputs["atomic_numbers"].shape
            if any(words in str(error) for words in OUT_OF_MEMORY) or isinstance(error, MemoryError):
                if self._bound is not None:
                    self._bound.forget()
                raise OutOfMemoryError(f"{self._device} has no memory for {crystals} crystals of up to {atoms} atoms") from error
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
        names = list(self._manifest.outputs)
        return dict(zip(names, session.run(names, feeds), strict=True))

    def _compare_with_manifest(self) -> None:
        manifest = self._manifest
        inputs = {i.name: i for i in self._session.get_inputs()}
        outputs = {o.name: o for o in self._session.get_outputs()}
        self._compare("inputs", set(inputs), set(manifest.inputs))
        if "band_energies" not in manifest.outputs:
            raise ManifestError("manifest-invalid", f"{self._path}: the manifest lists no output band_energies")
        self._compare("outputs", set(outputs) & set(manifest.outputs), set(manifest.outputs))
        for name, known in [*((n, INPUT_TYPES) for n in manifest.inputs), *((n, OUTPUT_TYPES) for n in manifest.outputs)]:
            found = (inputs | outputs)[name].type
            if name not in known or found != _ELEMENT_TYPES[known[name]]:
                wanted = _ELEMENT_TYPES[known[name]] if name in known else "no such name in this version"
                raise EngineError("engine-mismatch", f"{self._path}: {name} is {found}, expected {wanted}")
        self._compare_size("kpoints", inputs, 1, manifest.recipe.kpath.n_kpoints)
        self._compare_size("neighbor_index", inputs, 2, manifest.recipe.graph.n_neighbors)
        self._compare_size("band_energies", outputs, 1, manifest.bands.n_bands)

    def _compare(self, what: str, found: set[str], expected: set[str]) -> None:
        if found != expected:
            raise EngineError(
                "engine-mismatch",
                f"{self._path}: the model's {what} are {', '.join(sorted(found))}, its manifest says {', '.join(sorted(expected))}",
            )

    def _compare_size(self, name: str, tensors: dict[str, Any], axis: int, expected: int) -> None:
        found = tensors[name].shape[axis] if name in tensors else expected
        if isinstance(found, int) and found != expected:
            raise EngineError(
                "engine-mismatch", f"{self._path}: axis {axis} of {name} has size {found}, its manifest says {expected}"
            )


def _options(threads: int) -> Any:
    """How ONNX Runtime runs a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # plans memory per shape, and shapes here change from batch to batch
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
