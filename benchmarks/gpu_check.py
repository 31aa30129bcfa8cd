"""Run everything that needs an NVIDIA GPU, and write one JSON: the CUDA layer, plans, ONNX Runtime, PyTorch, and a whole run.

    python benchmarks/gpu_check.py                              the shipped engine
    python benchmarks/gpu_check.py --engine full.onnx --engine half.onnx --plan half.plan
    python benchmarks/gpu_check.py --write-arrays batches.npz   on a machine that has gemmi and moyopy, for one that has not:
    python benchmarks/gpu_check.py --arrays batches.npz
    python benchmarks/gpu_check.py --dry                        small, on the CPU: tests this script, measures nothing

A step whose packages or GPU are missing is recorded as skipped, with the reason; one that fails, with its error, and the exit code
is 1. Energies are compared in eV with ONNX Runtime on the CPU, fp32. NumPy and click are all that must be installed.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import click
import gpu_batches
import gpu_layer
import numpy as np

from bandrt.bands.band_structure import gaps, in_order
from bandrt.contract import BAND_ENERGIES, TENSORS
from bandrt.engine import SHIPPED_ENGINES, open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, find_driver
from bandrt.engine.plan.file import RTX_TARGETS
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, Session
from bandrt.engine.shapes import most_crystals
from bandrt.errors import BandrtError, MissingPackageError
from bandrt.files import file_sha256
from bandrt.machine.versions import package_versions

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("numpy", "gemmi", "moyopy", "torch", "torch_geometric", "onnx", "onnxruntime", "onnxruntime-gpu"),
    *("cuda-core", "cuda-bindings", "tensorrt", "tensorrt-rtx-cu13"),
)
BATCH_SIZES, DRY_BATCH_SIZES = (1, 4, 16, 64, 256), (2,)
MATRIX_SIZE = 8192
COPIED_BYTES = 256 << 20
END_TO_END = 20_000
"""Crystals of the whole run."""
LIMITS_EV = {"fp32": {"max": 1e-3}, "fp16": {"mean": 5e-3, "gap": 20e-3}}
"""What energies and gaps may differ by on another device."""

Json = dict[str, Any]


class SkipError(Exception):
    """A step cannot be taken here; the message says why."""


@dataclasses.dataclass
class Check:
    """What the steps share, and what they found."""

    engines: list[Path]
    plans: list[Path]
    arrays: Path | None
    dry: bool
    folder: Path
    batches: dict[str, Inputs] = dataclasses.field(default_factory=dict)
    expected: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    matrix_rates: Json = dataclasses.field(default_factory=dict)
    flops: dict[str, float] = dataclasses.field(default_factory=dict)
    found: Json = dataclasses.field(default_factory=dict)

    @property
    def repeats(self) -> int:
        return 1 if self.dry else 30

    @property
    def device(self) -> str:
        """Where sessions are opened: in a dry run the CPU stands in."""
        return "cpu" if self.dry else "cuda:0"

    def driver(self) -> Driver:
        driver = find_driver()
        if self.dry or not isinstance(driver, Driver):
            raise SkipError("dry run" if self.dry else driver.reason)  # type: ignore[union-attr]
        return driver


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--engine", "engines", multiple=True, type=FILE, help="ONNX engine; may be repeated.")
@click.option("--plan", "plans", multiple=True, type=FILE, help="A plan that is built already; may be repeated.")
@click.option("--arrays", type=FILE, help="Batches written by --write-arrays.")
@click.option("--write-arrays", type=click.Path(path_type=Path), help="Write batches of the example crystals, and stop.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON to write; benchmarks/results/gpu_check-DATE.json.")
@click.option("--dry", is_flag=True, help="Small, on the CPU.")
def main(engines: Any, plans: Any, arrays: Path | None, write_arrays: Path | None, out: Path | None, dry: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check = Check(list(engines) or [SHIPPED_ENGINES["fast"]], list(plans), arrays, dry, Path(folder))
        if write_arrays:
            gpu_batches.save(write_arrays, gpu_batches.batches_of_examples(read_manifest(check.engines[0]), BATCH_SIZES))
            click.echo(f"wrote {write_arrays}")
            return
        steps: dict[str, Callable[[Check], Json]] = {
            "environment": environment,
            "batches": batches,
            "cuda layer": cuda_layer,
            "matrix rate": matrix_rate,
            "pytorch": pytorch,
            "onnxruntime": onnxruntime_cuda,
            "plans": tensorrt_plans,
            "end to end": end_to_end,
        }
        for name, step in steps.items():
            check.found[name] = outcome(step, check)
            click.echo(f"{name}: {brief(check.found[name])}")
    out = out or ROOT / "benchmarks" / "results" / f"gpu_check-{datetime.now(UTC):%Y-%m-%d}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(check.found, indent=1, default=str) + "\n", encoding="utf-8")
    click.echo(f"wrote {out}")
    sys.exit(1 if failed(check.found) else 0)


def outcome(step: Callable[..., Json], *arguments: Any) -> Json:
    """What a step found, or why there is nothing."""
    try:
        return {"status": "done"} | step(*arguments)
    except SkipError as reason:
        return {"status": "skipped", "reason": str(reason)}
    except (MissingPackageError, ImportError) as error:
        return {"status": "skipped", "reason": str(error)}
    except Exception as error:  # one step that breaks must not take the others with it
        kind = error.code if isinstance(error, BandrtError) else type(error).__name__
        return {"status": "failed", "error": f"{kind}: {error}", "where": traceback.format_exc(limit=-3).splitlines()}


def brief(found: Json) -> str:
    return str(found["status"]) + "".join(f", {found[key]}" for key in ("reason", "error") if key in found)


def failed(found: Any) -> bool:
    """Whether any step within has failed."""
    if not isinstance(found, dict):
        return False
    return found.get("status") == "failed" or any(map(failed, found.values()))


def environment(check: Check) -> Json:
    driver = find_driver()
    return {
        "dry": check.dry,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "driver": dataclasses.asdict(driver),
        "packages": package_versions(PACKAGES),
        "engines": {path.name: {"precision": read_manifest(path).precision, "sha256": file_sha256(path)} for path in check.engines},
    }


def batches(check: Check) -> Json:
    """The batches that everything runs on, and what ONNX Runtime says of them on the CPU."""
    manifest = read_manifest(check.engines[0])
    sizes = DRY_BATCH_SIZES if check.dry else BATCH_SIZES
    if check.arrays:
        source, check.batches = check.arrays.name, gpu_batches.load(check.arrays)
    else:
        try:
            source, check.batches = "example crystals", gpu_batches.batches_of_examples(manifest, sizes)
        except ImportError as error:
            source, check.batches = f"random numbers ({error})", gpu_batches.random_batches(manifest, sizes)
    for path in check.engines:
        if read_manifest(path).precision == "fp32":
            with open_session(path, device="cpu") as session:
                check.expected = {name: session.run(batch)[BAND_ENERGIES] for name, batch in check.batches.items()}
            break
    return {"source": source, "shapes": {name: batch["neighbor_index"].shape for name, batch in check.batches.items()}}


def cuda_layer(check: Check) -> Json:
    check.driver()
    return gpu_layer.check_layer(COPIED_BYTES)


def matrix_rate(check: Check) -> Json:
    """What the device multiplies per second, the yardstick of everything else."""
    torch = pytorch_on(check)
    size = 256 if check.dry else MATRIX_SIZE
    for name, dtype in {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.items():
        a, b = (torch.randn(size, size, device=check.device).to(dtype) for _ in range(2))
        seconds, *_ = timed(partial(product, torch, a, b), check.repeats)
        check.matrix_rates[name] = 2 * size**3 / seconds / 1e12
    return {"size": size, "tflops": check.matrix_rates}


def product(torch: Any, a: Any, b: Any) -> Any:
    return synchronized(torch, a @ b)


def pytorch(check: Check) -> Json:
    """The model in PyTorch, random weights: PyG as it was trained, and dense as it was exported; eager, bf16 and compiled."""
    torch = pytorch_on(check)
    from torch.utils.flop_counter import FlopCounterMode

    from bandrt.manifest import from_mapping
    from bandrt_export.dense.ensemble import dense_of
    from bandrt_train.model.bandformer import build_model
    from bandrt_train.model.config import ModelConfig
    from bandrt_train.model.ensemble import Ensemble
    from bandrt_train.model.graphs import to_batch

    manifest = read_manifest(check.engines[0])
    if manifest.variant == "released":
        raise SkipError("the released variant is timed from its checkpoint")
    config, rule = from_mapping(ModelConfig, manifest.model, name="manifest"), manifest.ensemble
    model = Ensemble([build_model(config) for _ in rule.members], rule) if rule else build_model(config)
    dense = dense_of(model.eval()).eval().to(check.device)
    model = model.to(check.device)
    compiled = None if check.dry else torch.compile(dense, dynamic=False)
    rows: Json = {}
    for name, batch in check.batches.items():
        inputs = [torch.as_tensor(batch[key]).to(check.device) for key in dense.inputs]
        graphs = to_batch([unpadded(batch, row) for row in range(len(batch["kpoints"]))]).to(check.device)
        runs: dict[str, Callable[[], Any]] = {"pyg": partial(model, graphs), "dense": partial(dense, *inputs)}
        if compiled is not None:
            runs["dense compiled"] = partial(compiled, *inputs)
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counter:
                dense(*inputs)
            check.flops[name] = counter.get_total_flops()
            for label, half in ((label, half) for label in runs for half in (False, True)):
                with torch.autocast(torch.device(check.device).type, torch.bfloat16, enabled=half):
                    one = outcome(torch_latency, check, torch, runs[label], batch)
                rows.setdefault(f"{label} {'bf16' if half else 'fp32'}", {})[name] = one
    return {"flops": check.flops, "runs": rows}


def unpadded(batch: Inputs, row: int) -> Any:
    """One crystal of a batch, as `to_batch` wants features: PyG takes no padding."""
    count = int(batch["atom_mask"][row].sum())
    of_crystals = {name: array for name, array in batch.items() if "B" in TENSORS[name].dims}
    return SimpleNamespace(
        **{name: array[row, :count] if "N" in TENSORS[name].dims else array[row] for name, array in of_crystals.items()}
    )


def torch_latency(check: Check, torch: Any, run: Callable[[], Any], batch: Inputs) -> Json:
    return latencies(lambda: synchronized(torch, run()), check.repeats, len(batch["kpoints"]))


def onnxruntime_cuda(check: Check) -> Json:
    return {path.name: outcome(session_on, check, path) for path in check.engines}


def tensorrt_plans(check: Check) -> Json:
    """Build a plan from every engine here, and run those and the ready ones."""
    driver = check.driver()
    made: Json = {}
    for path in check.engines:
        made[f"build {path.name}"] = outcome(built, check, path, driver.gpus[0].target)
    for path in check.plans:
        made[path.name] = outcome(session_on, check, path)
    return made


def built(check: Check, model: Path, target: str) -> Json:
    from bandrt_export.plan import build_plan

    plan, most = check.folder / f"{model.stem}.plan", max(len(batch["kpoints"]) for batch in check.batches.values())
    rtx = target in RTX_TARGETS
    started = perf_counter()
    build_plan(model, plan, backend="tensorrt-rtx" if rtx else "tensorrt", targets=[target] if rtx else [], max_batch=most)
    return {"build_s": perf_counter() - started, "bytes": plan.stat().st_size} | session_on(check, plan)


def session_on(check: Check, path: Path) -> Json:
    """Parity and speed of one engine on the device."""
    if not check.dry:
        check.driver()
    with open_session(path, device=check.device) as session:
        return {
            "backend": session.manifest.backend.name,
            "precision": session.manifest.precision,
            "parity_ev": outcome(parity, check, session),
            "speed": {name: outcome(speed, check, session, name) for name in check.batches},
        }


def parity(check: Check, session: Session) -> Json:
    """Differences from ONNX Runtime on the CPU, fp32, in eV, through the streaming interface and one by one."""
    if not check.expected:
        raise SkipError("no fp32 ONNX engine was given to compare with")
    rule, precision = session.manifest.bands, session.manifest.precision
    names = [name for name in check.expected if fits(session, check.batches[name])]
    worst = total = gap = count = flips = 0.0
    for name, outputs in zip(names, session.run_many(check.batches[name] for name in names), strict=True):
        expected, found = check.expected[name], energies(outputs)
        alone = np.abs(found - energies(session.run(check.batches[name]))).max()
        if alone > LIMITS_EV["fp32"]["max"]:
            raise AssertionError(f"{name}: streamed and single runs differ by {alone:.2e} eV")
        difference = np.abs(found - expected)
        worst, total, count = max(worst, float(difference.max())), total + float(difference.sum()), count + difference.size
        (gap_found, metal), (gap_expected, was_metal) = (gaps(in_order(one), rule) for one in (found, expected))
        gap = max(gap, float(np.abs(gap_found - gap_expected)[~(metal | was_metal)].max(initial=0.0)))
        flips += int((metal != was_metal).sum())
    report: Json = {"max": worst, "mean": total / count, "gap": gap, "metal_flips": int(flips), "limits": LIMITS_EV[precision]}
    if any(report[name] > limit for name, limit in LIMITS_EV[precision].items()):
        raise AssertionError(f"beyond the limits: {report}")
    return report


def speed(check: Check, session: Session, name: str) -> Json:
    """Latency of single runs, throughput of a stream, and the fraction of the measured matrix rate."""
    batch = check.batches[name]
    size = len(batch["kpoints"])
    if not fits(session, batch):
        raise SkipError("larger than the plan takes")
    report = latencies(lambda: session.run(batch), check.repeats, size)
    started = perf_counter()
    for outputs in session.run_many(batch for _ in range(check.repeats)):
        energies(outputs)
    report["streamed_crystals_per_s"] = rate = size * check.repeats / (perf_counter() - started)
    if name in check.flops and (yardstick := check.matrix_rates.get(session.manifest.precision)):
        report["fraction_of_matrix_rate"] = check.flops[name] / size * rate / 1e12 / yardstick
    return report


def fits(session: Session, batch: Inputs) -> bool:
    """Whether an engine takes a batch."""
    most = most_crystals(session.manifest, batch["neighbor_index"].shape[1])
    return most is None or len(batch["kpoints"]) <= most


def energies(outputs: Outputs | OutOfMemoryError) -> np.ndarray:
    """Band energies, eV; a batch without memory is an error here."""
    if isinstance(outputs, OutOfMemoryError):
        raise outputs
    return outputs[BAND_ENERGIES]


def end_to_end(check: Check) -> Json:
    """A whole `bandrt infer` over a table of crystals."""
    from bandrt.run.infer import InferOptions, infer

    if not check.dry:
        check.driver()
    texts = [path.read_text(encoding="utf-8") for path in sorted(gpu_batches.EXAMPLES.glob("*.cif"))]
    table, count = check.folder / "crystals.jsonl", 4 if check.dry else END_TO_END
    with table.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"material_id": f"c-{i}", "cif": texts[i % len(texts)]}) + "\n" for i in range(count))
    runs: Json = {}
    for path in [*check.engines, *check.plans, *check.folder.glob("*.plan")]:

        def whole(path: Path = path) -> Json:
            report = infer([table], check.folder / f"out-{path.name}", InferOptions(engine=path, device=check.device))
            return {"crystals_per_s": report.rate, "predicted": report.predicted, "seconds": report.seconds}

        runs[path.name] = outcome(whole)
    return runs


def pytorch_on(check: Check) -> Any:
    import torch

    if not check.dry and not torch.cuda.is_available():
        raise SkipError("this torch sees no GPU")
    return torch


def synchronized(torch: Any, result: Any) -> Any:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def timed(run: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each run, the fastest first, after two that are not counted, where a CUDA graph is captured."""
    taken = []
    for _ in range(2 + repeats):
        started = perf_counter()
        run()
        taken.append(perf_counter() - started)
    return sorted(taken[2:])


def latencies(run: Callable[[], Any], repeats: int, size: int) -> Json:
    taken = timed(run, repeats)
    percentiles = {f"p{p}_ms": float(1e3 * np.percentile(taken, p)) for p in (50, 90, 99)}
    return percentiles | {"crystals_per_s": size / statistics.median(taken)}


if __name__ == "__main__":
    main()
