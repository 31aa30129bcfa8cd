"""A session: an open model that turns padded arrays into band energies, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable

from numpy.typing import NDArray

from bandrt.errors import EngineError, UsageError
from bandrt.manifest import Manifest
from bandrt.quoting import quoted

Inputs = dict[str, NDArray[Any]]
"""A padded batch, by the names of `bandrt.contract.INPUTS`."""
Outputs = dict[str, NDArray[Any]]
"""What a model gives for a batch: those of `bandrt.contract.OUTPUTS` that its manifest lists, by name."""
MAX_THREADS = 4096
"""No machine has more cores; each is a thread that is started."""


class OutOfMemoryError(EngineError):
    """A batch does not fit into the memory of the device; the session goes on, and a smaller one may fit."""

    def __init__(self, message: str) -> None:
        super().__init__("out-of-memory", message)

    @classmethod
    def of_batch(cls, device: str, crystals: int, atoms: int, *, reason: str = "") -> OutOfMemoryError:
        """The error of a batch for which a device has no memory.

        Args:
            device: ``cpu``, or a GPU by what runs it there.
            crystals: in the batch.
            atoms: of the largest crystal.
            reason: what the device says.
        """
        because = f" ({reason})" if reason else ""
        return cls(f"{device} has no memory for {crystals} crystals of up to {atoms} atoms{because}")


OUT_OF_MEMORY = (
    *("Failed to allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc", "bad allocation"),  # ONNX Runtime
    *("OUT_OF_MEMORY", "OutOfMemory"),  # CUDA, TensorRT; what cuda-core 1.0 says is like ONNX Runtime's
)
"""How backends spell in their messages that memory is short; not all have a class of its own for this."""


def tells_of_memory(message: str) -> bool:
    """Whether a message of a backend says that there is not enough memory."""
    return any(words in message for words in OUT_OF_MEMORY)


class Session(Protocol):
    """An open model."""

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed."""

    @property
    def device(self) -> str:
        """Where it runs: ``cpu``, ``cuda:N``, or another of `DeviceKind` with a number."""

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch.

        Args:
            inputs: by the names of the graph contract; those that the manifest does not list are ignored.

        Returns:
            The manifest's outputs by name.

        Raises:
            EngineError: ``engine-failed`` when the backend gives up, ``out-of-memory`` for a batch that is too large.
        """

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Evaluate a stream of padded batches, lazily and in order.

        A device of its own may take up to one batch more than it has answered, to copy it while it computes.

        Yields:
            What `run` gives for each batch, or why it does not fit into memory.

        Raises:
            EngineError: ``engine-failed``, once everything that came before has been yielded.
        """

    def close(self) -> None:
        """Free the model; running it afterwards is a bug."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None: ...


@runtime_checkable
class Compiling(Protocol):
    """A session that compiles something now and then, which takes seconds."""

    @property
    def compiling(self) -> str | None:
        """For what, while it does, for people: ``64 crystals of 16 atoms``."""
        ...


def run_in_turn(run: Callable[[Inputs], Outputs], batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
    """`Session.run_many` for a backend that does one thing at a time."""
    for inputs in batches:
        try:
            yield run(inputs)
        except OutOfMemoryError as error:
            yield error


DeviceKind = Literal["cpu", "cuda", "tensorrt", "nv-tensorrt-rtx"]
"""Where an engine may run: the last two are ONNX files on a GPU by TensorRT and TensorRT-RTX inside ONNX Runtime."""


def parse_device(device: str) -> tuple[DeviceKind, int]:
    """Split ``cpu``, ``cuda`` or ``cuda:N``, and the others of `DeviceKind` like this one, into kind and index.

    Raises:
        UsageError: ``unknown-device``.
    """
    kind, colon, index = device.partition(":")
    for known in get_args(DeviceKind):
        if kind == known and (not colon or (known != "cpu" and index.isascii() and index.isdecimal())):
            return known, int(index or 0)
    raise UsageError(
        "unknown-device",
        f"device {quoted(device)} is not known; use cpu, cuda or cuda:N, or, for ONNX engines, tensorrt:N or nv-tensorrt-rtx:N",
    )


def cuda_device(device: str) -> str:
    """``cuda:N`` of a device that is a GPU, whatever runs an engine there; ``cpu`` of the CPU."""
    kind, index = parse_device(device)
    return kind if kind == "cpu" else f"cuda:{index}"
