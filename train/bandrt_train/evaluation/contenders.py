"""The reference model as a contender of `bandrt bench`: PyTorch Geometric, eager or compiled, and the yardstick of its device.

A learned Hamiltonian is one crystal after the other: its network, eigenvalues on path and mesh, and the filling.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bandrt.errors import BandrtError, UsageError
from bandrt.features import Features
from bandrt.kpaths.mesh import Mesh
from bandrt.machine.bench import Clock, Contender, Yardstick, interleave
from bandrt.outcomes import outcome_of
from bandrt_train.data.recipes import HAMILTONIAN_MESH
from bandrt_train.hamiltonian_checkpoint import HamiltonianCheckpoint, load_any_checkpoint
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.hamiltonian.filling import predict
from bandrt_train.model.hamiltonian.pairs import find_pairs

PRODUCT_SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices that measure a device: enough to fill it."""
PRODUCT_SECONDS = 1.0


def reference_contenders(
    checkpoint: Path, *, device: str, threads: int | None, compiled: bool, clock: Clock
) -> tuple[list[Contender], Yardstick | None]:
    """Load a checkpoint to be timed.

    Args:
        checkpoint: what training wrote.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of torch; None leaves them.
        compiled: whether to time it under ``torch.compile``, too.
        clock: what everything is timed by.

    Returns:
        The eager model, and the compiled one before it if wanted; and what its device could do in fp32, None for a learned
        Hamiltonian, most of whose work is no product of matrices.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        BandrtError: ``device-unavailable``.
        UsageError: ``compile-unused``, for a learned Hamiltonian.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    loaded = load_any_checkpoint(checkpoint)
    if isinstance(loaded, HamiltonianCheckpoint):
        return [_hamiltonian(loaded, checkpoint, device=device, compiled=compiled)], None
    if device != "cpu" and not torch.cuda.is_available():
        raise BandrtError("device-unavailable", f"torch {torch.__version__} finds no GPU for {device}; time the checkpoint on cpu")
    model = loaded.build_model().to(device).eval()

    def contender(name: str, call: Callable[..., Any]) -> Contender:
        def prepare(features: Sequence[Features]) -> Callable[[], object]:
            batch = to_batch(features).to(device)

            def run() -> object:
                with torch.inference_mode():
                    return call(batch).energies.cpu()

            return run

        return Contender(f"{name} {checkpoint.name}", prepare, loaded.recipe)

    def flops(features: Sequence[Features]) -> int:
        # attention written out, since torch does not count every fused kernel of it
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(to_batch(features).to(device))
        return int(counter.get_total_flops())

    several = [contender("PyG eager", model)]
    if compiled:
        logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # it tells at length which lines it cannot compile
        several.insert(0, contender("PyG compiled", torch.compile(model, dynamic=True)))
    return several, Yardstick(matrix_rate(device, clock), flops, loaded.recipe)


def _hamiltonian(loaded: HamiltonianCheckpoint, checkpoint: Path, *, device: str, compiled: bool) -> Contender:
    """A learned Hamiltonian in torch.

    Raises:
        BandrtError: ``device-unavailable``.
        UsageError: ``compile-unused``.
    """
    if device != "cpu":
        raise BandrtError("device-unavailable", f"{checkpoint}: a learned Hamiltonian is timed on the CPU alone; use --device cpu")
    if compiled:
        raise UsageError("compile-unused", f"{checkpoint}: is a learned Hamiltonian, which is not compiled; leave out --compile")
    model = loaded.build_model().eval()

    def prepare(features: Sequence[Features]) -> Callable[[], object]:
        told = [
            partial(
                predict,
                model,
                find_pairs(one.crystal),
                one.kpoints.astype(np.float64),
                Mesh(one.mesh_kpoints, one.mesh_weights),
                smearing_ev=HAMILTONIAN_MESH.smearing,
            )
            for one in features
        ]
        return lambda: [outcome_of(one) for one in told]

    return Contender(f"torch {checkpoint.name}", prepare, loaded.recipe)


def matrix_rate(device: str, clock: Clock = perf_counter) -> float:
    """Measure how fast a device multiplies large fp32 matrices, in FLOP/s; TF32 stays off."""
    size = PRODUCT_SIZE[device.split(":")[0]]
    left, right = torch.rand(size, size, device=device), torch.rand(size, size, device=device)

    def product() -> None:
        torch.matmul(left, right)
        if device != "cpu":
            torch.cuda.synchronize(device)

    [taken] = interleave([product], seconds=PRODUCT_SECONDS, clock=clock)
    return 2.0 * size**3 / median(taken)
