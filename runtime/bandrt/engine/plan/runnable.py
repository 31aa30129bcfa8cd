"""What a session on a GPU runs: a plan of TensorRT, or an ONNX file that ONNX Runtime runs there in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bandrt.contract import Axes
from bandrt.engine.plan.device import DeviceBuffer, Stream


class RunnableContext(Protocol):
    """What is ready to run batches of one shape."""

    @property
    def scratch_bytes(self) -> int:
        """Memory that it has to be given to compute in."""

    def shape(self, name: str) -> Axes:
        """The shape of an input or output."""

    def bind(self, addresses: Mapping[str, int], scratch: DeviceBuffer) -> None:
        """Say where inputs and outputs are, and what memory there is to compute in."""

    def can_be_captured(self, stream: Stream) -> bool:
        """Whether its work can become a graph."""

    def give_up_capture(self) -> None:
        """Remember that none can be captured."""

    def enqueue(self, stream: Stream) -> None:
        """Put one run on a stream.

        Raises:
            DeviceError: the device refuses.
        """


class Runnable(Protocol):
    """What contexts are made of."""

    @property
    def n_profiles(self) -> int:
        """Optimisation profiles."""

    @property
    def compiles(self) -> bool:
        """Whether a new shape is compiled when a context is made for it, and what was compiled can be kept."""

    @property
    def captures_itself(self) -> bool:
        """Whether its runs become CUDA graphs without anyone's doing."""

    def give_up_capture(self) -> None:
        """Let none of its contexts be captured from now on."""

    def tensors(self) -> dict[str, tuple[bool, str]]:
        """Inputs and outputs by name: whether it is an input, and its type as NumPy calls it."""

    def context(self, profile: int, inputs: Mapping[str, Axes], stream: Stream) -> RunnableContext:
        """Prepare to run batches of one shape.

        Args:
            profile: index of the optimisation profile.
            inputs: shapes of the inputs.
            stream: where the context will run.

        Raises:
            DeviceError: it is refused.
        """

    def compiled(self) -> bytes:
        """What was compiled up to now, where it `compiles`.

        Raises:
            DeviceError: it is not given.
        """
