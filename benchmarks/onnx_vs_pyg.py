"""Time one model in ONNX Runtime and in PyTorch Geometric, on the same CPU, crystals and batches.

    python benchmarks/onnx_vs_pyg.py                                   the shape of the shipped engine, with random weights
    python benchmarks/onnx_vs_pyg.py --config train/configs/paper.toml another shape
    python benchmarks/onnx_vs_pyg.py --checkpoint model.ckpt           a trained model

Batches hold crystals of one size, and once more of many sizes, which PyG pads where it attends and the session cuts into slices.

Both sides get their batches ready made: PyG a `Batch` of graphs, ONNX Runtime padded arrays. They take turns, and the median
counts. With one thread the figures are processor time, so that waiting for a busy machine is not counted; with more they are wall
time and want an idle machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bandrt.features import Features

ROOT = Path(__file__).resolve().parents[1]
TARGET_RATIO = 2.0


@click.command(help=__doc__)
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path), help="Model to time.")
@click.option(
    "--config",
    default=ROOT / "train" / "configs" / "bloch.toml",
    type=click.Path(exists=True, path_type=Path),
    help="Shape to time.",
)
@click.option("--batch", "batches", default="1,4,16,64", show_default=True, help="Crystals per batch.")
@click.option("--threads", default=1, show_default=True, help="Threads of either side.")
@click.option("--repeats", default=15, show_default=True, help="Runs of each batch.")
@click.option("--save/--no-save", default=True, help="Whether to write benchmarks/results/onnx_vs_pyg-VARIANT-DATE.json.")
def main(checkpoint: Path | None, config: Path, batches: str, threads: int, repeats: int, save: bool) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is loaded
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of the packages timed, on import
    import torch

    from bandrt.batch import pad
    from bandrt.engine.onnx.session import OnnxSession
    from bandrt.manifest import BandRule, TrainingDomain
    from bandrt_export.dense.ensemble import dense_of
    from bandrt_export.onnx import describe, trace, write
    from bandrt_export.parity import featurize_all, packaged_crystals
    from bandrt_train.checkpoint import load_checkpoint, save_checkpoint
    from bandrt_train.data.recipes import default_recipe
    from bandrt_train.fit.config import read_config
    from bandrt_train.model.bandformer import build_model
    from bandrt_train.model.graphs import to_batch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        if checkpoint is None:
            checkpoint = Path(folder, "random.ckpt")
            shape = read_config(config).model
            save_checkpoint(
                checkpoint,
                model=build_model(shape),
                config=shape,
                recipe=default_recipe(shape.variant),
                bands=BandRule(),
                training=TrainingDomain(),
            )
        loaded = load_checkpoint(checkpoint)
        model = loaded.build_model()
        engine = Path(folder, "model.onnx")
        click.echo("tracing", err=True)
        dense = dense_of(model)
        proto = trace(dense, n_slots=loaded.recipe.graph.n_neighbors)
        with engine.open("wb") as file:
            write(proto, describe(loaded, dense, loaded.bands, "fp32"), file)
        features = featurize_all(packaged_crystals(), loaded.recipe)
        rows: list[dict[str, Any]] = []
        with OnnxSession(engine, threads=threads) as session, torch.inference_mode():
            for chosen in batches_of(features, [int(number) for number in batches.split(",")]):
                graphs, padded = to_batch(chosen), pad(chosen)
                pyg, onnx = in_turns([partial(model, graphs), partial(session.run, padded)], repeats, threads)
                n_atoms = [len(one.atomic_numbers) for one in chosen]
                rows.append(
                    {
                        "batch": len(chosen),
                        "atoms": [min(n_atoms), max(n_atoms)],
                        "pyg_ms": pyg,
                        "onnx_ms": onnx,
                        "ratio": pyg / onnx,
                    }
                )
    click.echo(f"{model_words(loaded.config)}, {threads} thread{'s' if threads > 1 else ''}, ms per batch, target {TARGET_RATIO}x")
    for row in rows:
        click.echo(
            f"batch {row['batch']:3d}  {row['atoms'][0]:2d}-{row['atoms'][1]:2d} atoms"
            f"  PyG {row['pyg_ms']:7.1f}  ONNX Runtime {row['onnx_ms']:7.1f}  ratio {row['ratio']:.2f}"
        )
    if save:
        output = ROOT / "benchmarks" / "results" / f"onnx_vs_pyg-{loaded.config.variant}-{date.today()}.json"
        result = {"machine": machine(), "model": dataclasses.asdict(loaded.config), "threads": threads, "clock": clock(threads)[0]}
        output.write_text(json.dumps(result | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
        click.echo(f"saved {output.relative_to(ROOT)}", err=True)


def batches_of(features: list[Features], sizes: list[int]) -> Iterator[list[Features]]:
    """Batches from the middle of crystals sorted by size: of one size, then, if they hold several, of neighbouring sizes."""
    for size in sizes:
        yield [features[len(features) // 2]] * size
        if size > 1:
            enough = [one for one in features for _ in range(-(-size // len(features)))]
            middle = (len(enough) - size) // 2
            yield enough[middle : middle + size]


def in_turns(sides: list[Callable[[], object]], repeats: int, threads: int) -> list[float]:
    """Median milliseconds of each side, run one after the other so that both see the same machine."""
    _, now = clock(threads)
    taken: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for _ in range(repeats):
        for side, times in zip(sides, taken, strict=True):
            start = now()
            side()
            times.append(1e3 * (now() - start))
    return [round(statistics.median(times), 3) for times in taken]


def clock(threads: int) -> tuple[str, Callable[[], float]]:
    """What is measured: processor time of one thread, wall time of several."""
    return ("processor time", process_time) if threads == 1 else ("wall time", perf_counter)


def model_words(config: object) -> str:
    """The configuration in a few words."""
    values = dataclasses.asdict(config)  # type: ignore[call-overload]
    return f"{values['variant']} d {values['d_model']}, {values['encoder_layers']} + {values['decoder_layers']} layers"


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    from bandrt.machine.versions import processor

    names = ("torch", "torch_geometric", "onnxruntime", "numpy")
    return {"processor": processor(), "python": platform.python_version(), "date": str(date.today())} | {
        n: version(n) for n in names
    }


if __name__ == "__main__":
    main()
