"""What a checkpoint says of itself, read without torch: tables of runs need no model."""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bandrt.engine import names_there_are
from bandrt.errors import BandrtError, reason_of
from bandrt.manifest import TrainingDomain
from bandrt.typed_values import from_mapping, parsed

KIND = "bandrt checkpoint"
FORMAT_VERSION = 1
FLOATING = frozenset({"FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage"})
"""What torch calls memory of numbers that are no integers."""


class CheckpointError(BandrtError):
    """A file that is no checkpoint, one of another version, or one whose parts do not fit together."""


@dataclass(frozen=True)
class Description:
    """What tables of runs say of a checkpoint."""

    training: TrainingDomain
    n_parameters: int
    """Floating-point numbers in the model, those that are not trained included."""


def read_description(file: Path) -> Description:
    """Read what a checkpoint of ours says of itself, its tensors left alone; nothing in the file is executed.

    Raises:
        CheckpointError: ``checkpoint-not-found``, ``checkpoint-invalid`` or ``checkpoint-version``.
    """
    content = _content(file)
    require_ours(content, file)
    try:
        values = parsed(content["description"], name=str(file))
        training = from_mapping(TrainingDomain, values["training"], name=str(file))
        n_parameters = sum(tensor.size for tensor in content["state"].values() if tensor.storage in FLOATING)
    except (BandrtError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError("checkpoint-invalid", f"{file}: {error}") from error
    return Description(training, n_parameters)


def require_there(file: Path) -> None:
    """Refuse a checkpoint that there is not, before what reads one is loaded.

    Raises:
        CheckpointError: ``checkpoint-not-found``.
    """
    if not file.is_file():
        why = "is a folder; name the checkpoint in it" if file.is_dir() else "there is no such file"
        raise CheckpointError("checkpoint-not-found", f"{file}: {why}{names_there_are(file)}")


def require_ours(content: Any, file: Path) -> None:
    """Refuse the content of a torch file that is no checkpoint of ours, or one of a version that is not read here.

    Raises:
        CheckpointError: ``checkpoint-invalid`` or ``checkpoint-version``.
    """
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise CheckpointError("checkpoint-invalid", f"{file}: a torch file, but not a {KIND}")
    require_version(content.get("format_version"), file)


def require_version(version: Any, file: Path) -> None:
    """Refuse a checkpoint of a version that is not read here.

    Raises:
        CheckpointError: ``checkpoint-version``.
    """
    if version != FORMAT_VERSION:
        raise CheckpointError(
            "checkpoint-version", f"{file}: checkpoint format {version!r}, this bandrt reads {FORMAT_VERSION}; update bandrt"
        )


class _Tensor(NamedTuple):
    """A tensor that is not read."""

    storage: str
    size: int


def _tensor(storage: str, offset: int, shape: tuple[int, ...], *others: Any) -> _Tensor:
    return _Tensor(storage, math.prod(shape))


class _Reader(pickle.Unpickler):
    """Takes strings, numbers, dictionaries and tensors, the last by their names and shapes alone."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for the few names that such a file may hold."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")

    def persistent_load(self, pid: Any) -> Any:
        """Of the memory of a tensor, its type."""
        return pid[1]


def _content(file: Path) -> Any:
    require_there(file)
    try:
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as stream:
                return _Reader(stream).load()
    except Exception as error:  # damaged bytes make pickle raise almost anything
        raise CheckpointError(
            "checkpoint-invalid", f"{file}: not a checkpoint that is safe to load ({reason_of(error)})"
        ) from error
