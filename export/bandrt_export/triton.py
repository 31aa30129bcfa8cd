"""A model repository for Triton: a model of crystals, and the model of arrays that is behind it, each with its configuration.

``bandrt`` takes the text of a CIF and answers in JSON, so that a client needs nothing of ours; ``bandrt_arrays`` is the engine as
it is, which takes the arrays of the graph contract. Both run the same model file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bandrt.contract import INVERSION, TENSORS, TensorSpec, given_by, known_sizes
from bandrt.engine import ONNX_SUFFIX, PLAN_SUFFIX, engine_sha256, read_manifest
from bandrt.engine.calibration_file import calibration_path
from bandrt.engine.plan.file import sidecar
from bandrt.errors import OutputInTheWayError, UsageError
from bandrt.files import check_folder, replaced, temporary_beside
from bandrt.manifest import Manifest

CRYSTALS: Final = "bandrt"
"""The model that takes texts."""
ARRAYS: Final = "bandrt_arrays"
"""The model that takes arrays."""
CONFIG: Final = "config.pbtxt"
"""What every model has."""
KEPT: Final = "config.pbtxt.before"
"""A configuration that was edited, when another one takes its place."""
QUEUE_MICROSECONDS: Final = 5_000
"""How long a crystal waits for others that go through the engine with it."""
BATCH_SIZE: Final = 64
"""Crystals that the server puts together at most, of any size, where the engine sets no limit."""
TIMEOUT_S: Final = 60
"""After how many seconds a crystal is given up, and the process that predicted it is replaced."""
_STAMP: Final = "# sha256 of what follows, as bandrt wrote it: "
"""Begins a configuration, and tells whether it was edited."""
_ENGINE_FILES: Final = frozenset(
    place(Path(f"model{suffix}")).name for suffix in (ONNX_SUFFIX, PLAN_SUFFIX) for place in (Path, calibration_path, sidecar)
)
"""What version 1 of the model of arrays may consist of."""
_TYPES: Final = {"int32": "TYPE_INT32", "float32": "TYPE_FP32", "bool": "TYPE_BOOL"}


class Written(NamedTuple):
    """What was written."""

    manifest: Manifest
    """What the engine says of itself."""
    kept: tuple[Path, ...]
    """Where configurations lie that were edited and replaced."""


def check(repository: Path, *, overwrite: bool) -> None:
    """Find out before the work that the models cannot be written; other models in the repository are left alone.

    Raises:
        OutputError: ``output-exists``, ``output-foreign`` for what is no model, ``output-not-a-folder`` or ``output-unwritable``.
    """
    check_folder(repository)
    for folder in (repository / CRYSTALS, repository / ARRAYS):
        if not os.path.lexists(folder):
            continue
        if not overwrite:
            raise OutputInTheWayError(
                "output-exists", f"{folder}: is there already; choose another folder, or add --overwrite to replace it"
            )
        if folder.is_symlink() or not (folder / CONFIG).is_file():
            raise OutputInTheWayError(
                "output-foreign", f"{folder}: is no model of Triton (it has no {CONFIG}); choose another folder"
            )


def write(engine: Path, repository: Path, *, python: str | None = None) -> Written:
    """Write the two models; each is whole or not there.

    Of a model that is there, files of version 1 are replaced, one by one, and the configuration after them: at no moment is there
    none. Other versions and files stay.

    Args:
        engine: an ONNX file, or a plan of full TensorRT.
        repository: made if it is not there; see `check`.
        python: the interpreter with bandrt on the server; None: the one that this runs in.

    Raises:
        UsageError: ``triton-backend`` for a plan that Triton cannot run.
        BandrtError: as `bandrt.engine.read_manifest`.
    """
    manifest = read_manifest(engine)
    if manifest.backend.name == "tensorrt-rtx":
        raise UsageError(
            "triton-backend",
            f"{engine.name}: Triton runs plans of full TensorRT, not of TensorRT-RTX; build it with --backend tensorrt on the GPU"
            " of the server, or take an ONNX engine",
        )
    model = f"model{engine.suffix.lower()}"
    repository.mkdir(parents=True, exist_ok=True)
    beside = [(place(engine), place(Path(model)).name) for place in (calibration_path, sidecar) if place(engine).is_file()]
    kept = _put(repository / ARRAYS, arrays_config(manifest, model), [(engine, model), *beside])
    code = (Path(__file__).with_name("triton_model.py"), "model.py")
    sha256 = engine_sha256(repository / ARRAYS / "1" / model)
    config = crystals_config(manifest, f"../{ARRAYS}/1/{model}", python or sys.executable, sha256=sha256)
    kept += _put(repository / CRYSTALS, config, [code])
    for name in _ENGINE_FILES - {model, *(name for _, name in beside)}:
        (repository / ARRAYS / "1" / name).unlink(missing_ok=True)
    return Written(manifest, tuple(kept))


def crystals_config(manifest: Manifest, engine: str, python: str, *, sha256: str) -> str:
    """The configuration of the model of crystals.

    Args:
        manifest: of the engine.
        engine: the model file, from the folder of this model.
        python: the interpreter with bandrt.
        sha256: of the model file, which may be replaced by no other while this configuration stands.
    """
    parameters = {"engine": engine, "engine_sha256": sha256, "python": python, "threads": "", "timeout": str(TIMEOUT_S)}
    return _written(
        'backend: "python"',
        f"max_batch_size: {manifest.profile.max_batch or BATCH_SIZE}",
        _tensors("input", ['name: "cif" data_type: TYPE_STRING dims: [ 1 ]']),
        _tensors("output", ['name: "json" data_type: TYPE_STRING dims: [ 1 ]']),
        f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_MICROSECONDS} }}",
        f"instance_group [ {{ kind: {_kind(manifest)} count: 1 }} ]",
        *(f'parameters {{ key: "{name}" value: {{ string_value: {_quoted(value)} }} }}' for name, value in parameters.items()),
    )


def arrays_config(manifest: Manifest, model: str) -> str:
    """The configuration of the model of arrays.

    Requests of one shape are batched by Triton, unless the engine has inputs for the first crystals of a batch alone. A plan names
    all its optimisation profiles, among which Triton chooses by the shape of a batch.

    Args:
        manifest: of the engine.
        model: the name of the model file.
    """
    outputs = given_by(manifest)
    inputs, sizes = [TENSORS[name] for name in manifest.inputs], known_sizes(manifest)
    is_batched = not set(INVERSION) & set(manifest.inputs)
    is_plan = model.endswith(PLAN_SUFFIX)
    profiles = ", ".join(f'"{place}"' for place in range(len(manifest.profile.buckets)))
    return _written(
        'backend: "tensorrt"' if is_plan else 'backend: "onnxruntime"',
        f'default_model_filename: "{model}"',
        f"max_batch_size: {(manifest.profile.max_batch or BATCH_SIZE) if is_batched else 0}",
        _tensors("input", [_tensor(one, one.shape(sizes), is_batched) for one in inputs]),
        _tensors("output", [_tensor(one, one.shape(sizes), is_batched) for one in outputs]),
        *(["dynamic_batching { }"] if is_batched else []),
        f"instance_group [ {{ kind: {_kind(manifest)} count: 1{f' profile: [ {profiles} ]' if is_plan else ''} }} ]",
    )


def _kind(manifest: Manifest) -> str:
    return "KIND_CPU" if manifest.backend.name == "onnx" else "KIND_GPU"


def _tensor(one: TensorSpec, shape: Sequence[int | str], is_batched: bool) -> str:
    sizes = [size if isinstance(size, int) else -1 for size in shape[1 if is_batched else 0 :]]
    dims = f"dims: [ {', '.join(map(str, sizes))} ]" if sizes else "dims: [ 1 ] reshape { shape: [ ] }"  # a number for each crystal
    return f'name: "{one.name}" data_type: {_TYPES[one.dtype]} {dims}'


def _tensors(what: str, tensors: Iterable[str]) -> str:
    inside = ",\n".join(f"  {{ {one} }}" for one in tensors)
    return f"{what} [\n{inside}\n]"


def _quoted(text: str) -> str:
    """A text as a configuration has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _written(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _put(folder: Path, config: str, files: Sequence[tuple[Path, str]]) -> list[Path]:
    """Write version 1 of a model and its configuration, under another name first where there is no such model.

    Returns:
        Where the earlier configuration lies, if it was edited.
    """
    if folder.exists():
        return _fill(folder, config, files)
    building = temporary_beside(folder)
    try:
        building.mkdir()
        _fill(building, config, files)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return []


def _fill(folder: Path, config: str, files: Sequence[tuple[Path, str]]) -> list[Path]:
    version, kept = folder / "1", []
    version.mkdir(exist_ok=True)
    for path, name in files:
        _copy(path, version / name)
    there = folder / CONFIG
    if there.exists() and _is_edited(there):
        kept.append(folder / KEPT)
        _copy(there, *kept)
    with replaced(there) as file:
        file.write(_stamped(config))
    return kept


def _copy(path: Path, to: Path) -> None:
    with path.open("rb") as source, replaced(to, "wb") as file:
        shutil.copyfileobj(source, file)


def _stamped(config: str) -> str:
    return f"{_STAMP}{hashlib.sha256(config.encode()).hexdigest()}\n{config}"


def _is_edited(path: Path) -> bool:
    """Whether a configuration is another one than bandrt wrote; of one without a stamp nobody knows, and it is."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text != _stamped(text.partition("\n")[2])
