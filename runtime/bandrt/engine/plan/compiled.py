"""Kernels that TensorRT-RTX compiled for a plan, kept beside it: ``model.plan.nvidia-geforce-rtx-4090.compiled``.

A plan of TensorRT-RTX holds sources, which are compiled on the GPU that runs them, for every shape anew. What is kept is bound to
the plan, the release of the library and the GPU, and has a checksum; what is of others, or damaged, is not used, and is replaced.
It is never needed: where it cannot be read or written, a run takes longer and is told so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandrt.engine.cuda_driver import Gpu
from bandrt.engine.plan.device import DeviceError
from bandrt.engine.shapes import BatchShape
from bandrt.files import replaced
from bandrt.manifest import Backend

MAGIC = b"bandrt compiled kernels 1\n"
"""What such a file begins with. A line with the SHA-256 of all the rest follows, a line of JSON, and what TensorRT-RTX wrote."""
INSTEAD = "they are compiled again"
KEEP_SECONDS = 30.0
"""Between two times that a run writes what it has compiled, so that little is lost where it is killed."""


@dataclass(frozen=True)
class Origin:
    """What compiled kernels are of; those of anything else are not used."""

    plan_sha256: str
    backend: str
    version: str
    """Of the library, to the last number."""
    gpu: str
    target: str

    @classmethod
    def of(cls, backend: Backend, version: str, gpu: Gpu) -> Origin:
        """Of a plan on a GPU.

        Args:
            backend: of its manifest, which was compared with the plan.
            version: of the library that is installed.
            gpu: where it runs.
        """
        return cls(str(backend.file_sha256), backend.name, version, gpu.name, gpu.target)


@dataclass(frozen=True)
class Compiled:
    """Kernels, and the shapes that they are for."""

    content: bytes
    """As TensorRT-RTX wrote it."""
    shapes: frozenset[BatchShape]


def beside(plan: Path, gpu: Gpu) -> Path:
    """Where the kernels of a plan are for a kind of GPU: each has a file of its own, so that two on one disk do not meet."""
    return plan.with_name(f"{plan.name}.{re.sub('[^a-z0-9]+', '-', gpu.name.lower()).strip('-') or gpu.target}.compiled")


def read(path: Path, origin: Origin) -> Compiled | None:
    """The kernels in a file; None where there are none that may be used, with a warning that says why not."""
    found = _found_in(path, origin)
    if isinstance(found, str):
        logging.getLogger(__name__).warning("%s: %s; %s", path, found, INSTEAD)
        return None
    return found


def _found_in(path: Path, origin: Origin) -> Compiled | str | None:
    """The kernels in a file, or why they may not be used; None where there is no file."""
    try:
        header, kernels = _parts(path.read_bytes())
        found = Origin(**{field.name: header[field.name] for field in dataclasses.fields(Origin)})
        shapes = frozenset(BatchShape(*map(int, shape)) for shape in header["shapes"])
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read ({error})"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return f"is no file of compiled kernels, or a damaged one: {error}"
    if found != origin:
        names = {"plan_sha256": "another plan", "backend": "another library", "gpu": found.gpu, "target": found.target}
        of = {name: names.get(name, f"{found.backend} {found.version}") for name in dataclasses.asdict(origin)}
        others = dict.fromkeys(of[name] for name, value in dataclasses.asdict(origin).items() if value != getattr(found, name))
        return f"has kernels of {', '.join(others)}"
    return Compiled(kernels, shapes)


def write(path: Path, origin: Origin, content: bytes, shapes: Iterable[BatchShape]) -> None:
    """Replace the file, or leave it as it is.

    Raises:
        OSError: it cannot be written.
    """
    header = dataclasses.asdict(origin) | {"shapes": sorted(list(shape) for shape in shapes)}
    rest = json.dumps(header).encode() + b"\n" + content
    with replaced(path, "wb") as file:
        file.write(MAGIC + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)


class Kernels:
    """What is compiled for a plan on one GPU, kept as it grows; whoever calls it has a lock."""

    def __init__(self, path: Path, origin: Origin) -> None:
        """Read what was kept.

        Args:
            path: of the file, which need not be there.
            origin: what its kernels have to be of.
        """
        self.path = path
        self._origin = origin
        self._found = read(path, origin)
        self._shapes = set() if self._found is None else set(self._found.shapes)
        self._refused = False
        self._fresh = False
        self._next_time = time.monotonic()
        self._unwritable = False

    def take(self) -> bytes | None:
        """What was kept, for TensorRT-RTX, and from now on for nobody else; None where there is nothing."""
        found, self._found = self._found, None
        return None if found is None else found.content

    def refuse(self) -> None:
        """TensorRT-RTX does not take what was kept, as after an update of the driver."""
        why = "TensorRT-RTX does not take its kernels, as of another driver"
        logging.getLogger(__name__).warning("%s: %s; %s", self.path, why, INSTEAD)
        self._shapes.clear()
        self._refused = True

    def has(self, shape: BatchShape) -> bool:
        """Whether a shape is compiled."""
        return shape in self._shapes

    def add(self, shape: BatchShape) -> None:
        """Note that a shape was compiled."""
        self._fresh |= shape not in self._shapes
        self._shapes.add(shape)

    def keep(self, content: Callable[[], bytes], *, now: bool) -> None:
        """Write what was compiled since the last time, if anything was; what cannot be written is told once, and is no error.

        What another process has written meanwhile stays if it is for more shapes.

        Args:
            content: gives what TensorRT-RTX has compiled.
            now: also if it was written a moment ago.
        """
        if not self._fresh or self._unwritable or (not now and time.monotonic() < self._next_time):
            return
        there = None if self._refused else _found_in(self.path, self._origin)
        try:
            if not isinstance(there, Compiled) or len(there.shapes) <= len(self._shapes):
                write(self.path, self._origin, content(), self._shapes)
                self._refused = False
        except (OSError, DeviceError) as error:
            self._unwritable = True
            said = f"{self.path}: what was compiled cannot be kept ({error}); the next run compiles it again"
            logging.getLogger(__name__).warning(said)
        self._fresh, self._next_time = False, time.monotonic() + KEEP_SECONDS


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, checksum, rest = content[: len(MAGIC)], *content[len(MAGIC) :].partition(b"\n")[::2]
    if magic != MAGIC:
        raise ValueError("it begins otherwise")
    if checksum != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("its checksum is wrong")
    header, _, kernels = rest.partition(b"\n")
    return json.loads(header), kernels
