"""Time featurisation, stage by stage, and the same steps in pymatgen, in one run.

    python benchmarks/featurize.py                              the example crystals of this repository
    python benchmarks/featurize.py --table structures.csv.gz    crystals of a table with a `cif` column

Every figure is milliseconds of processor time per crystal in one thread, so that waiting for a busy machine is not counted.
`chunks` is what the pipeline does: 128 crystals at once, from text to features, the fastest of `--repeats` times for each chunk;
`alone` is one crystal at a time, the fastest of `--repeats` times for each. `stream` is the mean of a plain loop over them, and
`first pass` that of the very first time each is seen. Templates of k-paths and cubic prototypes are remembered from crystal to
crystal, as in any long run; only the first pass has to make them. `others` is one pass in chunks over crystals of the table that
had not been met, no best of anything. Both sides of the comparison with pymatgen do an evenly spaced sample of crystals once:
pymatgen one after the other, we once in this way and once in chunks.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("read CIF", "symmetry", "graph", "k-path")
LINE_DENSITY = 20
"""k-points per 1/Å that pymatgen puts on its path before it is resampled."""
N_KPOINTS = 256
N_NEIGHBORS, CUTOFF = 12, 8.0

Milliseconds = dict[str, float]


@click.command(help=__doc__)
@click.option("--table", type=click.Path(exists=True, path_type=Path), help="CSV (or .csv.gz) with a `cif` column.")
@click.option("--crystals", default=1000, show_default=True, help="How many crystals to take, evenly spaced.")
@click.option("--max-atoms", default=30, show_default=True, help="Leave out larger cells, as counted in the file.")
@click.option("--repeats", default=3, show_default=True, help="How often each crystal is featurised.")
@click.option("--pymatgen-sample", default=40, show_default=True, help="How many crystals pymatgen does too; 0 for none.")
@click.option("--save/--no-save", default=True, help="Whether to write benchmarks/results/featurize-DATE.json.")
def main(table: Path | None, crystals: int, max_atoms: int, repeats: int, pymatgen_sample: int, save: bool) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded: one core is what is measured
    from bandrt.machine.versions import processor
    from bandrt.readers import read_cif

    texts = list(tables_cifs(table) if table else example_cifs())
    small = [text for text in spaced(texts, 4 * crystals) if read_cif(text).n_atoms <= max_atoms]
    chosen = spaced(small, crystals)
    compared = {id(text) for text in spaced(chosen, pymatgen_sample)}
    ours: list[Milliseconds] = []
    pairs: list[tuple[Milliseconds, Milliseconds]] = []
    both: list[str] = []
    first: list[float] = []
    if compared:
        with suppress(Exception):  # only its imports matter here
            time_pymatgen(small[-1])
    failures = 0
    for text in chosen:
        first.append(time_featurize(text))
        ours.append(best_of(repeats, lambda text=text: time_stages(text)))  # type: ignore[misc]
        if id(text) in compared:
            try:
                pairs.append((time_stages(text), time_pymatgen(text)))
                both.append(text)
            except Exception as error:  # pymatgen raises many kinds, and none is what is measured here
                failures += 1
                click.echo(f"pymatgen failed on a crystal ({type(error).__name__}), left out of the comparison", err=True)

    report = {
        "what": "featurisation, ms of processor time per crystal, one thread",
        "date": date.today().isoformat(),
        "cpu": processor(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("bandrt", "numpy", "gemmi", "moyopy")}
        | ({"pymatgen": version("pymatgen")} if pairs else {}),
        "crystals": {"count": len(ours), "max_atoms": max_atoms, "source": "a table" if table else "examples/crystals"},
        "first_pass_mean_ms": round(statistics.mean(first), 4),
        "stream_mean_ms": round(statistics.mean([time_featurize(text) for text in chosen]), 4),
        "alone_ms": {stage: summary([one[stage] for one in ours]) for stage in (*STAGES, "total")},
        "chunks_mean_ms": rounded(time_chunks(chosen, repeats)),
    }
    seen = {id(text) for text in chosen}
    if others := [text for text in small if id(text) not in seen]:
        report["others"] = {"count": len(others), "mean_ms": round(time_once(others), 4)}
    if pairs:
        report["pymatgen"] = compare(pairs, time_chunks(both, 1)) | {"failed": failures}
    show(report)
    if save:
        target = ROOT / "benchmarks" / "results" / f"featurize-{date.today().isoformat()}.json"
        target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        click.echo(f"saved {target.relative_to(ROOT)}", err=True)


def time_stages(text: str) -> Milliseconds:
    """Time each stage, and the whole as a user calls it."""
    from bandrt.graph.crystal_graph import crystal_graph
    from bandrt.kpaths import kpath_of
    from bandrt.readers import read_cif
    from bandrt.symmetry.standard_cell import standardize

    times = [process_time()]
    crystal = read_cif(text)
    times.append(process_time())
    cell = standardize(crystal)
    times.append(process_time())
    crystal_graph(cell.crystal, cell.orbits)
    times.append(process_time())
    kpath_of(cell)
    times.append(process_time())
    return differences(times) | {"total": time_featurize(text)}


def time_featurize(text: str) -> float:
    """Time the whole, from text to what an engine is fed."""
    from bandrt.features import featurize

    start = process_time()
    featurize(text)
    return 1e3 * (process_time() - start)


def time_chunks(texts: list[str], repeats: int) -> Milliseconds:
    """Time each stage, and the whole as the pipeline calls it, for chunk after chunk; per crystal."""
    from bandrt.features import CHUNK

    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    best = [best_of(repeats, lambda chunk=chunk: time_chunk(chunk)) for chunk in chunks]  # type: ignore[misc]
    return {stage: sum(one[stage] for one in best) / len(texts) for stage in best[0]}


def time_once(texts: list[str]) -> float:
    """Time the whole as the pipeline calls it, for each crystal once; per crystal."""
    from bandrt.features import CHUNK, featurize_many

    start = process_time()
    for first in range(0, len(texts), CHUNK):
        featurize_many(texts[first : first + CHUNK])
    return 1e3 * (process_time() - start) / len(texts)


def time_chunk(texts: list[str]) -> Milliseconds:
    """Time each stage for all crystals of a chunk, and the whole."""
    from bandrt.features import featurize_many
    from bandrt.graph.crystal_graph import crystal_graphs
    from bandrt.kpaths import kpaths_of
    from bandrt.readers import read_cif
    from bandrt.symmetry.standard_cell import StandardCell, standardize_many

    times = [process_time()]
    crystals = [read_cif(text) for text in texts]
    times.append(process_time())
    outcomes = standardize_many(crystals, names=[""] * len(texts))
    times.append(process_time())
    cells = [cell for cell in outcomes if isinstance(cell, StandardCell)]
    crystal_graphs([cell.crystal for cell in cells], [cell.orbits for cell in cells])
    times.append(process_time())
    kpaths_of(cells)
    times.append(process_time())
    start = process_time()
    featurize_many(texts)
    return differences(times) | {"total": 1e3 * (process_time() - start)}


def time_pymatgen(text: str) -> Milliseconds:
    """Time the same steps in pymatgen."""
    import numpy as np
    from pymatgen.core import Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = [process_time()]
        structure = Structure.from_str(text, fmt="cif")
        times.append(process_time())
        primitive = SpacegroupAnalyzer(structure, symprec=0.01).get_primitive_standard_structure(international_monoclinic=False)
        times.append(process_time())
        for around in primitive.get_all_neighbors(CUTOFF):
            np.array([neighbor.nn_distance for neighbor in sorted(around, key=lambda n: n.nn_distance)[:N_NEIGHBORS]])
        times.append(process_time())
        pymatgen_kpath(primitive)
        times.append(process_time())
    return differences(times) | {"total": 1e3 * (times[-1] - times[0])}


def pymatgen_kpath(primitive: Any) -> Any:
    """Latimer-Munro path, made continuous and resampled, as (256, 3) fractional k-points."""
    import numpy as np
    from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
    from pymatgen.electronic_structure.core import Spin
    from pymatgen.symmetry.bandstructure import HighSymmKpath

    path = HighSymmKpath(primitive, path_type="latimer_munro")
    kpoints, labels = path.get_kpoints(line_density=LINE_DENSITY, coords_are_cartesian=False)
    corners = {label: kpoint for kpoint, label in zip(kpoints, labels, strict=True) if label}
    bands = BandStructureSymmLine(
        kpoints, {Spin.up: np.zeros((1, len(kpoints)))}, primitive.lattice.reciprocal_lattice, 0.0, corners, structure=primitive
    )
    continuous = HighSymmKpath.get_continuous_path(bands)
    walked = np.array([kpoint.frac_coords for kpoint in continuous.kpoints])
    distance = np.array(continuous.distance)
    grid = np.linspace(0.0, distance[-1], N_KPOINTS)
    return np.stack([np.interp(grid, distance, walked[:, axis]) for axis in range(3)], axis=1)


def differences(times: list[float]) -> Milliseconds:
    return {stage: 1e3 * (end - start) for stage, start, end in zip(STAGES, times, times[1:], strict=False)}


def best_of(repeats: int, measure: Callable[[], Milliseconds]) -> Milliseconds:
    runs = [measure() for _ in range(repeats)]
    return {stage: min(run[stage] for run in runs) for stage in runs[0]}


def compare(pairs: list[tuple[Milliseconds, Milliseconds]], chunks: Milliseconds) -> dict[str, Any]:
    """Ratios of mean times, alone and in chunks, and the median of the ratios alone, over the crystals that both did."""
    stages = {}
    for stage in (*STAGES, "total"):
        ours, theirs = [one[stage] for one, _ in pairs], [other[stage] for _, other in pairs]
        mean = statistics.mean(theirs)
        stages[stage] = {
            "mean": round(mean, 3),
            "median": round(statistics.median(theirs), 3),
            "ours_alone_mean": round(statistics.mean(ours), 4),
            "ratio_alone": round(mean / statistics.mean(ours), 1),
            "median_ratio_alone": round(statistics.median([b / a for a, b in zip(ours, theirs, strict=True)]), 1),
            "ours_in_chunks_mean": round(chunks[stage], 4),
            "ratio_in_chunks": round(mean / chunks[stage], 1),
        }
    return {"count": len(pairs), "stages_ms": stages}


def rounded(values: Milliseconds) -> Milliseconds:
    return {stage: round(value, 4) for stage, value in values.items()}


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"mean": round(statistics.mean(values), 4), "median": round(statistics.median(values), 4), "p95": round(p95, 4)}


def show(report: dict[str, Any]) -> None:
    click.echo(f"{report['cpu']}, {report['crystals']['count']} crystals of at most {report['crystals']['max_atoms']} atoms")
    click.echo(f"{'ms per crystal':<16}{'chunks':>10}{'alone':>10}{'median':>10}{'p95':>10}")
    for stage, row in report["alone_ms"].items():
        chunks = report["chunks_mean_ms"][stage]
        click.echo(f"{stage:<16}{chunks:>10.3f}{row['mean']:>10.3f}{row['median']:>10.3f}{row['p95']:>10.3f}")
    click.echo(f"{'stream':<26}{report['stream_mean_ms']:>10.3f}")
    click.echo(f"{'first pass':<26}{report['first_pass_mean_ms']:>10.3f}")
    if "others" in report:
        click.echo(f"{'others':<16}{report['others']['mean_ms']:>10.3f}  {report['others']['count']} crystals")
    if "pymatgen" in report:
        click.echo(f"\npymatgen, {report['pymatgen']['count']} crystals ({report['pymatgen']['failed']} failed)")
        click.echo(f"{'ms per crystal':<16}{'pymatgen':>10}{'chunks':>10}{'ratio':>10}{'alone':>10}{'ratio':>10}")
        for stage, row in report["pymatgen"]["stages_ms"].items():
            chunks, alone = row["ours_in_chunks_mean"], row["ours_alone_mean"]
            ratios = row["ratio_in_chunks"], row["ratio_alone"]
            click.echo(f"{stage:<16}{row['mean']:>10.3f}{chunks:>10.3f}{ratios[0]:>10.0f}{alone:>10.3f}{ratios[1]:>10.0f}")


def tables_cifs(table: Path) -> Iterator[str]:
    from bandrt.sources.tables import csv_records

    with gzip.open(table, "rt", encoding="utf-8") if table.suffix == ".gz" else table.open(encoding="utf-8") as lines:
        yield from (row["cif"] for row in csv_records(lines)[1])


def example_cifs() -> Iterator[str]:
    for path in sorted((ROOT / "examples" / "crystals").rglob("*.cif")):
        yield path.read_text(encoding="utf-8")


def spaced(items: list[str], count: int) -> list[str]:
    """At most `count` of the items, evenly spaced."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


if __name__ == "__main__":
    main()
