"""What of ONNX Runtime runs a model on a GPU: its execution providers, their options and what they need.

Names and meanings of options are those of onnxruntime-gpu 1.31 and onnxruntime-ep-nv-tensorrt-rtx 0.5. Over a stub of CUDA the
CUDA provider takes ours, and that of TensorRT their names and values; none has run on a GPU.
Source: onnxruntime.ai/docs/execution-providers, nvidia.github.io/TensorRT-RTX-EP-ABI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bandrt.contract import Axes
from bandrt.engine.session import DeviceKind

Ranges = Mapping[str, tuple[Axes, Axes, Axes]]
"""Of each input: the smallest shape, the usual one, and the largest."""


@dataclass(frozen=True)
class Setting:
    """What a session is opened with."""

    index: int
    """Of the GPU."""
    stream: int
    """The address of the ``CUstream`` on which everything happens."""
    graph: bool
    """Whether runs become CUDA graphs."""
    ranges: Ranges
    """What is compiled for, where shapes are not fixed."""
    cache: Path | None
    """A folder for what is compiled, of this model alone; None: nothing is kept."""


@dataclass(frozen=True)
class Provider:
    """An execution provider."""

    kind: DeviceKind
    """What it is called in ``--device``."""
    name: str
    """What ONNX Runtime calls it."""
    packages: tuple[str, ...]
    """As pip knows them, whose CUDA the driver has to run."""
    extra: str
    """What installs them."""
    absent: str
    """What is wrong, and what to do, where ONNX Runtime does not know it."""
    stopped: str
    """What is missing, and what to do, where it does not start."""
    options: Callable[[Setting], dict[str, str]]
    compiles: bool
    """Whether it compiles the model, for a range of shapes at once; else every shape has a session of its own."""
    beside: tuple[str, ...] = ()
    """Providers that take what it does not."""
    loads: tuple[str, ...] = ()
    """Modules that load libraries which it needs and ONNX Runtime does not look for, where they are installed."""
    plugin: bool = False
    """Whether it is a library of its own, in the package ``onnxruntime_ep_nv_tensorrt_rtx``."""


def _on_stream(setting: Setting) -> dict[str, str]:
    return {"device_id": str(setting.index), "user_compute_stream": str(setting.stream)}


_HAS_STREAM = {"has_user_compute_stream": "1"}
"""The provider of TensorRT knows no such option, and refuses what it does not know."""


def _cuda(setting: Setting) -> dict[str, str]:
    """True fp32, and memory no faster than shapes ask for it."""
    own = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested", "enable_cuda_graph": str(int(setting.graph))}
    return _on_stream(setting) | _HAS_STREAM | own


def _tensorrt(setting: Setting) -> dict[str, str]:
    """Precision as in the graph; one engine for all shapes, kept on disk with the timings of its kernels.

    It takes truths as ``True`` and ``False`` alone.
    """
    found = _on_stream(setting) | _ranges(setting.ranges, "trt") | {"trt_fp16_enable": "False", "trt_cuda_graph_enable": "False"}
    if setting.cache is not None:
        for what in ("engine", "timing"):
            found |= {f"trt_{what}_cache_enable": "True", f"trt_{what}_cache_path": str(setting.cache)}
    return found


def _tensorrt_rtx(setting: Setting) -> dict[str, str]:
    """The same; it has no option of its precision, which is that of the graph."""
    found = _on_stream(setting) | _HAS_STREAM | _ranges(setting.ranges, "nv") | {"enable_cuda_graph": "0"}
    return found if setting.cache is None else found | {"nv_runtime_cache_path": str(setting.cache)}


def _ranges(ranges: Ranges, prefix: str) -> dict[str, str]:
    """``NAME:1x1x32,...`` for the smallest, usual and largest shapes."""
    return {
        f"{prefix}_profile_{which}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, shapes[place]))}" for name, shapes in ranges.items()
        )
        for place, which in enumerate(("min", "opt", "max"))
    }


_WITHOUT_CUDA = "this onnxruntime has no CUDA; pip uninstall onnxruntime, then pip install 'bandrt[cuda]'"
PROVIDERS: Mapping[DeviceKind, Provider] = MappingProxyType(
    {
        "cuda": Provider(
            "cuda",
            "CUDAExecutionProvider",
            ("onnxruntime-gpu", "cuda-bindings"),
            "cuda",
            _WITHOUT_CUDA,
            "CUDA or cuDNN of the version it was built for is missing: pip install 'onnxruntime-gpu[cuda,cudnn]'",
            _cuda,
            compiles=False,
        ),
        "tensorrt": Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            ("onnxruntime-gpu", "cuda-bindings"),
            "cuda",
            _WITHOUT_CUDA.replace("CUDA;", "TensorRT;"),
            "TensorRT of the version it was built for, 10 for onnxruntime-gpu 1.31, or CUDA is missing: pip install 'tensorrt<11',"
            " or use cuda, or build a plan",
            _tensorrt,
            compiles=True,
            beside=("CUDAExecutionProvider",),
            loads=("tensorrt",),
        ),
        "nv-tensorrt-rtx": Provider(
            "nv-tensorrt-rtx",
            "NvTensorRTRTXExecutionProvider",
            ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "cuda-bindings"),
            "nv-tensorrt-rtx",
            "its plugin for ONNX Runtime is not installed, or does not load; pip install 'bandrt[nv-tensorrt-rtx]'",
            "pip install --force-reinstall 'bandrt[nv-tensorrt-rtx]', or use cuda",
            _tensorrt_rtx,
            compiles=True,
            plugin=True,
        ),
    }
)
"""By what they are called in ``--device``."""
