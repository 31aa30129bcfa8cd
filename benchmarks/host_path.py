"""Measure what everything beside a model costs: a run with the engine `null`, from a table to a folder of results.

    python benchmarks/host_path.py structures.csv.gz            2,000 crystals of a table with a `cif` column

Every figure is milliseconds of processor time per crystal, so that waiting for a busy machine is not counted: of the main process,
which finds, batches, checks and writes, and of its workers, which read and featurise, their start included. A model on a GPU waits
for the main process alone if there are workers enough, so `crystals/s of the main process` is what it can be fed at most. Runs are
repeated, and the median is told. Memory is the peak of the main process after a quarter of the crystals and after all of them.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import statistics
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
KIBIBYTES_PER_MB = 1e6 / 1024


class Cost(NamedTuple):
    """What a run took."""

    main_s: float
    workers_s: float
    wall_s: float
    predicted: int
    stages_s: dict[str, float]
    """As the run counts them."""


@click.command(help=__doc__)
@click.argument("table", type=click.Path(exists=True, path_type=Path))
@click.option("--crystals", default=2000, show_default=True, help="How many crystals to take, evenly spaced.")
@click.option("--workers", default=2, show_default=True, help="Processes that read and featurise.")
@click.option("--batch-size", default=256, show_default=True, help="Crystals in a batch.")
@click.option("--repeats", default=3, show_default=True, help="How often all are run.")
@click.option("--save/--no-save", default=True, help="Whether to write benchmarks/results/host_path-DATE.json.")
def main(table: Path, crystals: int, workers: int, batch_size: int, repeats: int, save: bool) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded
    from bandrt.machine.versions import processor

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = write_sample(table, folder / "all.csv", crystals)
        write_sample(folder / "all.csv", folder / "quarter.csv", -(-count // 4))
        run(folder / "quarter.csv", folder / "quarter", workers, batch_size)
        quarter_mb = peak_mb()
        costs = [run(folder / "all.csv", folder / f"all-{n}", workers, batch_size) for n in range(repeats)]
        all_mb = peak_mb()
    report = {
        "what": "a run with the engine null, ms of processor time per crystal",
        "date": date.today().isoformat(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("bandrt", "numpy", "gemmi", "moyopy")},
        "crystals": {"count": count, "predicted": costs[0].predicted},
        "options": {"workers": workers, "batch_size": batch_size, "repeats": repeats},
        **figures(costs, count),
        "main_peak_mb": {"quarter": round(quarter_mb, 1), "all": round(all_mb, 1)},
    }
    show(report)
    if save:
        target = RESULTS / f"host_path-{date.today().isoformat()}.json"
        target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        click.echo(f"saved {target.relative_to(ROOT)}", err=True)


def run(table: Path, out: Path, workers: int, batch_size: int) -> Cost:
    """Predict the crystals of a table with the engine `null`, and measure it."""
    from bandrt.engine import NULL_ENGINE
    from bandrt.run.infer import InferOptions, infer

    options = InferOptions(engine=NULL_ENGINE, workers=workers, batch_size=batch_size)
    before, clock = cpu_seconds(), perf_counter()
    done = infer(table, out, options)
    wall, after = perf_counter() - clock, cpu_seconds()
    stages = {stage: seconds for stage, seconds in done.seconds.items() if stage != "wall"}
    return Cost(after[0] - before[0], after[1] - before[1], wall, done.predicted, stages)


def cpu_seconds() -> tuple[float, float]:
    """Processor time of this process with its threads, and of processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, children = (one.ru_utime + one.ru_stime for one in used)
    return own, children


def figures(costs: list[Cost], count: int) -> dict[str, Any]:
    """Medians over the runs."""
    main_s, workers_s = (statistics.median(values) for values in zip(*((one.main_s, one.workers_s) for one in costs), strict=True))
    all_s = statistics.median(one.main_s + one.workers_s for one in costs)
    return {
        "main_ms": round(1e3 * main_s / count, 4),
        "workers_ms": round(1e3 * workers_s / count, 4),
        "all_ms": round(1e3 * all_s / count, 4),
        "main_crystals_per_s": round(count / main_s),
        "wall_crystals_per_s": round(count / statistics.median(one.wall_s for one in costs)),
        "stages_ms": {
            stage: round(1e3 * statistics.median(one.stages_s[stage] for one in costs) / count, 4) for stage in costs[0].stages_s
        },
    }


def peak_mb() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_PER_MB


def write_sample(table: Path, out: Path, count: int) -> int:
    """Write at most `count` crystals of a table, evenly spaced, as another one; how many there are."""
    cifs = list(cifs_of(table))
    chosen = cifs if len(cifs) <= count else [cifs[i * len(cifs) // count] for i in range(count)]
    with out.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "cif"])
        rows.writerows([f"crystal-{number}", cif] for number, cif in enumerate(chosen))
    return len(chosen)


def cifs_of(table: Path) -> Iterator[str]:
    from bandrt.sources.tables import csv_records, text_stream

    with table.open("rb") as stream, text_stream(stream, table.name) as lines:
        yield from (row["cif"] for row in csv_records(lines)[1])


def show(report: dict[str, Any]) -> None:
    crystals, options = report["crystals"], report["options"]
    click.echo(
        f"{report['cpu']}, {crystals['predicted']} of {crystals['count']} crystals, {options['workers']} workers,"
        f" batches of {options['batch_size']}"
    )
    click.echo(f"main process {report['main_ms']:.3f} ms a crystal: {report['main_crystals_per_s']} crystals/s at most")
    click.echo(f"workers {report['workers_ms']:.3f}, all processes {report['all_ms']:.3f} ms")
    click.echo(f"this machine {report['wall_crystals_per_s']} crystals/s")
    peak = report["main_peak_mb"]
    click.echo(f"memory of the main process {peak['quarter']:.0f} MB after a quarter, {peak['all']:.0f} MB after all")


if __name__ == "__main__":
    main()
