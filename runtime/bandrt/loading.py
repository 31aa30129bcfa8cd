"""Loading: from the path or name of a model, and a device, to an open engine, with the one that it hands crystals over to."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from bandrt.arguments import check_kind, checked_whole
from bandrt.engine import DEFAULT_ENGINE, PLAN_SUFFIX, open_session, shipped_path
from bandrt.engine.session import MAX_THREADS, Session
from bandrt.errors import BandrtError
from bandrt.files import path_of
from bandrt.predict import Engine
from bandrt.routes import other_device, other_engine, unavailable


class EngineWarning(UserWarning):
    """An engine can be used, but not be trusted as others can."""


def load(
    path: str | os.PathLike[str] | None = None,
    device: str | None = None,
    *,
    threads: int | None = None,
    bands: int | None = None,
    hand_over: bool = True,
) -> Engine:
    """Open an engine.

    Args:
        path: a model file, or the name of an engine that comes with this package: ``fast`` or ``accurate``, where nothing here is
            called so; ``null`` for the one without inference; None opens the accurate one.
        device: ``cpu``, ``cuda`` or ``cuda:N``, for ONNX files also ``tensorrt:N`` and ``nv-tensorrt-rtx:N``, or several GPUs by
            commas, ``cuda:0,cuda:1``: used or refused, never replaced; None takes the CPU for an ONNX file, the first GPU for a
            plan.
        threads: CPU threads; None takes every core this process may use.
        bands: how many around the Fermi level, half of them below; None takes six. The engine ``accurate`` gives any even number
            from six on, of which a crystal that has fewer gives those it has: gap and metal or not are the same.
        hand_over: whether crystals of the elements in `Manifest.hand_over` are predicted by the engine that it names, which is
            opened, too, on the same device, beside a plan on the CPU; otherwise the model predicts them all itself.

    Raises:
        ArgumentError: ``bad-argument`` for what is no path, device, or number of threads or bands.
        EngineError: the model cannot be opened or the device not used; ``bands-fixed`` where it knows no more bands;
            ``hand-over-unavailable`` where the other engine cannot be had.
        UsageError: ``unknown-device``.
        ManifestError: the model carries no manifest, or not one that describes it.
        MissingPackageError: the backend is not installed.
    """
    file = DEFAULT_ENGINE if path is None else shipped_path(path) or path_of(path)
    if device is not None:
        check_kind("device", device, str)
    if threads is not None:
        threads = checked_whole("threads", threads, at_least=1, at_most=MAX_THREADS)
    check_kind("hand_over", hand_over, bool)
    session = open_session(file, device=device, threads=threads, bands=bands)
    try:
        other = _opened_other(session, file, device, threads) if hand_over else None
    except BaseException:
        session.close()
        raise
    engine = Engine(session, file, hands_over_to=other)
    if not engine.has_checksum:
        warnings.warn(unverified(file), EngineWarning, stacklevel=2)
    return engine


def _opened_other(session: Session, path: Path, device: str | None, threads: int | None) -> Engine | None:
    """The engine that an open one hands crystals over to, if there is any.

    Raises:
        EngineError: ``hand-over-unavailable``.
    """
    rule, file = session.manifest.hand_over, other_engine(path, session.manifest)
    if rule is None or file is None:
        return None
    try:
        return Engine(open_session(file, device=other_device(path, device), threads=threads), file)
    except BandrtError as error:
        raise unavailable(path, rule, error.message) from error


def unverified(path: Path) -> str:
    """What to say of an engine without a checksum."""
    of = "manifest" if path.suffix.lower() == PLAN_SUFFIX else "weights"
    return f"{path}: has no checksum of its {of}, as engines of earlier versions; export it again, so that damage is found"
