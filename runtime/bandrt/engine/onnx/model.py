"""What an ONNX file takes and gives, compared with its manifest, and how ONNX Runtime is told to run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandrt.contract import TENSORS, Dtype, given_by, known_sizes, require_names
from bandrt.engine.onnx.denormals import SESSION_OPTION, aside
from bandrt.engine.onnx.library import load_onnxruntime
from bandrt.errors import EngineError
from bandrt.manifest import Manifest

_ELEMENT_TYPES: dict[Dtype, str] = {"int32": "tensor(int32)", "float32": "tensor(float)", "bool": "tensor(bool)"}
_ERRORS_ONLY = 3
"""ONNX Runtime's log severity: warnings about its own optimiser are nothing a user can act on."""


def session_options(threads: int) -> Any:
    """How ONNX Runtime runs a model: an ``onnxruntime.SessionOptions``."""
    options = load_onnxruntime().SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # plans memory per shape, and shapes here change from batch to batch
    options.add_session_config_entry(*SESSION_OPTION)
    return options


def read_model(path: Path, manifest: Manifest) -> dict[str, tuple[str | int, ...]]:
    """The dimensions of each input of a file, compared with its manifest: names of those that are free.

    Raises:
        EngineError: ``engine-unreadable`` or ``engine-mismatch``.
        ManifestError: the manifest is of no model.
    """
    library, options = load_onnxruntime(), session_options(1)
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = aside(lambda: library.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
        raise unreadable(path, error) from error
    compare_with_manifest(session, manifest, path)
    return {one.name: tuple(one.shape) for one in session.get_inputs()}


def compare_with_manifest(session: Any, manifest: Manifest, path: Path) -> None:
    """Compare what a session takes and gives with its manifest.

    Args:
        session: an ``onnxruntime.InferenceSession``.
        manifest: of its file.
        path: its file, for messages.

    Raises:
        EngineError: ``engine-mismatch``.
        ManifestError: the manifest is of no model.
    """
    gives = given_by(manifest)
    require_names(manifest, name=str(path))
    inputs = {i.name: i for i in session.get_inputs()}
    outputs = {o.name: o for o in session.get_outputs()}
    given = {tensor.name for tensor in gives}
    _compare(path, "inputs", set(inputs), set(manifest.inputs))
    _compare(path, "outputs", set(outputs) & given, given)
    for tensor in (*(TENSORS[name] for name in manifest.inputs), *gives):
        found, expected = (inputs | outputs)[tensor.name], _ELEMENT_TYPES[tensor.dtype]
        if found.type != expected:
            raise EngineError("engine-mismatch", f"{path}: {tensor.name} is {found.type}, expected {expected}")
        _compare_shape(path, tensor.name, found.shape, tensor.shape(known_sizes(manifest)))


def unreadable(path: Path, error: Exception) -> EngineError:
    """The error of a file that ONNX Runtime does not load."""
    return EngineError("engine-unreadable", f"{path}: ONNX Runtime cannot load it ({first_line(error)})")


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _compare(path: Path, what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise EngineError(
            "engine-mismatch",
            f"{path}: the model's {what} are {', '.join(sorted(found))}, its manifest says {', '.join(sorted(expected))}",
        )


def _compare_shape(path: Path, name: str, found: Sequence[Any], expected: tuple[str | int, ...]) -> None:
    """Compare the sizes that both the model and its manifest have fixed."""
    for axis, (size, said) in enumerate(zip(found, expected, strict=False)):
        if isinstance(size, int) and isinstance(said, int) and size != said:
            raise EngineError("engine-mismatch", f"{path}: axis {axis} of {name} has size {size}, its manifest says {said}")
