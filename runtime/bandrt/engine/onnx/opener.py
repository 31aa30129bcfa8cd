"""How sessions of ONNX Runtime are opened on a GPU: their options, where they keep what they compile, and why one is refused."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bandrt.engine.cuda_driver import Gpu
from bandrt.engine.onnx.denormals import aside
from bandrt.engine.onnx.library import load_onnxruntime, plugin_devices
from bandrt.engine.onnx.model import first_line, session_options
from bandrt.engine.onnx.profile import ranges_of
from bandrt.engine.onnx.providers import PROVIDERS, Provider, Setting
from bandrt.engine.plan.device import Stream
from bandrt.errors import EngineError
from bandrt.files import file_sha256
from bandrt.manifest import Manifest

NO_TF32 = "NVIDIA_TF32_OVERRIDE"
"""Of the environment: the providers that compile have no option for it."""


class Opener:
    """Opens sessions of ONNX Runtime on a GPU; one that would run elsewhere is refused."""

    def __init__(self, path: Path, manifest: Manifest, provider: Provider, index: int, gpu: Gpu, missing: str, device: str) -> None:
        """Open nothing yet.

        Args:
            path: the ``.onnx`` file.
            manifest: what it says of itself, with the sizes that batches may have.
            provider: what runs it.
            index: of the GPU.
            gpu: what is known of it.
            missing: what ONNX Runtime says of libraries that it does not find.
            device: what the caller calls it.
        """
        self.path = path
        self.provider = provider
        self.index = index
        self._manifest = manifest
        self._gpu = gpu
        self._missing = missing
        self._device = device

    def open(self, stream: Stream, fixed: Mapping[str, int], *, graph: bool, on_gpu_alone: bool) -> Any:
        """A session.

        Args:
            stream: where it runs.
            fixed: sizes by the names of dimensions; of others, any.
            graph: whether runs become CUDA graphs.
            on_gpu_alone: whether a node on the CPU is an error.

        Raises:
            Exception: of ONNX Runtime's own classes.
        """
        provider = self.provider
        options = session_options(1)
        for name, size in fixed.items():
            options.add_free_dimension_override_by_name(name, size)
        if on_gpu_alone:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        ranges = ranges_of(self._manifest) if provider.compiles else {}
        own = provider.options(Setting(self.index, stream.handle, graph, ranges, self._cache() if provider.compiles else None))
        if provider.compiles:
            os.environ[NO_TF32] = "0"
        inference_session = partial(load_onnxruntime().InferenceSession, str(self.path), sess_options=options, enable_fallback=0)
        if provider.plugin:
            options.add_provider_for_devices([plugin_devices(provider.name)[self.index]], own)
            return aside(inference_session)
        others = [
            (name, PROVIDERS["cuda"].options(Setting(self.index, stream.handle, False, {}, None))) for name in provider.beside
        ]
        return aside(partial(inference_session, providers=[(provider.name, own), *others]))

    def refusal(self, error: Exception | None) -> EngineError:
        """The error of a provider that did not start, or of what it does not run."""
        reason = self._missing or (first_line(error) if error is not None else "")
        because = f" ({reason})" if reason else ""
        return EngineError(
            "device-unavailable",
            f"device {self._device}: ONNX Runtime could not start {self.provider.name} on it{because}, and the CPU does not take"
            f" its place; {self.provider.stopped}",
        )

    def _cache(self) -> Path | None:
        """The folder for what is compiled of this model, by this ONNX Runtime, on this kind of GPU; None where none can be made."""
        origin = (load_onnxruntime().__version__, self._gpu.name, self._gpu.target)
        key = hashlib.sha256("\n".join((file_sha256(self.path), *origin)).encode()).hexdigest()[:32]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "bandrt" / f"{self.provider.kind}-{key}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            said = f"{folder}: what is compiled cannot be kept ({error}); the next run compiles it again"
            logging.getLogger(__name__).warning(said)
            return None
        return folder if os.access(folder, os.W_OK) else None
