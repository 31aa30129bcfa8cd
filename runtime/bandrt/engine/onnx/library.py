"""ONNX Runtime itself, imported here and nowhere else."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def load_onnxruntime() -> Any:
    """The module ``onnxruntime``, which is told before it is loaded to report nothing: some builds send events to their maker.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    os.environ[NO_TELEMETRY] = "1"
    import onnxruntime

    return onnxruntime


def load_cuda_libraries(modules: Sequence[str] = ()) -> str:
    """Let ONNX Runtime find CUDA and cuDNN among the installed Python packages; what it says of those that are missing.

    Args:
        modules: that load further libraries, where they are installed.
    """
    library = load_onnxruntime()
    said = StringIO()
    with redirect_stdout(said):  # it prints, and our standard output is data
        library.preload_dlls()
        for name in modules:
            try:
                import_module(name)
            except Exception as error:  # it is not installed, or not for this machine: the provider will say what it lacks
                logging.getLogger(__name__).info("%s: %s", name, error)
    return said.getvalue().strip().partition("\n")[0]


def plugin_devices(name: str) -> list[Any]:
    """The GPUs of the provider of TensorRT-RTX, a library that ONNX Runtime is told of once; none where there is none of them.

    Args:
        name: of the provider.
    """
    library = load_onnxruntime()
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as plugin

        if name not in _registered:
            library.register_execution_provider_library(name, plugin.get_library_path())
            _registered.add(name)
        return [one for one in library.get_ep_devices() if one.ep_name == name]
    except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure; older ones have no plugins
        logging.getLogger(__name__).info("%s: %s", name, error)
        return []


_registered: set[str] = set()
