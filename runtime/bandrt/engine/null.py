"""The engine without inference: a manifest alone, whose bands are all zero, so that all the rest of a run can be measured.

A file of it is the JSON of a manifest with the backend ``null``. Batches are made, predictions checked and parts written as for a
model of the same recipe; every prediction carries the warning ``no-inference``, and nothing ranks such results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from bandrt.contract import TENSORS, known_sizes, require_names
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, parse_device, run_in_turn
from bandrt.errors import EngineError, ManifestError
from bandrt.manifest import Manifest


def manifest_of(path: Path) -> Manifest:
    """Read the manifest that is the engine.

    Raises:
        EngineError: ``engine-unreadable``.
        ManifestError: ``manifest-invalid`` for that of a model, or what `Manifest.from_json` finds.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError("engine-unreadable", f"{path}: cannot be read ({error})") from error
    manifest = Manifest.from_json(text, name=str(path))
    if not manifest.is_null:
        raise ManifestError(
            "manifest-invalid", f"{path}: is the manifest of a model for {manifest.backend.name}, without the model"
        )
    return manifest


class NullSession:
    """A session that computes nothing: every output is zero."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        """Open it.

        Args:
            path: the ``.manifest`` file.
            device: ``cpu``.

        Raises:
            EngineError: ``device-unavailable`` for a GPU, ``engine-unreadable`` or ``engine-mismatch``.
            UsageError: ``unknown-device``.
            ManifestError: as `manifest_of`.
        """
        if parse_device(device)[0] != "cpu":
            raise EngineError("device-unavailable", f"{path}: computes nothing, and so on the CPU alone; leave out device {device}")
        self._manifest = manifest_of(path)
        require_names(self._manifest, name=str(path))

    @property
    def manifest(self) -> Manifest:
        """What a model would be and be fed."""
        return self._manifest

    @property
    def device(self) -> str:
        """``cpu``."""
        return "cpu"

    def run(self, inputs: Inputs) -> Outputs:
        """Zeros of the right shapes for one padded batch; see `bandrt.engine.session.Session.run`."""
        sizes = known_sizes(self._manifest) | {"B": len(inputs["atomic_numbers"])}
        tensors = (TENSORS[name] for name in self._manifest.outputs)
        return {one.name: np.zeros(one.axes(sizes), one.dtype) for one in tensors}

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Batch after batch; see `bandrt.engine.session.Session.run_many`."""
        return run_in_turn(self.run, batches)

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
