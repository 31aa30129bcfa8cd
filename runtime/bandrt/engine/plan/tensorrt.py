"""TensorRT and TensorRT-RTX, which share their interface: the one module that calls either to run a plan.

It decides nothing: which profile, which shape and what memory come from above. Written against TensorRT-RTX 1.7 (whose names a
test compares with the installed package) and the interface that TensorRT 10 and 11 document; it has never run on a GPU.
Source: docs.nvidia.com/deeplearning/tensorrt and /tensorrt-rtx, Python API.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from bandrt.contract import Axes
from bandrt.engine.plan.cuda_device import device_error
from bandrt.engine.plan.device import DeviceBuffer, DeviceError, Stream
from bandrt.engine.session import tells_of_memory
from bandrt.errors import MissingPackageError

PlanBackend = Literal["tensorrt", "tensorrt-rtx"]
PACKAGES: dict[PlanBackend, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""What each backend is imported as; its extra has the backend's name."""
PIP_NAMES: dict[str, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx-cu13"}
"""What each backend is installed as."""


NULL = "nullptr"
"""In the ``TypeError`` of an object of TensorRT that could not be made."""
UPDATE_DRIVER = "update the NVIDIA driver"
REMEDIES = {
    "VERSION_MISMATCH": "install the release of TensorRT-RTX that built it",
    "UNSUPPORTED_CC": "build it for this GPU",
    "OLD_CUDA_DRIVER": UPDATE_DRIVER,
    "OLD_CUDA_RUNTIME": "install a newer CUDA runtime",
    "INSUFFICIENT_GPU_MEMORY": "free memory of the GPU, or build it for smaller batches",
    "MALFORMED_ENGINE": "copy or build it again",
    "CUDA_ERROR": f"look for another program that has the GPU, or {UPDATE_DRIVER}",
}
"""What to do about a plan that TensorRT-RTX calls invalid, by the names of its ``EngineInvalidityDiagnostics``."""


def import_backend(backend: PlanBackend, purpose: str) -> Any:
    """The Python module of a backend.

    Args:
        backend: which.
        purpose: what for, should it be missing.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(PACKAGES[backend])
    except ImportError as error:
        raise MissingPackageError(PACKAGES[backend], backend, purpose) from error


def make_logger(trt: Any, problems: list[str], *, on_message: Callable[[str], None] = lambda message: None) -> Any:
    """A logger for TensorRT that hands its messages to `logging` and `on_message`, and adds its errors to `problems`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                problems.append(message.strip())
            logging.getLogger(__name__).debug("%s: %s", severity, message)
            on_message(message)

    return Logger()


def made(make: Callable[[], Any], what: str, problems: list[str]) -> Any:
    """What TensorRT makes; where it cannot, its constructors raise a bare ``TypeError``.

    Args:
        make: makes it.
        what: it is, for the message.
        problems: where the logger put what TensorRT said.

    Raises:
        DeviceError: it gave none.
    """
    try:
        return make()
    except TypeError as error:
        if NULL not in str(error):
            raise
        raise device_error(
            f"it gives no {what}: {reason_of(problems)}; {UPDATE_DRIVER}, or install the wheels of its CUDA"
        ) from error


def reason_of(problems: list[str]) -> str:
    """Which of the errors that TensorRT logged says why it failed: one about memory, or else the last; they are forgotten."""
    of_memory = [problem for problem in problems if tells_of_memory(problem)]
    reason = next(iter([*of_memory, *problems[-1:]]), "it does not say why")
    problems.clear()
    return reason


def invalidity(trt: Any, reasons: int) -> str:
    """What the bits of a mask of ``EngineInvalidityDiagnostics`` mean, and what to do about each."""
    kinds = trt.EngineInvalidityDiagnostics.__members__
    found = [name for name, bit in kinds.items() if int(bit) & int(reasons)]
    if not found:
        return f"it gives no reason; {UPDATE_DRIVER}"
    return "; ".join(f"{name}: {REMEDIES.get(name, UPDATE_DRIVER)}" for name in found)


class Plan:
    """A plan in the memory of the current GPU."""

    def __init__(self, trt: Any, backend: PlanBackend, content: bytes, compiled: bytes | None = None) -> None:
        """Load a plan; a driver must be there, or TensorRT ends Python.

        Args:
            trt: the backend's module.
            backend: which it is.
            content: of the ``.plan`` file.
            compiled: what `compiled` gave of this plan before, for TensorRT-RTX.

        Raises:
            DeviceError: it does not load.
        """
        self._trt = trt
        self._backend = backend
        self._problems: list[str] = []
        self._is_capturable = True
        self._logger = make_logger(trt, self._problems)
        self._runtime = self._given(made(lambda: trt.Runtime(self._logger), "Runtime", self._problems), "start")
        if backend == "tensorrt-rtx":
            validity, reasons = self._runtime.get_engine_validity(content)
            if validity == trt.EngineValidity.INVALID:
                raise device_error(f"{backend} {trt.__version__} calls the plan invalid here: {invalidity(trt, reasons)}")
        self._engine = self._given(self._runtime.deserialize_cuda_engine(content), "load the plan")
        self.took_compiled = False
        """Whether what was compiled before is used."""
        self._config = self._runtime_config(compiled) if backend == "tensorrt-rtx" else None

    @property
    def n_profiles(self) -> int:
        """Optimisation profiles."""
        return int(self._engine.num_optimization_profiles)

    def give_up_capture(self) -> None:
        """Let no context of the plan be captured from now on."""
        self._is_capturable = False

    def tensors(self) -> dict[str, tuple[bool, str]]:
        """Inputs and outputs by name: whether it is an input, and its type as NumPy calls it."""
        trt, engine = self._trt, self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        types = {trt.DataType.FLOAT: "float32", trt.DataType.INT32: "int32", trt.DataType.BOOL: "bool"}
        return {
            name: (
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                types.get(engine.get_tensor_dtype(name), str(engine.get_tensor_dtype(name))),
            )
            for name in names
        }

    def context(self, profile: int, inputs: Mapping[str, Axes], stream: Stream) -> PlanContext:
        """Prepare to run batches of one shape.

        Args:
            profile: index of the optimisation profile.
            inputs: shapes of the inputs.
            stream: where the context will run.

        Raises:
            DeviceError: TensorRT refuses.
        """
        user_managed = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._given(
            self._engine.create_execution_context(user_managed if self._config is None else self._config),
            "make an execution context",
        )
        self._given(context.set_optimization_profile_async(profile, stream.handle), f"choose optimisation profile {profile}")
        for name, axes in inputs.items():
            self._given(context.set_input_shape(name, axes), f"give {name} the shape {axes}")
        return PlanContext(self, context, profile)

    captures_itself = False
    """Lanes do, in a mode that forbids nothing to other threads."""

    @property
    def compiles(self) -> bool:
        """Whether a new shape is compiled when a context is made for it, and what was compiled can be kept."""
        return self._config is not None

    def compiled(self) -> bytes:
        """What was compiled up to now, for whoever loads the plan again on such a GPU.

        Raises:
            DeviceError: TensorRT-RTX does not give it.
        """
        return bytes(self._given(self._compiled.serialize(), "give what it compiled"))

    def _runtime_config(self, compiled: bytes | None) -> Any:
        """How TensorRT-RTX compiles its kernels here: for every shape once and at once, since a graph of it is captured."""
        config = self._given(self._engine.create_runtime_config(), "make a runtime configuration")
        config.set_execution_context_allocation_strategy(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        config.dynamic_shapes_kernel_specialization_strategy = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._compiled = self._given(config.create_runtime_cache(), "make a cache of what it compiles")
        if compiled is not None:
            self.took_compiled = bool(self._compiled.deserialize(compiled))
            self._problems.clear()
        self._given(config.set_runtime_cache(self._compiled), "use a cache of what it compiles")
        return config

    def _given(self, result: Any, doing: str) -> Any:
        """What TensorRT returned, unless that is its way of saying no."""
        if result is None or result is False:
            raise self._refusal(doing)
        self._problems.clear()
        return result

    def _refusal(self, doing: str) -> DeviceError:
        return device_error(f"{self._backend} {self._trt.__version__} cannot {doing}: {reason_of(self._problems)}")

    def _scratch_bytes(self, context: Any, profile: int) -> int:
        """Bytes that a context needs to compute in; TensorRT says 0 if it needs none, and if it failed."""
        n_bytes = int(context.update_device_memory_size_for_shapes())
        if n_bytes == 0 and (self._problems or int(self._engine.get_device_memory_size_for_profile_v2(profile))):
            raise self._refusal("tell how much memory a batch needs")
        return n_bytes

    def _missing_shapes(self, context: Any) -> list[str]:
        """Tensors whose shape is not known."""
        try:
            return list(context.infer_shapes())
        except RuntimeError as error:
            self._problems.insert(0, str(error))
            raise self._refusal("infer the shapes of a batch") from error


class PlanContext:
    """A plan made ready for one shape."""

    def __init__(self, plan: Plan, context: Any, profile: int) -> None:
        self._plan = plan
        self._context = context
        if missing := plan._missing_shapes(context):
            raise device_error(f"the shapes of {', '.join(missing)} are not known")
        self.scratch_bytes = plan._scratch_bytes(context, profile)

    def shape(self, name: str) -> Axes:
        """The shape of an input or output."""
        return tuple(self._context.get_tensor_shape(name))

    def bind(self, addresses: Mapping[str, int], scratch: DeviceBuffer) -> None:
        """Say where inputs and outputs are, and what memory there is to compute in."""
        self._context.set_device_memory(scratch.address, scratch.n_bytes)
        for name, address in addresses.items():
            self._plan._given(self._context.set_tensor_address(name, address), f"take {name} at its address")

    def can_be_captured(self, stream: Stream) -> bool:
        """Whether its work can become a graph; full TensorRT does not say, and there it can but for a few layers."""
        asked = getattr(self._context, "is_stream_capturable", None)
        return self._plan._is_capturable and (asked is None or bool(asked(stream.handle)))

    def give_up_capture(self) -> None:
        """Remember that no context of the plan can be captured."""
        self._plan.give_up_capture()

    def enqueue(self, stream: Stream) -> None:
        """Put one run on a stream."""
        self._plan._given(self._context.execute_async_v3(stream.handle), "run the plan")
