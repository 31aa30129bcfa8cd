"""ONNX Runtime with GPU providers that are its CPU provider, on the GPU of `simulated_gpu`."""

from __future__ import annotations

import sys
import time
import weakref
from dataclasses import dataclass, field
from threading import get_ident
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.support.simulated_gpu import SimulatedDevice

CPU = "CPUExecutionProvider"
RTX = "NvTensorRTRTXExecutionProvider"
CAPTURE_S = 1e-3
"""What a capture takes: long enough for other threads to disturb it."""
REAL = onnxruntime.InferenceSession
REAL_OPTIONS = onnxruntime.SessionOptions


@dataclass
class Opened:
    """How a session on the GPU was opened."""

    provider: str
    options: dict[str, str]
    others: list[str]
    fixed: dict[str, int]
    on_gpu_alone: bool


@dataclass
class SimulatedOnnxRuntime:
    """What ONNX Runtime was asked for, and what shall happen."""

    gpu: SimulatedDevice
    opened: list[Opened] = field(default_factory=list)
    starts: bool = True
    """Whether the provider starts; where not, real ONNX Runtime goes on with the CPU."""
    leaves_nodes: bool = False
    """Whether nodes are left on the CPU, also where sizes are fixed."""
    capture_fails: bool = False
    most_atoms: int | None = None
    """A run of more padded atoms finds no memory."""
    lacks: str = ""
    """What every run says that is missing."""
    alive: int = 0
    """Sessions on the GPU that are not closed."""
    captures: int = 0
    ids: list[str] = field(default_factory=list)
    """Of the graphs, run by run."""


