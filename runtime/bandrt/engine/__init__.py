"""Inference sessions: one interface (`session`), opened by `open_session`.

- `onnx`: `session` runs ONNX files on the CPU, `gpu` on a GPU, by one of `providers`, under the session of plans; `file` reads
  their manifest without ONNX Runtime.
- `hamiltonian` makes bands of what an ONNX file gives that ends at a Hamiltonian.
- `plan`: `open` checks and opens plans, `session` runs them, `lane` is the way of one batch over the GPU, `shapes` and `pool` say
  what it is padded to and where it lies. All of that stands on `device`, a protocol; behind it are `cuda_device`, the only module
  that calls CUDA, and `tensorrt`, the only one that calls TensorRT. `file` reads the manifest without either.
- `several` deals batches out to sessions on several GPUs.
- `null` is the engine without inference, a manifest alone.
- `calibration_file` is the calibration beside an engine, of either kind.
- `memory` halves batches that do not fit, for any session; `cuda_driver` finds GPUs without a CUDA package, `cuda_wheels` says
  whether the installed ones are of a CUDA that the driver runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bandrt.errors import BandrtError, EngineError
from bandrt.files import SPECIAL, file_sha256, is_special
from bandrt.quoting import did_you_mean, nearest

if TYPE_CHECKING:
    from bandrt.engine.session import Session
    from bandrt.manifest import BandRule, Manifest


ONNX_SUFFIX, PLAN_SUFFIX, NULL_SUFFIX = ".onnx", ".plan", ".manifest"
"""What model files are called, in lower case: ONNX files, TensorRT plans, and manifests without a model."""
SHIPPED_ENGINES = MappingProxyType({name: Path(__file__).parents[1] / "models" / f"{name}.onnx" for name in ("fast", "accurate")})
"""The models that come with this package, by name."""
DEFAULT_ENGINE = SHIPPED_ENGINES["accurate"]
"""What is taken where none is named."""
SHIPPED = "shipped"
"""What the default is called, too."""
NULL_ENGINE = Path(__file__).parents[1] / "models" / "null.manifest"
"""The engine without inference; it is no model, so that nothing is handed over to it or made of it."""
NAMED_ENGINES = MappingProxyType({**SHIPPED_ENGINES, NULL_ENGINE.stem: NULL_ENGINE})
"""All engines that have a name."""


def shipped_path(name: object, shipped: Mapping[str, Path] = NAMED_ENGINES) -> Path | None:
    """The file that a name stands for; None for what is no such name, and where a file here is called so.

    Args:
        name: ``fast``, ``accurate`` or ``shipped``; ``null``.
        shipped: files by the names of engines.
    """
    if not isinstance(name, str) or name not in (*shipped, SHIPPED) or (os.path.exists(name) and not os.path.isdir(name)):
        return None  # a folder, such as one of results, is no engine
    return shipped[DEFAULT_ENGINE.stem if name == SHIPPED else name]


def default_device(path: Path) -> str:
    """Where an engine runs unless it is said: ONNX files on the CPU, plans on a GPU, since they run nowhere else."""
    return "cuda" if path.suffix.lower() == PLAN_SUFFIX else "cpu"


def chosen_bands(manifest: Manifest, bands: int | None, *, path: Path) -> BandRule:
    """The rule of the bands that are asked of an engine.

    Args:
        manifest: what its file says.
        bands: how many around the Fermi level; None: as many as it says.
        path: its file, for messages.

    Raises:
        EngineError: ``bands-fixed``: it knows no others.
        ArgumentError: ``bad-argument`` for a number that no engine gives.
    """
    rule = manifest.bands if bands is None else manifest.bands.widened(bands)
    if rule != manifest.bands and manifest.solver != "lapack":
        knows = f"{path}: this engine knows {manifest.bands.n_bands} bands, and {bands} are asked for"
        raise EngineError("bands-fixed", f"{knows}; leave out bands, or take the engine accurate")
    return rule


def open_session(
    path: Path, *, device: str | None = None, threads: int | None = None, exact: bool = False, bands: int | None = None
) -> Session:
    """Open a model file with the backend its name asks for.

    Args:
        path: ``*.onnx`` or ``*.plan``, or a ``*.manifest`` without a model.
        device: ``cpu``, ``cuda`` or ``cuda:N``, for ONNX files also ``tensorrt:N`` and ``nv-tensorrt-rtx:N``, or several GPUs by
            commas, which share batches; None takes `default_device`. It is used or refused, never replaced.
        threads: CPU threads of one run; None takes every core this process may use.
        exact: compute every k-point, as a check of the model wants it, where large crystals are interpolated otherwise.
        bands: how many are given, around the Fermi level; None takes as many as the manifest says.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format``, ``bands-fixed``, or what the backend finds.
        UsageError: ``unknown-device``.
        ArgumentError: ``bad-argument`` for a number of bands that no engine gives.
    """
    from bandrt.engine.several import SeveralSessions, parse_devices

    device = default_device(path) if device is None else device
    suffix = _suffix(path)
    if len(devices := parse_devices(device)) > 1:
        with ExitStack() as opened:
            sessions = [
                opened.enter_context(open_session(path, device=one, threads=threads, exact=exact, bands=bands)) for one in devices
            ]
            opened.pop_all()
        return SeveralSessions(sessions)
    if suffix == PLAN_SUFFIX:
        from bandrt.engine.plan.open import open_plan

        session: Session = open_plan(path, device=device)
    elif suffix == NULL_SUFFIX:
        from bandrt.engine.null import NullSession

        session = NullSession(path, device=device)
    else:
        from bandrt.engine.onnx.open import open_onnx

        session = open_onnx(path, device=device, threads=threads)
    try:
        rule = chosen_bands(session.manifest, bands, path=path)
    except BandrtError:
        session.close()
        raise
    if session.manifest.solver == "lapack":
        from bandrt.engine.hamiltonian import HamiltonianSession

        return HamiltonianSession(session, threads=threads, exact=exact, bands=rule)
    return session


def read_manifest(path: Path) -> Manifest:
    """Read what a model file says of itself, without a backend.

    Raises:
        EngineError: ``engine-not-found``, ``engine-format``, ``engine-unreadable``, ``engine-changed``,
            ``engine-external-data`` or ``plan-changed``.
        ManifestError: the file has no manifest, or not one this version reads.
    """
    from bandrt.engine import null
    from bandrt.engine.onnx import file as onnx_file
    from bandrt.engine.plan import file as plan_file

    files = {ONNX_SUFFIX: onnx_file.manifest_of, PLAN_SUFFIX: plan_file.manifest_of, NULL_SUFFIX: null.manifest_of}
    return files[_suffix(path)](path)


def has_checksum(path: Path) -> bool:
    """Whether a model file and its manifest were compared with a checksum: engines of earlier versions have none.

    Without a model there is nothing to compare.
    """
    from bandrt.engine.onnx import file as onnx_file
    from bandrt.engine.plan import file as plan_file

    files = {ONNX_SUFFIX: onnx_file.has_checksum, PLAN_SUFFIX: plan_file.has_checksum}
    suffix = _suffix(path)
    return suffix == NULL_SUFFIX or files[suffix](path)


def engine_sha256(path: Path) -> str:
    """Which engine a file is that `read_manifest` has read: a checksum of the model and its manifest together.

    Of an ONNX file, which has its manifest inside, and of a manifest without a model, it is that of the file.
    """
    from bandrt.engine.plan.file import plan_sha256

    return plan_sha256(path) if _suffix(path) == PLAN_SUFFIX else file_sha256(path)


def require_there(path: Path) -> None:
    """Refuse a model file that there is not, before what runs one is loaded.

    Raises:
        EngineError: ``engine-not-found``.
    """
    if not os.path.isfile(path):
        why = "is a folder; name the model file in it" if os.path.isdir(path) else "there is no such model file"
        why = SPECIAL if is_special(path) else why
        raise EngineError("engine-not-found", f"{path}: {why}{names_there_are(path)}")


def names_there_are(path: Path) -> str:
    """What to say of a name that is no file, where one of an engine that comes with this package may be meant; else nothing."""
    if path.suffix or len(path.parts) != 1 or os.path.lexists(path):
        return ""
    if path.name in (*NAMED_ENGINES, SHIPPED):
        return f"; the engine that comes with bandrt is named by a text, {path.name!r}, and this is a path"
    meant = did_you_mean(nearest(path.name, (*SHIPPED_ENGINES, SHIPPED)))
    return f"; {f'{meant} ' if meant else ''}Engines that come with bandrt: {', '.join(SHIPPED_ENGINES)}"


def _suffix(path: Path) -> str:
    """``.onnx``, ``.plan`` or ``.manifest``, of a file that is there."""
    require_there(path)
    suffix = path.suffix.lower()
    if suffix not in (ONNX_SUFFIX, PLAN_SUFFIX, NULL_SUFFIX):
        raise EngineError(
            "engine-format", f"{path}: {path.suffix or 'a file without suffix'} is no model format known here; use .onnx or .plan"
        )
    return suffix
