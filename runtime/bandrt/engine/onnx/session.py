"""ONNX Runtime sessions on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bandrt.contract import given_by
from bandrt.cores import available_cores
from bandrt.engine.onnx.denormals import aside, flushed
from bandrt.engine.onnx.file import manifest_of
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.engine.onnx.model import compare_with_manifest, first_line, session_options, unreadable
from bandrt.engine.onnx.slices import SlicedRunner, peak_of
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, run_in_turn, tells_of_memory
from bandrt.engine.shapes import shape_of
from bandrt.errors import EngineError, MissingPackageError
from bandrt.manifest import Manifest


class OnnxSession:
    """A model run by ONNX Runtime on the CPU; `bandrt.engine.onnx.gpu` runs it on a GPU.

    The manifest is read and the model's inputs and outputs are compared with it before anything is computed. A model whose solver
    is ``lapack`` gives `bandrt.contract.hamiltonian_given`, of which `bandrt.engine.hamiltonian` makes what its manifest lists; its
    batches are run as they are given.
    """

    def __init__(self, path: Path, *, threads: int | None = None, whole_batches: bool = False) -> None:
        """Open a model.

        Args:
            path: the ``.onnx`` file.
            threads: CPU threads of one run; None takes every core this process may use.
            whole_batches: run a batch as it is given, padding included, as a check of the model wants it; otherwise it is taken
                in slices, which is faster.

        Raises:
            EngineError: ``engine-unreadable`` or ``engine-mismatch``.
            ManifestError: the model carries no manifest, or not one that describes it.
            MissingPackageError: ONNX Runtime is not installed.
        """
        self._manifest = manifest_of(path)
        self._path = path
        self._gives = given_by(self._manifest)
        try:
            onnxruntime = load_onnxruntime()
        except ImportError as error:
            raise MissingPackageError("onnxruntime", "cpu", f"running {path.name}") from error
        threads = threads or available_cores()
        try:
            opened = partial(onnxruntime.InferenceSession, str(path), providers=["CPUExecutionProvider"])
            session = aside(partial(opened, sess_options=session_options(threads)))
            sliced = not whole_batches and self._manifest.solver != "lapack"
            alone = session
            if sliced and threads > 1:
                alone = aside(partial(opened, sess_options=session_options(1)))
        except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
            raise unreadable(path, error) from error
        self._session: Any = session
        compare_with_manifest(session, self._manifest, path)
        self._sliced: SlicedRunner | None = None
        if sliced:
            run, run_alone = partial(self._evaluate, session), partial(self._evaluate, alone)
            self._sliced = SlicedRunner(run, run_alone, threads, peak_of(self._manifest))

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed."""
        return self._manifest

    @property
    def device(self) -> str:
        """``cpu``."""
        return "cpu"

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch; see `bandrt.engine.session.Session.run`."""
        feeds = {name: inputs[name] for name in self._manifest.inputs}
        try:
            return self._evaluate(self._session, feeds) if self._sliced is None else self._sliced.run(feeds)
        except Exception as error:
            crystals, atoms, _ = shape_of(inputs)
            if tells_of_memory(str(error)) or isinstance(error, MemoryError):
                raise OutOfMemoryError.of_batch(self.device, crystals, atoms) from error
            raise EngineError(
                "engine-failed", f"{self._path}: failed on {crystals} crystals of up to {atoms} atoms ({first_line(error)})"
            ) from error

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Evaluate batches one after another; see `bandrt.engine.session.Session.run_many`."""
        return run_in_turn(self.run, batches)

    def close(self) -> None:
        """Free the model."""
        if self._sliced is not None:
            self._sliced.close()
        self._sliced = self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _evaluate(self, session: Any, feeds: Inputs) -> Outputs:
        names = [tensor.name for tensor in self._gives]
        return dict(zip(names, flushed(partial(session.run, names, feeds)), strict=True))
