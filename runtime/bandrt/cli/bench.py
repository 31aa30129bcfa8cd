"""``bandrt bench``."""

from __future__ import annotations

import dataclasses
import importlib
import os
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Literal

import click

from bandrt import __version__
from bandrt.cli import EXIT_SOME_FAILED, options
from bandrt.engine import DEFAULT_ENGINE
from bandrt.engine.cuda_driver import Driver, find_driver, gpu_record
from bandrt.engine.session import cuda_device
from bandrt.loading import load
from bandrt.machine import bench
from bandrt.machine.doctor import installed_packages
from bandrt.machine.versions import processor
from bandrt.predict import Engine
from bandrt.sources import find, textbook

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class BatchSizes(click.ParamType[tuple[int, ...]]):
    """``1,16,64``."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Numbers between commas."""
        if isinstance(value, tuple):
            return value
        try:
            sizes = tuple(sorted({int(word) for word in str(value).split(",")}))
        except ValueError:
            sizes = (0,)
        if sizes[0] < 1:
            self.fail(f"{value!r} is no list of sizes such as 1,16,64", param, ctx)
        return sizes


@click.command("bench", short_help="Measure how fast engines are, side by side.")
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=options.PATH)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=options.ENGINE,
    help="Model file, or fast or accurate for a shipped one, null for none; may be given again; accurate by default.",
)
@click.option("--checkpoint", type=options.PATH, help="Time this checkpoint in torch, too, which must be installed.")
@click.option("--compile", "compiled", is_flag=True, help="Time the checkpoint under torch.compile, too.")
@click.option(
    "--batch-size",
    "--batch",
    "batch_sizes",
    default="1,16,64",
    show_default=True,
    type=BatchSizes(),
    help="Crystals in a batch, several sizes between commas.",
)
@options.device(f"{options.DEVICES}; what suits the engine by default.")
@options.threads()
@click.option("--seconds", default=1.0, show_default=True, type=options.Number(0, 3600), help="To time each batch for.")
@click.option(
    "--clock",
    default="wall",
    show_default=True,
    type=click.Choice(list(CLOCKS)),
    help="processor, for a busy machine: leaves out what other programs take, adds up threads, and sees no GPU.",
)
@options.as_json("everything")
@options.quiet()
def command(
    paths: tuple[Path, ...],
    engines: tuple[Path, ...],
    checkpoint: Path | None,
    compiled: bool,
    batch_sizes: tuple[int, ...],
    device: str | None,
    threads: int | None,
    seconds: float,
    clock: Literal["wall", "processor"],
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure how fast engines are, side by side.

    Latencies are by batch size and number of atoms, the time of a whole run by its stages. PATH is what `bandrt infer` takes;
    without any, a few textbook crystals of up to 40 atoms. Several engines, and the checkpoint, take turns on the same crystals.
    Ratios are to the checkpoint, or else to the last engine.

    \b
    Examples:
      bandrt bench
      bandrt bench --engine half.onnx --engine model.onnx --batch-size 1,16 crystals

    Exit codes: 0 measured, 1 stopped by an error, 2 wrong usage, 3 measured, but some inputs could not be used.
    """
    if compiled and checkpoint is None:
        raise click.UsageError("--compile needs a --checkpoint")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is loaded
    names = _names(engines or (DEFAULT_ENGINE,))
    with ExitStack() as stack:
        opened = {name: stack.enter_context(_open(path, device, threads)) for name, path in names.items()}
        contenders = [bench.contender(engine, name) for name, engine in opened.items()]
        yardstick = None
        if checkpoint is not None:
            training = importlib.import_module("bandrt_train.evaluation.contenders")
            on = cuda_device(next(iter(opened.values())).session.device)
            references, yardstick = training.reference_contenders(
                checkpoint, device=on, threads=threads, compiled=compiled, clock=CLOCKS[clock]
            )
            contenders += references
        limits = [engine.manifest.profile for engine in opened.values()]
        _require_batches(opened, batch_sizes)
        crystals = bench.featurize_sources(
            list(find(paths)) if paths else textbook.sources(),
            list(dict.fromkeys(one.recipe for one in contenders)),
            max_atoms=min((limit.max_atoms for limit in limits if limit.max_atoms is not None), default=None),
        )
        rows = bench.latencies(
            contenders,
            crystals,
            batch_sizes,
            seconds=seconds,
            yardstick=yardstick,
            clock=CLOCKS[clock],
            on_progress=lambda words: None if quiet else click.echo(words, err=True),
        )
        splits = [
            bench.stage_split(engine, name, crystals.sources, batch=batch_sizes[-1], clock=CLOCKS[clock])
            for name, engine in opened.items()
        ]
        if as_json:
            report = {
                "machine": _machine(),
                "options": {"batch": batch_sizes, "threads": threads, "seconds": seconds, "clock": clock},
                "engines": [_described(name, engine) for name, engine in opened.items()],
                "crystals": len(crystals.sources),
                "failures": bench.described(crystals.failures),
                "latency": [bench.as_json(row) for row in rows],
                "stages": [bench.as_json(split) for split in splits],
                "matrix_rate_tflops": yardstick and round(yardstick.flops_per_second / 1e12, 4),
                "peak_memory_mb": bench.peak_memory_mb(),
            }
            click.echo(options.json_text(report))
        else:
            for line in (*_latency_table(rows), *_stage_table(splits)):
                click.echo(line)
    for failure in crystals.failures:
        click.echo(f"left out [{failure.code}]: {failure.message}", err=True)
    without = [failure for split in splits for failure in split.failures]
    for failure in without:
        click.echo(f"timed, but has no bands [{failure.code}]: {failure.message}", err=True)
    return EXIT_SOME_FAILED if crystals.failures or without else 0


def _open(path: Path, device: str | None, threads: int | None) -> Engine:
    """An engine alone: another one that it may hand crystals over to is measured under its own name."""
    return load(path, device, threads=threads, hand_over=False)


def _names(engines: Sequence[Path]) -> dict[str, Path]:
    """Engines by what the report calls them: the file, or the whole path where files share a name, once each."""
    short = [path.name for path in engines]
    return {path.name if short.count(path.name) == 1 else str(path): path for path in engines}


def _require_batches(engines: dict[str, Engine], batch_sizes: Sequence[int]) -> None:
    for name, engine in engines.items():
        most = engine.manifest.profile.max_batch
        if most is not None and batch_sizes[-1] > most:
            raise click.UsageError(
                f"{name}: batches of {batch_sizes[-1]}, this engine holds at most {most}; use --batch-size {most}"
            )


def _described(name: str, engine: Engine) -> dict[str, Any]:
    manifest = engine.manifest
    return {
        "name": name,
        "sha256": engine.sha256,
        "variant": manifest.variant,
        "precision": manifest.precision,
        "backend": manifest.backend.name,
        "device": engine.session.device,
        "gpu": gpu_record(engine.session.device),
    }


def _machine() -> dict[str, Any]:
    """Where, when and with what."""
    driver = find_driver()
    return {
        "date": str(date.today()),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": [dataclasses.asdict(gpu) for gpu in driver.gpus] if isinstance(driver, Driver) else [],
        "driver": driver.release if isinstance(driver, Driver) else None,
        "versions": {"bandrt": __version__, "python": platform.python_version()}
        | {name: version for name, version in installed_packages().items() if version},
    }


def _latency_table(rows: Sequence[bench.LatencyRow]) -> list[str]:
    width = max(len(row.contender) for row in rows)
    lines = [f"{'':{width}}  batch  atoms     p50 ms    p90 ms    p99 ms  crystals/s  ratio"]
    for row in rows:
        one = row.latency
        atoms = f"{row.min_atoms}-{row.max_atoms}" if row.min_atoms < row.max_atoms else str(row.max_atoms)
        ratio = f"{row.ratio:5.2f}" if row.ratio else "     "
        fraction = f"  {100 * row.matrix_rate_fraction:.0f} % of the matrix rate" if row.matrix_rate_fraction else ""
        lines.append(
            f"{row.contender:{width}}  {row.batch:5d}  {atoms:6}  {one.p50_ms:8.2f}  {one.p90_ms:8.2f}  {one.p99_ms:8.2f}"
            f"  {one.crystals_per_second:10.1f}  {ratio}{fraction}".rstrip()
        )
    return lines


def _stage_table(splits: Sequence[bench.StageSplit]) -> list[str]:
    lines = []
    for split in splits:
        each = ", ".join(f"{stage} {1e3 * taken / split.n_crystals:.2f}" for stage, taken in split.seconds.items())
        lines.append(
            f"{split.contender}, {split.n_crystals} crystals from file to file in batches of up to {split.batch}:"
            f" {split.crystals_per_second:.1f} crystals/s (ms each: {each})"
        )
    if (peak := bench.peak_memory_mb()) is not None:
        lines.append(f"peak memory of this process {peak:.0f} MB")
    return lines
