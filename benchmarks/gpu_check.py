"""Run everything that needs an NVIDIA GPU, stage by stage, and write one JSON.

    python benchmarks/gpu_check.py                              the shipped engine, all stages
    python benchmarks/gpu_check.py --stages rates,torch         some of them; the JSON keeps what others found before
    python benchmarks/gpu_check.py --engine full.onnx --engine half.onnx --plan half.plan
    python benchmarks/gpu_check.py --prepare folder             on a machine with all packages, for one that lacks some:
    python benchmarks/gpu_check.py --prepared folder
    python benchmarks/gpu_check.py --work FOLDER --limit 250 --stages layer,rates
                                                                in several calls, where one may not take long: plans, timings and
                                                                what one stage measures for another stay in FOLDER
    python benchmarks/gpu_check.py --dry                        small, on the CPU: tests this script, measures nothing

Every stage is a process of its own with a limit of time, so that neither a crash nor a kernel without end costs the others; the
JSON is written after each. What cannot be done here is said with the reason; what fails, with its error, and the exit code is 1.
Energies are compared in eV with the CPU in fp32. Speeds are warm, over crystals that all differ, and of the GPUs for which the
speed of the engine fast was estimated, each says whether it is below, within or above. NumPy and click are all that must be
installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import gpu_pytorch
import gpu_stages
import gpu_whole
from gpu_stages import COUNTS, STATE, Check, Json, failed, why_not

from bandrt.engine import SHIPPED_ENGINES
from bandrt.files import file_sha256, replaced

RESULTS = Path(__file__).resolve().parent / "results"
STAGES: dict[str, Callable[[Check], None]] = {
    "environment": gpu_stages.environment,
    "batches": gpu_stages.batches,
    "layer": gpu_stages.cuda_layer,
    "rates": gpu_pytorch.rates,
    "roofline": gpu_stages.roofline,
    "torch": gpu_pytorch.pytorch,
    "onnxruntime": gpu_stages.onnxruntime_cuda,
    "plans": gpu_stages.tensorrt_plans,
    "accurate": gpu_whole.accurate,
    "run": gpu_whole.end_to_end,
}
ALWAYS = ("environment", "batches")
"""Stages that others build on."""
SAME = ("gpu", "driver", "packages", "engines", "dry")
"""What two runs have in common whose stages stand in one JSON."""
MADE_FOR = "made-for.json"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--engine", "engines", multiple=True, type=FILE, help="ONNX engine; may be repeated.")
@click.option("--plan", "plans", multiple=True, type=FILE, help="A plan that is built already; may be repeated.")
@click.option("--crystals", "table", type=FILE, help="Table of crystals in the place of those of the checkout.")
@click.option("--stages", default=",".join(STAGES), callback=lambda context, parameter, given: chosen(given), show_default=True)
@click.option("--limit", type=float, default=540.0, show_default=True, help="Seconds for each stage.")
@click.option("--prepare", type=FOLDER, help="Write what another machine cannot make, and stop.")
@click.option("--prepared", type=FOLDER, help="What --prepare wrote.")
@click.option("--work", type=FOLDER, help="Where stages keep what others use, to be used by the next call; nowhere by default.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON to write; benchmarks/results/gpu_check-DATE.json.")
@click.option("--dry", is_flag=True, help="Small, on the CPU.")
@click.option("--only", "only", type=click.Choice(list(STAGES)), hidden=True)
@click.option("--state", type=FILE, hidden=True)
def main(
    engines: Sequence[Path],
    plans: Sequence[Path],
    table: Path | None,
    stages: Sequence[str],
    limit: float,
    prepare: Path | None,
    prepared: Path | None,
    work: Path | None,
    out: Path | None,
    dry: bool,
    only: str | None,
    state: Path | None,
) -> None:
    if only is not None and state is not None:
        run_stage(only, state)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare or work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        check = Check(list(engines) or [SHIPPED_ENGINES["fast"]], list(plans), folder, dry, table)
        made_for = chosen_by(check)
        wanted = made_for if prepare is not None else made_for | json_of(gpu_stages.machine(check))
        known = require_same(folder, wanted) | wanted
        (folder / MADE_FOR).write_text(json.dumps(known), encoding="utf-8")
        if prepare is not None:
            make_ready(check)
            return
        if prepared is not None:
            require_same(prepared, made_for)
            for path in prepared.iterdir():
                if path.name != MADE_FOR:
                    shutil.copy2(path, folder)
        out = out or RESULTS / f"gpu_check-{datetime.now(UTC):%Y-%m-%d}.json"
        found = run_all(check, stages, limit, out)
    click.echo(f"wrote {out}")
    sys.exit(1 if failed(found) else 0)


def chosen_by(check: Check) -> Json:
    """What streams, energies and counts follow from."""
    table = None if check.table is None else file_sha256(check.table)
    return {"engines": [file_sha256(path) for path in check.engines], "table": table, "dry": check.dry}


def require_same(folder: Path, made_for: Json) -> Json:
    """Refuse a folder in which there is what was made of other choices or on another machine.

    Returns:
        What is known of what lies there; nothing of a new folder.

    Raises:
        click.UsageError: there is such.
    """
    path = folder / MADE_FOR
    before: Json = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if differing := ", ".join(name for name in before if name in made_for and before[name] != made_for[name]):
        raise click.UsageError(f"{folder}: what lies here was made with another choice of {differing}; take another folder")
    return before


def chosen(given: str) -> list[str]:
    """Stages by name, in their order, with those that they build on."""
    names = [*ALWAYS, *(name.strip() for name in given.split(","))]
    if unknown := [name for name in names if name not in STAGES]:
        raise click.BadParameter(f"{unknown[0]} is no stage; there are {', '.join(STAGES)}")
    return [name for name in STAGES if name in names]


def run_all(check: Check, stages: Sequence[str], limit: float, out: Path) -> Json:
    """Run stages as processes one after another; the JSON is written after each, with what others found before."""
    state = {"engines": check.engines, "plans": check.plans, "table": check.table, "dry": check.dry}
    path = check.folder / STATE
    path.write_text(json.dumps(state, default=lambda given: str(Path(given).resolve())), encoding="utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    before: Json = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    found: Json = {}
    for name in stages:
        print(f"{name} ...", flush=True)
        found[name] = in_process(name, path, limit)
        if name == "environment" and any(before.get(name, {}).get(key) != json_of(found[name].get(key)) for key in SAME):
            before = {}  # of another machine, other packages or engines
        with replaced(out) as file:
            file.write(json.dumps({name: (before | found)[name] for name in STAGES if name in before | found}, indent=1) + "\n")
        print(f"{name}: {brief(found[name])}", flush=True)
    return found


def json_of(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def in_process(name: str, state: Path, limit: float) -> Json:
    """What a stage found: by itself, up to its limit, or up to where it ended the process."""
    into, started = state.with_name(f"{name}.json"), perf_counter()
    command = [sys.executable, str(Path(__file__).resolve()), "--only", name, "--state", str(state)]
    into.unlink(missing_ok=True)
    status: Json = {}
    try:
        code = subprocess.run(command, timeout=limit, check=False).returncode
        if code:
            status = {"status": "crashed", "error": f"its process ended with {code}"}
    except subprocess.TimeoutExpired:
        status = {"status": "timed out", "error": f"it took more than {limit:g} s; what it had found by then is kept"}
    report: Json = json.loads(into.read_text(encoding="utf-8")) if into.exists() else {}
    return {"status": "done"} | report | status | {"seconds": perf_counter() - started}


def run_stage(name: str, state: Path) -> None:
    """Run one stage in this process, and leave its report beside the state."""
    given: Json = json.loads(state.read_text(encoding="utf-8"))
    engines, plans = ([Path(path) for path in given[key]] for key in ("engines", "plans"))
    table = None if given["table"] is None else Path(given["table"])
    check = Check(engines, plans, folder=state.parent, dry=given["dry"], table=table, out=state.with_name(f"{name}.json"))
    check.report["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        STAGES[name](check)
    except Exception as error:  # the stage says why in the JSON, and the others go on
        check.report |= why_not(error)
    check.save()


def make_ready(check: Check) -> None:
    """Write streams, expected energies, counts of the roofline and the engine accurate with its solver in the graph."""
    for name in ("batches", "roofline"):
        STAGES[name](check)
    gpu_whole.graph_engine(check)
    if failed(check.report):
        raise click.ClickException(json.dumps(check.report, indent=1, default=str))
    kept = (COUNTS, gpu_whole.GRAPH_ENGINE, *(f"{kind}{of}.npz" for kind in ("streams", "expected") for of in ("", "-accurate")))
    n_bytes = sum((check.folder / name).stat().st_size for name in kept)
    click.echo(f"wrote {', '.join(kept)} to {check.folder}, {n_bytes / 1e6:.1f} MB")


def brief(found: Json) -> str:
    """A stage in a line: what became of it, and why."""
    parts = [str(found["status"]), *(str(found[key]) for key in ("reason", "error") if key in found)]
    inner = {name: one for name, one in found.items() if isinstance(one, dict) and one.get("status", "done") != "done"}
    return "; ".join([*parts, *(f"{name} {one['status']}: {one.get('reason') or one.get('error')}" for name, one in inner.items())])


if __name__ == "__main__":
    main()