def simulate(monkeypatch: pytest.MonkeyPatch, gpu: SimulatedDevice) -> SimulatedOnnxRuntime:
    """Put a simulation in the place of ONNX Runtime's GPU providers and of the plugin of TensorRT-RTX."""
    runtime = SimulatedOnnxRuntime(gpu)

    class Options(REAL_OPTIONS):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.fixed: dict[str, int] = {}
            self.entries: dict[str, str] = {}
            self.plugin: list[tuple[str, dict[str, str]]] = []

        def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
            self.fixed[name] = size

        def add_session_config_entry(self, name: str, value: str) -> None:
            self.entries[name] = value
            if name != "session.disable_cpu_ep_fallback":
                super().add_session_config_entry(name, value)

        def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
            assert [device.ep_name for device in devices] == [RTX]
            self.plugin = [(RTX, options)]

    class Session(REAL):  # type: ignore[misc,valid-type]
        def __init__(self, path: str, *, sess_options: Any, providers: Any = None, enable_fallback: int = 1) -> None:
            asked = providers or sess_options.plugin
            self.on_gpu = asked != [CPU]
            for name, size in sess_options.fixed.items():
                REAL_OPTIONS.add_free_dimension_override_by_name(sess_options, name, size)
            if self.on_gpu:
                assert not enable_fallback, "it would go on with another provider, and say so on standard output"
                self._open(asked, sess_options)
            super().__init__(path, sess_options=sess_options, providers=[CPU])
            self._graphs: dict[tuple[int, str], tuple[int, ...]] = {}

        def _open(self, asked: list[tuple[str, dict[str, str]]], options: Any) -> None:
            (name, own), *others = asked
            assert all(isinstance(value, str) for _, values in asked for value in values.values())
            _refuse_unknown(asked)
            alone = options.entries.get("session.disable_cpu_ep_fallback") == "1"
            runtime.opened.append(Opened(name, own, [other for other, _ in others], dict(options.fixed), alone))
            if alone and (runtime.leaves_nodes or not runtime.starts):
                raise RuntimeError("This session contains graph nodes that are assigned to the default CPU EP")
            runtime.alive += 1
            weakref.finalize(self, lambda: setattr(runtime, "alive", runtime.alive - 1))
            self._names = [name, *(other for other, _ in others)] if runtime.starts else []
            self._own = own

        def get_providers(self) -> list[str]:
            return [*self._names, CPU] if self.on_gpu else [CPU]

        def io_binding(self) -> Binding:
            return Binding()

        def run_with_iobinding(self, binding: Binding, run_options: Any = None) -> None:
            assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
            stream = gpu.stream_of(int(self._own["user_compute_stream"]))
            if runtime.lacks:
                raise RuntimeError(runtime.lacks)
            shape = binding.inputs["atomic_numbers"][0]
            if runtime.most_atoms is not None and np.prod(shape) > runtime.most_atoms:
                raise RuntimeError("[ONNXRuntimeError] : 6 : BFCArena::AllocateRawInternal Failed to allocate memory for 8 bytes")
            if self._own.get("enable_cuda_graph") == "1":
                self._capture(run_options.get_run_config_entry("gpu_graph_id"), binding)
            bound = {**binding.inputs}, {**binding.outputs}
            stream.put(lambda: self._compute(*bound))

        def _capture(self, number: str, binding: Binding) -> None:
            if runtime.capture_fails:
                raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
            runtime.ids.append(number)
            addresses = tuple(address for _, _, address in (*binding.inputs.values(), *binding.outputs.values()))
            graph = get_ident(), number  # each thread that sends has graphs of its own
            if graph not in self._graphs:
                runtime.captures += 1
                gpu.captured_by = get_ident()
                time.sleep(CAPTURE_S)
                gpu.captured_by = None
            assert self._graphs.setdefault(graph, addresses) == addresses, "a graph holds other addresses"

        def _compute(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
            gpu.runs += 1
            if gpu.runs == gpu.fails_at_run:
                from bandrt.engine.plan.device import DeviceError

                raise DeviceError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")
            feeds = {}
            for name, (axes, kind, address) in inputs.items():
                n_bytes = int(np.prod(axes)) * np.dtype(kind).itemsize
                feeds[name] = gpu.at(address, n_bytes).view(kind).reshape(axes)
            for (axes, kind, address), array in zip(outputs.values(), self.run(list(outputs), feeds), strict=True):
                assert (array.shape, array.dtype) == (axes, np.dtype(kind))
                flat = np.ascontiguousarray(array).view(np.uint8).ravel()
                gpu.at(address, len(flat))[:] = flat

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU])
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda name, path: None)
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [SimpleNamespace(ep_name=CPU), SimpleNamespace(ep_name=RTX)])
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", SimpleNamespace(get_library_path=lambda: "plugin.so"))
    monkeypatch.setattr("bandrt.engine.onnx.library._registered", set())
    return runtime


def _refuse_unknown(asked: list[tuple[str, dict[str, str]]]) -> None:
    """What the provider of TensorRT in onnxruntime-gpu 1.31 says of options that it does not take."""
    for name, options in asked:
        for key, value in options.items() if name == "TensorrtExecutionProvider" else ():
            if key == "has_user_compute_stream":
                raise RuntimeError(f"Invalid TensorRT EP option: {key}")
            if key.endswith("_enable") and value not in ("True", "False"):
                raise RuntimeError(
                    f"[ERROR] [TensorRT] The value for the key '{key}' should be 'True' or 'False'. Default is 'False'."
                )


class Binding:
    """An ``onnxruntime.IOBinding``."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[tuple[int, ...], Any, int]] = {}
        self.outputs: dict[str, tuple[tuple[int, ...], Any, int]] = {}

    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any, shape: Any, buffer_ptr: int) -> None:
        assert (device_type, device_id) == ("cuda", 0)
        self.inputs[name] = (tuple(shape), element_type, buffer_ptr)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Any = None,
        buffer_ptr: Any = None,
    ) -> None:
        assert (device_type, device_id) == ("cuda", 0)
        self.outputs[name] = (tuple(shape), element_type, buffer_ptr)
