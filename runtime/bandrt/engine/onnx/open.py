"""Opening an ONNX file where it shall run."""

from __future__ import annotations

from pathlib import Path

from bandrt.engine.session import Session, parse_device


def open_onnx(path: Path, *, device: str = "cpu", threads: int | None = None, whole_batches: bool = False) -> Session:
    """Open an ONNX file.

    Args:
        path: the ``.onnx`` file.
        device: one of `bandrt.engine.session.DeviceKind`, all but ``cpu`` with or without a number.
        threads: of the CPU; None takes every core this process may use.
        whole_batches: on the CPU, run a batch as it is given, padding included, as a check of the model wants it.

    Raises:
        BandrtError: as `bandrt.engine.onnx.session.OnnxSession` and `bandrt.engine.onnx.gpu.open_on_gpu`.
    """
    if parse_device(device)[0] == "cpu":
        from bandrt.engine.onnx.session import OnnxSession

        return OnnxSession(path, threads=threads, whole_batches=whole_batches)
    from bandrt.engine.onnx.gpu import open_on_gpu

    return open_on_gpu(path, device=device)
