"""``bandrt train fit``: a configuration and a data set to a checkpoint, with a bar to watch."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bandrt.cli import options, say_done
from bandrt.files import check_folder
from bandrt_train.cli.checkpoint_path import CHECKPOINT

EPOCH_BAR = "{percentage:3.0f}%|{bar}| {n:.2f}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]"


@click.command(short_help="Train a model on a data set.")
@click.argument("config", type=options.PATH)
@click.option("--data", required=True, type=options.PATH, help="Data set folder.")
@options.out("Run folder to write, new or empty.", required=True)
@options.overwrite("Delete an earlier run in the folder and start again.")
@click.option(
    "--from",
    "start",
    type=CHECKPOINT,
    help="Checkpoint to fine-tune: ours, fast for the one that comes with bandrt, or, for released, one of the authors' code: what"
    " that leaves unsaid, the data set says.",
)
@click.option("--member", type=click.IntRange(1), help="Of an ensemble to fine-tune, such as fast, which of its members.")
@click.option("--gaps", type=options.PATH, help="Data set of gaps to learn from too.")
@click.option("--teacher", type=options.PATH, help="Data set of predictions to learn from too, made of a run of bandrt infer.")
@click.option("--crystals", type=click.IntRange(1), help="Of --data, learn from so many alone; fewer are always among more.")
@click.option("--seed", type=options.SEED, help="In the place of the configuration's, for the members of an ensemble.")
@options.threads("of training")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, to the same result; begin it if there is none.")
@click.option("--tensorboard", is_flag=True, help="Write a log for TensorBoard into the folder, too.")
@options.quiet()
def fit(
    config: Path,
    data: Path,
    out: Path,
    overwrite: bool,
    start: Path | None,
    member: int | None,
    gaps: Path | None,
    teacher: Path | None,
    crystals: int | None,
    seed: int | None,
    threads: int | None,
    resume: bool,
    tensorboard: bool,
    quiet: bool,
) -> None:
    """Train the model that CONFIG, a TOML file, describes.

    The best checkpoint so far is checkpoint.pt in the run folder, beside log.csv with a row for each epoch.

    \b
    Examples:
      bandrt train fit train/configs/bloch.toml --data data -o run
      bandrt train fit train/configs/bloch.toml --data data --from run/checkpoint.pt -o finished
      bandrt train fit train/configs/finish-again.toml --data data --from fast --member 1 -o mine-1

    Exit codes: 0 trained, 1 stopped by an error, 2 wrong usage, 130 interrupted; then the same command with --resume goes on.
    """
    if member is not None and start is None:
        raise click.UsageError("--member says which of an ensemble's models to fine-tune; give the ensemble with --from")
    if overwrite and resume:
        raise click.UsageError("--overwrite starts again, --resume goes on; choose one")
    check_folder(out)
    import torch
    from lightning.pytorch.utilities import rank_zero_only
    from tqdm import tqdm

    from bandrt_train.checkpoint import load_checkpoint, load_checkpoint_for
    from bandrt_train.data.dataset import Dataset
    from bandrt_train.evaluation.tables import text_table
    from bandrt_train.fit.config import read_config
    from bandrt_train.fit.run import fit as run
    from bandrt_train.fit.run_folder import TENSORBOARD, check_run_folder
    from bandrt_train.fit.tensorboard_log import TensorBoardLog
    from bandrt_train.model.released.config import ReleasedConfig

    first = getattr(rank_zero_only, "rank", 0) == 0  # of several devices, each in a process of its own
    if first:
        check_run_folder(out, resume=resume, overwrite=overwrite)
    if threads is not None:
        torch.set_num_threads(threads)
    settings = read_config(config)
    if seed is not None:
        settings = replace(settings, seed=seed)
    bands = Dataset(data, crystals)
    parent = None
    if start is not None and isinstance(settings.model, ReleasedConfig):
        parent = load_checkpoint_for(start, bands.header.recipe.featurization, settings.model.species_index)
    elif start is not None:
        parent = load_checkpoint(start)
    if parent is not None and member is not None:
        parent = parent.member(member)
    known_gaps, predictions = (None if folder is None else Dataset(folder) for folder in (gaps, teacher))
    with ExitStack() as stack:
        board = stack.enter_context(closing(TensorBoardLog(out / TENSORBOARD))) if tensorboard else None
        bar = stack.enter_context(tqdm(total=settings.epochs, bar_format=EPOCH_BAR, disable=None if first and not quiet else True))
        followed = _Followed(bar, board)
        try:
            result = run(
                settings,
                bands,
                out,
                start=parent,
                gaps=known_gaps,
                teacher=predictions,
                resume=resume,
                overwrite=overwrite,
                progress=followed.epoch,
                steps=followed.step,
            )
        except KeyboardInterrupt:
            click.echo(f"{out}: to go on, give the same command with --resume", err=True)
            raise
    if not first:
        return
    say_done(f"best epoch {result.best_epoch}, metal tolerance {result.rule.metal_tolerance_ev} eV")
    say_done(f"validation split of {data}:")
    say_done(text_table({"model": result.validation, "training mean": result.baseline}))
    say_done(f"checkpoint: {result.checkpoint}")


class _Followed:
    """A training run as people see it: a bar that counts epochs, with the errors of the last, and the log for TensorBoard."""

    def __init__(self, bar: Any, board: Callable[[int, dict[str, float]], None] | None) -> None:
        self._bar = bar
        self._board = board
        self._best = math.inf

    def step(self, epochs: float) -> None:
        """So many epochs are done, the running one by its share."""
        self._bar.update(epochs - self._bar.n)

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        """An epoch has ended, with this row of the log."""
        error = row["validation/energy_mae_ev"]
        self._best = min(self._best, error)
        self._bar.set_postfix_str(f"loss {row['train/loss']:.3f} eV, validation {error:.3f} eV, best {self._best:.3f} eV")
        self.step(epoch)
        if self._board is not None:
            self._board(epoch, row)
