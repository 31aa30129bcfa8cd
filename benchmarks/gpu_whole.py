"""The stages that take a whole engine: `bandrt infer` from crystals to results, and learned Hamiltonians with their solver."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gpu_batches
import numpy as np
from gpu_measure import LIMITS_EV, apart, energies, timed
from gpu_pytorch import pytorch_on, synchronized
from gpu_stages import ACCURATE_STREAMS, DRY_END_TO_END, END_TO_END, Check, Json, built, session_on

from bandrt.contract import BAND_ENERGIES
from bandrt.crystal import Crystal
from bandrt.engine import SHIPPED_ENGINES, open_session, read_manifest
from bandrt.engine.plan.session import PlanSession

GRAPH_ENGINE = "accurate-graph.onnx"
CAPTURED_APART_EV = 1e-5
"""What a captured run may differ by from the same kernels one by one."""
ACCURATE = "-accurate"


def end_to_end(check: Check) -> None:
    """A whole `bandrt infer` over a table of crystals that all differ: with all that comes once, and warm."""
    from bandrt.run.infer import InferOptions, infer

    if not check.dry:
        check.driver()
    table, count = check.folder / "crystals.jsonl", DRY_END_TO_END if check.dry else END_TO_END
    check.report["crystals"] = write_table(table, gpu_batches.real_crystals(check.table, labels=not check.dry), count)
    for path in [*check.engines, *check.plans, *(plan for plan in map(check.plan_of, check.engines) if plan.exists())]:
        with check.part(path.name) as found:
            out = check.folder / f"out-{path.stem}"
            report = infer([table], out, InferOptions(engine=path, device=check.device, mode="overwrite"))
            found["with compilation"] = {"crystals_per_s": report.rate, "predicted": report.predicted, "seconds": report.seconds}
            check.save()
            found["warm"] = _warm_run(check, path, table)


def _warm_run(check: Check, path: Path, table: Path) -> Json:
    """The same crystals once more with an engine that stayed open: nothing is compiled or captured any more."""
    import bandrt
    from bandrt.predict import default_batch_size
    from bandrt.results.writer import Store
    from bandrt.run.defaults import default_workers
    from bandrt.run.pipeline import run
    from bandrt.run.report import RunReport
    from bandrt.sources import find

    size, workers = default_batch_size(check.device), 0 if check.dry else default_workers(check.device)
    with bandrt.load(path, check.device) as engine:
        for name in ("first", "second"):
            report, out = RunReport(), check.folder / f"{name}-{path.stem}"
            store = Store(out, engine_sha256=engine.checksums, bands=engine.manifest.bands, mode="overwrite")
            with store:
                run(find([table]), engine, store, workers=workers, batch_size=size, report=report)
    return {"crystals_per_s": report.rate, "predicted": report.predicted, "seconds": report.seconds, "workers": workers}


def write_table(table: Path, crystals: Sequence[Crystal], count: int) -> int:
    """Write crystals that all differ as pymatgen's JSON, and say how many there are."""
    with table.open("w", encoding="utf-8") as file:
        for number, crystal in enumerate(gpu_batches.distinct(crystals, count)):
            file.write(json.dumps({"material_id": f"c-{number}", "cif": structure(crystal)}) + "\n")
    return count


def structure(crystal: Crystal) -> Json:
    """A crystal as a document of pymatgen."""
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": list(map(float, position))}
        for symbol, position in zip(crystal.symbols, crystal.frac_coords, strict=True)
    ]
    lattice = {"matrix": np.asarray(crystal.lattice, float).tolist()}
    return {"@module": "pymatgen.core.structure", "@class": "Structure", "lattice": lattice, "sites": sites}


def graph_engine(check: Check) -> Path:
    """The engine accurate with its solver in the graph, prepared or exported here."""
    path = check.folder / GRAPH_ENGINE
    if not path.exists():
        from bandrt_export.onnx import export_onnx
        from bandrt_export.parity import packaged_crystals
        from bandrt_train.weights import SHIPPED_CHECKPOINTS

        smallest = sorted(packaged_crystals(), key=lambda one: one.n_atoms)[:2]  # the stage itself compares with LAPACK
        export_onnx(SHIPPED_CHECKPOINTS["accurate"], path, solver="graph", hand_over="none", crystals=smallest)
    return path


