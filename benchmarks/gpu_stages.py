"""The stages of the check of a GPU; each fills a report of its own, which is saved whenever something was found.

Speeds are warm: every stream is run once before it is timed, so that nothing is compiled, captured or allocated in what is timed.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import gpu_batches
import gpu_layer
import gpu_roofline
import numpy as np
from gpu_batches import Streams, Wanted
from gpu_measure import LIMITS_EV, apart, energies, fits, throughput, timed

from bandrt.contract import BAND_ENERGIES
from bandrt.engine import SHIPPED_ENGINES, open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, find_driver
from bandrt.engine.plan.file import RTX_TARGETS
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import Inputs, Session
from bandrt.errors import BandrtError, MissingPackageError
from bandrt.files import file_sha256, replaced
from bandrt.machine.versions import package_versions, processor

PACKAGES = (
    *("bandrt", "numpy", "gemmi", "moyopy", "torch", "triton", "torch_geometric", "onnx", "onnxscript", "onnxruntime"),
    *("onnxruntime-gpu", "cuda-core", "cuda-bindings", "cupy-cuda13x", "tensorrt", "tensorrt-rtx-cu13"),
)
STREAMS = (Wanted(2, 256, 8), Wanted(8, 128, 8), Wanted(20, 64, 8), Wanted(64, 32, 4))
"""Of the first engine: 3,712 crystals."""
ACCURATE_STREAMS = (Wanted(2, 16, 8), Wanted(8, 16, 4), Wanted(20, 8, 2))
"""Of learned Hamiltonians, whose crystals take a hundred times as long; a plan holds no more of them together."""
DRY_STREAMS = (Wanted(2, 2, 2), Wanted(8, 1, 2))
REPEATS, DRY_REPEATS = 20, 1
COPIED_BYTES = 256 << 20
END_TO_END, DRY_END_TO_END = 20_000, 4
"""Crystals of the whole run."""
CANNOT = ("device-unavailable", "missing-package", "plan-target", "plan-version")
"""Codes that say what this machine lacks."""
COUNTS, STATE = "counts.json", "state.json"

Json = dict[str, Any]


class SkipError(Exception):
    """A step cannot be taken here; the message says why."""


@dataclasses.dataclass
class Check:
    """What the stages share: choices, and what lies in a folder.

    Attributes:
        engines: ONNX engines; streams are of the first.
        plans: that are built already.
        folder: of prepared streams, counts and engines, and of all that is made on the way.
        dry: small, on the CPU, which stands in for the GPU.
        table: crystals to take in the place of those of the checkout.
        report: what the stage has found.
        out: where that is saved.
    """

    engines: list[Path]
    plans: list[Path]
    folder: Path
    dry: bool = False
    table: Path | None = None
    report: Json = dataclasses.field(default_factory=dict)
    out: Path | None = None

    @property
    def repeats(self) -> int:
        return DRY_REPEATS if self.dry else REPEATS

    @property
    def device(self) -> str:
        return "cpu" if self.dry else "cuda:0"

    @property
    def gpu(self) -> str:
        driver = find_driver()
        return driver.gpus[0].name if isinstance(driver, Driver) else ""

    def driver(self) -> Driver:
        driver = find_driver()
        if self.dry or not isinstance(driver, Driver):
            raise SkipError("dry run" if self.dry else driver.reason)  # type: ignore[union-attr]
        return driver

    def plan_of(self, model: Path) -> Path:
        """Where the plan of an engine is built."""
        return self.folder / f"{model.stem}.plan"

    def save(self) -> None:
        """Write what there is, so that nothing is lost to a limit of time or a crash."""
        if self.out is not None:
            with replaced(self.out) as file:
                file.write(json.dumps(self.report, default=str))

    @contextmanager
    def part(self, name: str) -> Iterator[Json]:
        """A part of the report that may fail by itself; it is saved when it ends."""
        found: Json = {}
        self.report[name] = found
        try:
            yield found
            found.setdefault("status", "done")
        except Exception as error:  # one part that breaks must not take the others with it
            found |= why_not(error)
        finally:
            self.save()

    def streams(self, kind: str = "") -> Streams:
        """The streams of the first engine, or of a kind such as ``accurate``."""
        path = self.folder / f"streams{kind}.npz"
        if not path.exists():
            raise SkipError(f"there is no {path.name}; the stage batches makes it")
        return gpu_batches.load(path)

    def expected(self, kind: str = "") -> dict[int, np.ndarray]:
        """Band energies of the first batch of each stream on the CPU, eV."""
        path = self.folder / f"expected{kind}.npz"
        if not path.exists():
            return {}
        with np.load(path) as arrays:
            return {int(atoms): arrays[atoms] for atoms in arrays.files}


def why_not(error: Exception) -> Json:
    """Why there is nothing: this machine lacks something, or it went wrong."""
    lacking = isinstance(error, SkipError | MissingPackageError | ImportError)
    if lacking or (isinstance(error, BandrtError) and error.code in CANNOT):
        return {"status": "skipped", "reason": str(error)}
    kind = error.code if isinstance(error, BandrtError) else type(error).__name__
    return {"status": "failed", "error": f"{kind}: {error}", "where": traceback.format_exc(limit=-3).splitlines()}


def failed(found: Any) -> bool:
    """Whether any step within has failed."""
    if not isinstance(found, dict):
        return False
    return found.get("status") in ("failed", "timed out", "crashed") or any(map(failed, found.values()))


def machine(check: Check) -> Json:
    """What speeds, and plans that are built, depend on."""
    return {"driver": dataclasses.asdict(find_driver()), "gpu": check.gpu, "packages": package_versions(PACKAGES)}


def environment(check: Check) -> None:
    check.report |= machine(check) | {
        "dry": check.dry,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "engines": {
            path.name: {"precision": read_manifest(path).precision, "sha256": file_sha256(path)}
            for path in [*check.engines, *check.plans]
        },
    }


def batches(check: Check) -> None:
    """Make the streams that everything runs on, unless they were prepared, and what the CPU says of them."""
    first = check.engines[0]
    wanted = DRY_STREAMS if check.dry else STREAMS
    with check.part("streams") as found:
        found |= _streams(check, "", first, wanted)
    with check.part("accurate") as found:
        found |= _streams(check, "-accurate", SHIPPED_ENGINES["accurate"], DRY_STREAMS[:1] if check.dry else ACCURATE_STREAMS)


def _streams(check: Check, kind: str, engine: Path, wanted: Iterable[Wanted]) -> Json:
    path, manifest = check.folder / f"streams{kind}.npz", read_manifest(engine)
    source = f"prepared: {path.name}"
    if not path.exists():
        try:
            pool = gpu_batches.Pool(gpu_batches.real_crystals(check.table, labels=not check.dry), manifest)
            made, source = {one.atoms: pool.stream(one) for one in wanted}, str(check.table or "labels and examples")
        except ImportError as error:
            source = f"random numbers ({error})"
            slots = manifest.recipe.graph.n_neighbors or 32
            made = {one.atoms: gpu_batches.random_stream(manifest, one, slots=slots) for one in wanted}
        gpu_batches.save(path, {atoms: stream for atoms, stream in made.items() if stream})
    streams = check.streams(kind)
    report = {"source": source, "streams": {atoms: described(stream) for atoms, stream in streams.items()}}
    if not (check.folder / f"expected{kind}.npz").exists() and manifest.precision == "fp32":
        try:
            with open_session(engine, device="cpu") as session:
                energies = {str(atoms): session.run(stream[0])[BAND_ENERGIES] for atoms, stream in streams.items()}
        except MissingPackageError as error:
            return report | {"expected": str(error)}
        np.savez_compressed(check.folder / f"expected{kind}.npz", **energies)  # type: ignore[arg-type]
    return report


def described(stream: list[Inputs]) -> Json:
    masks = [batch["atom_mask"] for batch in stream]
    crystals = sum(len(mask) for mask in masks)
    rows = (zip(one["neighbor_distance"], one["atomic_numbers"], strict=True) for one in stream)
    different = {(distances.tobytes(), numbers.tobytes()) for batch in rows for distances, numbers in batch}
    atoms = sum(float(mask.sum()) for mask in masks) / crystals
    return {"batches": len(stream), "batch": len(masks[0]), "crystals": crystals, "distinct": len(different), "atoms_each": atoms}


def cuda_layer(check: Check) -> None:
    check.driver()
    check.report |= gpu_layer.check_layer(COPIED_BYTES)


def roofline(check: Check) -> None:
    """What the first engine costs a crystal, and how many a second that allows."""
    check.report["engine"], path = check.engines[0].name, check.folder / COUNTS
    sha256, stored = file_sha256(check.engines[0]), json.loads(path.read_text()) if path.exists() else {}
    precision = read_manifest(check.engines[0]).precision
    for atoms, stream in list(check.streams().items())[: 1 if check.dry else None]:
        with check.part(str(atoms)) as found:
            batch, crystals = stream[0], len(stream[0]["kpoints"])
            key = f"{sha256}/{atoms}x{crystals}"
            if key not in stored:
                counts, said = gpu_roofline.count(check.engines[0], batch)
                stored[key] = {"counts": dataclasses.asdict(counts), "said": said}
                path.write_text(json.dumps(stored), encoding="utf-8")
            counts = gpu_roofline.Counts(**stored[key]["counts"])
            found["said"] = stored[key]["said"]
            for name, peak in _peaks(check).items():
                found[name] = gpu_roofline.roofline(counts, peak, precision=precision, atoms=atoms, crystals=crystals)
                print(f"  {name}: {found[name]['arithmetic']}", flush=True)


def _peaks(check: Check) -> dict[str, gpu_roofline.Peak]:
    """Of this GPU as published, and as measured; of the GPUs with an estimate where there is none."""
    known = gpu_roofline.known_gpu(check.gpu)
    peaks = {name: peak for name, peak in gpu_roofline.PEAKS.items() if known in (None, name)}
    measured = check.folder / "rates.json"
    if not check.dry and measured.exists() and "memory_tb_per_s" in (found := json.loads(measured.read_text())):
        tflops = found["tflops"]
        peaks["measured"] = gpu_roofline.Peak(found["memory_tb_per_s"] * 1e12, tflops["fp32"] * 1e12, tflops["fp16"] * 1e12)
    return peaks


def onnxruntime_cuda(check: Check) -> None:
    for path in check.engines:
        session_on(check, path.name, path)


def tensorrt_plans(check: Check) -> None:
    """Build a plan from every engine here, and run those and the ready ones."""
    driver = check.driver()
    for path in check.engines:
        with check.part(f"build {path.name}") as found:
            plan = built(check, path, driver.gpus[0].target, found, STREAMS)
            session_on(check, plan.name, plan)
    for path in check.plans:
        session_on(check, path.name, path)


def built(check: Check, model: Path, target: str, found: Json, streams: Iterable[Wanted]) -> Path:
    """Build a plan for this GPU: TensorRT-RTX where it has the target, else TensorRT."""
    from bandrt_export.plan.build import build_plan

    plan, rtx = check.plan_of(model), target in RTX_TARGETS
    most, atoms = max(one.batch_size for one in streams), max(one.atoms for one in streams)
    started = perf_counter()
    backend, targets = ("tensorrt-rtx", [target]) if rtx else ("tensorrt", [])
    build_plan(model, plan, backend=backend, targets=targets, max_batch=most, max_atoms=atoms)  # type: ignore[arg-type]
    found |= {"backend": backend, "build_s": perf_counter() - started, "bytes": plan.stat().st_size}
    return plan


def session_on(check: Check, name: str, path: Path, kind: str = "") -> None:
    """Parity and speed of one engine on the device; two parts of the report for each stream."""
    with check.part(name) as found:
        if not check.dry:
            check.driver()
        with open_session(path, device=check.device) as session:
            found |= {"backend": session.manifest.backend.name, "precision": session.manifest.precision, "device": session.device}
            found["streams"] = streams = {}
            expected = check.expected(kind)
            for atoms, stream in check.streams(kind).items():
                streams[atoms] = outcome(on_stream, check, session, atoms, stream, expected.get(atoms))
                check.save()
            if isinstance(session, PlanSession):
                found["cuda_graphs"] = session.uses_graphs


def outcome(step: Callable[..., Json], *arguments: Any) -> Json:
    """What a step found, or why there is nothing."""
    try:
        return {"status": "done"} | step(*arguments)
    except Exception as error:  # see `Check.part`
        return why_not(error)


def on_stream(check: Check, session: Session, atoms: int, stream: list[Inputs], expected: np.ndarray | None) -> Json:
    """Parity with the CPU, latency of single runs and warm throughput of a stream."""
    if not fits(session, stream[0]):
        raise SkipError("larger than the plan takes")
    manifest = session.manifest
    report: Json = {}
    alone = energies(session.run(stream[0]))
    [streamed] = session.run_many(stream[:1])
    if (between := float(np.nanmax(np.abs(energies(streamed) - alone), initial=0.0))) > LIMITS_EV["fp32"]["max"]:
        raise AssertionError(f"streamed and single runs differ by {between:.2e} eV")
    if expected is not None:
        report["parity_ev"] = apart(alone, expected, manifest, manifest.precision)
    taken = timed(lambda: session.run(stream[0]), check.repeats)
    report |= {f"p{p}_ms": float(1e3 * np.percentile(taken, p)) for p in (50, 90, 99)}

    def whole() -> None:
        for outputs in session.run_many(stream):
            energies(outputs)

    estimated = session.manifest.checkpoint_sha256 == read_manifest(SHIPPED_ENGINES["fast"]).checkpoint_sha256
    return report | throughput(whole, sum(len(one["kpoints"]) for one in stream), check, atoms if estimated else None)
