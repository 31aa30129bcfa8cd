"""``bandrt train fit``: a configuration and a data set to a checkpoint, with a bar to watch."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import click

EPOCH_BAR = "{percentage:3.0f}%|{bar}| {n:.2f}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]"
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("config", type=PATH)
@click.option("--data", required=True, type=PATH, help="Data set folder.")
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Run folder to write, new or empty."
)
@click.option(
    "--from",
    "start",
    type=PATH,
    help="Checkpoint to fine-tune, ours or, for released, one of the authors' code: what that leaves unsaid, the data set says.",
)
@click.option("--gaps", type=PATH, help="Data set of gaps to learn from too.")
@click.option("--seed", type=click.IntRange(0), help="In the place of the configuration's, for the members of an ensemble.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; by default every core.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, to the same result; begin it if there is none.")
@click.option("--tensorboard", is_flag=True, help="Write OUTPUT/tensorboard, too.")
def fit(
    config: Path,
    data: Path,
    output: Path,
    start: Path | None,
    gaps: Path | None,
    seed: int | None,
    threads: int | None,
    resume: bool,
    tensorboard: bool,
) -> None:
    """Train the model that CONFIG, a TOML file, describes; the best checkpoint so far is OUTPUT/checkpoint.pt."""
    import torch
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
    from tqdm import tqdm

    from bandrt_train.checkpoint import load_checkpoint, load_checkpoint_for
    from bandrt_train.data.dataset import Dataset
    from bandrt_train.evaluation.tables import text_table
    from bandrt_train.fit.config import read_config
    from bandrt_train.fit.run import fit as run
    from bandrt_train.fit.tensorboard_log import TensorBoardLog
    from bandrt_train.model.released.config import ReleasedConfig

    if threads is not None:
        torch.set_num_threads(threads)
    settings = read_config(config)
    if seed is not None:
        settings = replace(settings, seed=seed)
    bands = Dataset(data)
    parent = None
    if start is not None and isinstance(settings.model, ReleasedConfig):
        parent = load_checkpoint_for(start, bands.header.recipe.featurization, settings.model.species_index)
    elif start is not None:
        parent = load_checkpoint(start)
    known_gaps = None if gaps is None else Dataset(gaps)
    first = getattr(rank_zero_only, "rank", 0) == 0  # of several devices, each in a process of its own
    with ExitStack() as stack:
        board = stack.enter_context(closing(TensorBoardLog(output / "tensorboard"))) if tensorboard else None
        bar = stack.enter_context(tqdm(total=settings.epochs, bar_format=EPOCH_BAR, disable=None if first else True))
        best = float("inf")

        def count(epochs: float) -> None:
            bar.update(epochs - bar.n)

        def show(epoch: int, row: dict[str, float]) -> None:
            nonlocal best
            best = min(best, row["validation/energy_mae_ev"])
            losses = f"loss {row['train/loss']:.3f} eV, validation {row['validation/energy_mae_ev']:.3f} eV, best {best:.3f} eV"
            bar.set_postfix_str(losses)
            count(epoch)
            if board is not None:
                board(epoch, row)

        try:
            result = run(settings, bands, output, start=parent, gaps=known_gaps, resume=resume, progress=show, steps=count)
        except KeyboardInterrupt:
            click.echo(f"{output}: to go on, give the same command with --resume", err=True)
            raise
    if not first:
        return
    click.echo(f"best epoch {result.best_epoch}, metal tolerance {result.rule.metal_tolerance_ev} eV")
    click.echo(f"validation split of {data}:")
    click.echo(text_table({"model": result.validation, "training mean": result.baseline}))
    click.echo(f"checkpoint: {result.checkpoint}")