def accurate(check: Check) -> None:
    """The eigen-solver in the graph against LAPACK: in ONNX Runtime, and with CUDA graphs and without in a plan and in PyTorch."""
    with check.part("lapack") as found, open_session(SHIPPED_ENGINES["accurate"], device="cpu") as session:
        for atoms, stream in check.streams(ACCURATE).items():
            taken = timed(partial(session.run, stream[0]), 1 if check.dry else 3)
            found[str(atoms)] = {"crystals_per_s": len(stream[0]["kpoints"]) / taken[0]}
    model = graph_engine(check)
    with check.part("torch") as found:
        _in_torch(check, model, found)
    session_on(check, "onnxruntime", model, ACCURATE)
    with check.part("plan") as found:
        driver = check.driver()
        plan = built(check, model, driver.gpus[0].target, found, ACCURATE_STREAMS)
        plan_captured_or_not(check, plan, found)


def plan_captured_or_not(check: Check, plan: Path, found: Json) -> None:
    """Run a plan as it is, which captures its work as a CUDA graph, and kernel by kernel; compare both, and each with LAPACK."""
    expected = check.expected(ACCURATE)
    bands: dict[bool, dict[int, np.ndarray]] = {}
    for captured in (True, False):
        kind = "captured" if captured else "not captured"
        with open_session(plan, device=check.device) as session:
            assert isinstance(session, PlanSession), "a plan is opened as one"
            if not captured:
                session.give_up_capture()
            bands[captured], found[kind] = {}, {}
            for atoms, stream in check.streams(ACCURATE).items():
                taken = timed(partial(session.run, stream[0]), 1 if check.dry else 5)
                bands[captured][atoms] = energies(session.run(stream[0]))
                if (session.n_captured > 0) is not captured:
                    raise AssertionError(f"{kind}, yet {'none' if captured else 'one'} of its lanes has a CUDA graph")
                found[kind][atoms] = {"crystals_per_s": len(stream[0]["kpoints"]) / taken[0]}
                check.save()
                if atoms in expected:
                    found[kind][atoms]["parity_ev"] = apart(bands[captured][atoms], expected[atoms], session.manifest, "fp32")
    _require_same(bands, found)


def _in_torch(check: Check, model: Path, found: Json) -> None:
    """Run the nodes of the graph in PyTorch, one by one and captured as a CUDA graph."""
    torch = pytorch_on(check)
    from gpu_torch_graph import TorchGraph

    manifest, expected = read_manifest(model), check.expected(ACCURATE)
    graph = TorchGraph(model, check.device)
    bands: dict[bool, dict[int, np.ndarray]] = {False: {}, True: {}}
    for atoms, stream in check.streams(ACCURATE).items():
        # a few crystals: every trip of every loop is a launch of its own here
        batch = {name: array[: min(len(array), 4)] for name, array in stream[0].items()}
        for captured in (False,) if check.dry else (False, True):
            kind = "captured" if captured else "not captured"
            run: Any = graph.captured(batch) if captured else partial(graph.run, batch)
            taken = timed(lambda run=run: synchronized(torch, run()), 1)  # type: ignore[misc]
            bands[captured][atoms] = run()[BAND_ENERGIES].cpu().numpy()
            one: Json = {"crystals_per_s": len(batch["kpoints"]) / taken[0]}
            found.setdefault(kind, {})[atoms] = one
            check.save()
            if atoms in expected:
                one["parity_ev"] = apart(bands[captured][atoms], expected[atoms][: len(batch["kpoints"])], manifest, "fp32")
    if not check.dry:
        _require_same(bands, found)


def _require_same(bands: dict[bool, dict[int, np.ndarray]], found: Json) -> None:
    """Say how far a captured run is from the same kernels one by one.

    Raises:
        AssertionError: further than rounding, or than nothing.
    """
    both = {atoms: (one, bands[False][atoms]) for atoms, one in bands[True].items() if atoms in bands[False]}
    differences = {atoms: float(np.abs(one - other).max(initial=0.0)) for atoms, (one, other) in both.items()}
    found["captured_apart_ev"] = differences
    if any(not one <= CAPTURED_APART_EV for one in differences.values()):
        raise AssertionError(f"captured and not captured differ: {differences} eV; LAPACK allows {LIMITS_EV['fp32']}")
