"""The stages that take PyTorch: what the GPU does at best, and the model as it was trained, as it was exported, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
from gpu_measure import apart, timed, warm
from gpu_stages import Check, Json, SkipError

from bandrt.contract import TENSORS
from bandrt.engine import read_manifest
from bandrt.engine.session import Inputs
from bandrt.files import file_sha256
from bandrt.manifest import Manifest

MATRIX_SIZE, DRY_MATRIX_SIZE = 8192, 128


def rates(check: Check) -> None:
    """What the device multiplies and copies per second, the yardstick of everything else."""
    torch = pytorch_on(check)
    size = DRY_MATRIX_SIZE if check.dry else MATRIX_SIZE
    check.report["size"], check.report["tflops"] = size, {}
    for name, dtype in {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.items():
        a, b = (torch.randn(size, size, device=check.device).to(dtype) for _ in range(2))
        seconds = timed(lambda a=a, b=b: synchronized(torch, a @ b), check.repeats)[0]  # type: ignore[misc]
        check.report["tflops"][name] = 2 * size**3 / seconds / 1e12
    block = torch.empty(size * size, device=check.device)
    seconds = timed(lambda: synchronized(torch, block.clone()), check.repeats)[0]
    check.report["memory_tb_per_s"] = 2 * block.numel() * 4 / seconds / 1e12


def pytorch(check: Check) -> None:
    """The model in PyTorch: PyG as it was trained, and dense as it was exported; eager and compiled, fp32 and bf16."""
    torch = pytorch_on(check)
    from bandrt_export.dense.ensemble import dense_of
    from bandrt_train.model.graphs import to_batch

    engine = check.engines[0]
    manifest = read_manifest(engine)
    if manifest.variant in ("released", "hamiltonian"):
        raise SkipError(f"the variant {manifest.variant} is timed from its checkpoint")
    model, check.report["weights"] = _model_of(engine, manifest)
    expected = check.expected() if check.report["weights"] == "shipped" else {}
    dense = dense_of(model).eval().to(check.device)
    model = model.to(check.device)
    inputs = [name for name in TENSORS if name in dense.inputs]

    def on_device(batch: Inputs) -> list[Any]:
        return [torch.as_tensor(batch[name]).to(check.device) for name in inputs]

    def at(precision: str) -> Any:
        return torch.autocast(torch.device(check.device).type, torch.bfloat16, enabled=precision == "bf16")

    streams = list(check.streams().items())[: 1 if check.dry else None]
    for atoms, stream in streams:
        graphs = to_batch([unpadded(stream[0], row) for row in range(len(stream[0]["kpoints"]))]).to(check.device)
        runs: dict[str, tuple[Callable[[Inputs], Any], list[Inputs]]] = {
            "pyg": (lambda batch, graphs=graphs: model(graphs).energies, stream[:1]),  # type: ignore[misc]  # made on the CPU
            "dense": (lambda batch: dense(*on_device(batch)), stream),
        }
        for precision in ("fp32", "bf16"):
            with torch.inference_mode(), at(precision):
                for label, (run, taken) in runs.items():
                    with check.part(f"{atoms} {label} {precision}") as found:
                        found |= warm(lambda batch, run=run: synchronized(torch, run(batch)), taken, check, atoms)  # type: ignore[misc]
                        found["parity_ev"] = _torch_parity(run(stream[0]), expected.get(atoms), manifest, precision)
    for atoms, stream in streams:  # at last, since each is compiled, which may take longer than there is time for
        for precision in ("fp32", "bf16"):
            with torch.inference_mode(), at(precision), check.part(f"{atoms} dense compiled {precision}") as found:
                _compiled(check, torch, dense, on_device, stream, atoms, found)


def _compiled(
    check: Check, torch: Any, dense: Any, on_device: Callable[[Inputs], list[Any]], stream: list[Inputs], atoms: int, found: Json
) -> None:
    """Time a model that was compiled for this very shape, and make sure that it was.

    Beyond `torch._dynamo.config.recompile_limit` shapes of one function, eight by default, torch goes back to eager without an
    error. Here each shape has a compilation of its own, a graph that breaks is an error, and graphs are counted.
    """
    import torch._dynamo as dynamo
    from torch._dynamo.utils import counters

    dynamo.reset()
    counters.clear()
    compiled = torch.compile(dense, dynamic=False, fullgraph=True, **({"backend": "eager"} if check.dry else {}))
    started = perf_counter()
    synchronized(torch, compiled(*on_device(stream[0])))
    found["compile_s"] = perf_counter() - started
    found |= warm(lambda batch: synchronized(torch, compiled(*on_device(batch))), stream, check, atoms)
    found["graphs"] = counters["stats"]["unique_graphs"]
    if found["graphs"] != 1 or counters["graph_break"]:
        raise AssertionError(f"{found['graphs']} graphs were compiled of one shape: what was timed is not one compiled graph")


def _model_of(engine: Path, manifest: Manifest) -> tuple[Any, str]:
    """The model of an engine: with the shipped weights where it was made of them, else with random ones."""
    from bandrt.typed_values import from_mapping
    from bandrt_train.checkpoint import load_checkpoint
    from bandrt_train.model.bandformer import build_model
    from bandrt_train.model.config import ModelConfig
    from bandrt_train.model.ensemble import Ensemble
    from bandrt_train.weights import SHIPPED_CHECKPOINTS

    for path in SHIPPED_CHECKPOINTS.values():
        if file_sha256(path) == manifest.checkpoint_sha256:
            return load_checkpoint(path).build_model(), "shipped"
    config, rule = from_mapping(ModelConfig, manifest.model, name="manifest"), manifest.ensemble
    model = Ensemble([build_model(config) for _ in rule.members], rule) if rule else build_model(config)
    return model.eval(), "random"


def unpadded(batch: Inputs, row: int) -> Any:
    """One crystal of a batch, as `to_batch` wants features: PyG takes no padding."""
    count = int(batch["atom_mask"][row].sum())
    of_crystals = {name: array for name, array in batch.items() if "B" in TENSORS[name].dims}
    return SimpleNamespace(
        **{name: array[row, :count] if "N" in TENSORS[name].dims else array[row] for name, array in of_crystals.items()}
    )


def _torch_parity(output: Any, expected: np.ndarray | None, manifest: Manifest, precision: str) -> Json:
    if expected is None:
        return {"status": "skipped", "reason": "there is nothing to compare with"}
    energies = output[0] if isinstance(output, tuple | list) else output
    return apart(energies.float().cpu().numpy(), expected, manifest, precision)


def pytorch_on(check: Check) -> Any:
    import torch

    if not check.dry and not torch.cuda.is_available():
        raise SkipError("this torch sees no GPU")
    return torch


def synchronized(torch: Any, result: Any) -> Any:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result
