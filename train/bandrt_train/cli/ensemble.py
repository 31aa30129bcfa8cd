"""``bandrt train ensemble``: several checkpoints into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_file
from bandrt_train.description import require_there

if TYPE_CHECKING:
    from bandrt_train.fit.combine import EnsembleResult


@click.command(short_help="Put several trained models into one checkpoint.")
@click.argument("members", nargs=-1, required=True, type=options.PATH, metavar="CKPT CKPT...")
@click.option("--data", required=True, type=options.PATH, help="Data set of bands that the members were trained on.")
@click.option("--gaps", type=options.PATH, help="Data set of gaps, split alike, to tell metals on too.")
@options.out("Checkpoint to write.", required=True)
@options.overwrite("Replace the checkpoint if it is there already.")
@options.threads("of the models")
@options.quiet()
def ensemble(
    members: tuple[Path, ...], data: Path, gaps: Path | None, out: Path, overwrite: bool, threads: int | None, quiet: bool
) -> None:
    """Put trained models, the members of an ensemble, into one checkpoint.

    Each CKPT is of the same configuration and data, and of a seed of its own. The ensemble predicts the mean of their bands, and
    from how far they disagree the error to expect: uncertainty_ev. That, and what makes a metal, are found on the validation
    splits.

    \b
    Example:
      bandrt train ensemble run-0/checkpoint.pt run-1/checkpoint.pt --data data -o ensemble.pt

    Exit codes: 0 written, 1 stopped by an error, 2 wrong usage.
    """
    if len(members) < 2:
        raise click.UsageError("one checkpoint makes no ensemble; give two or more")
    for member in members:
        require_there(member)
    check_file(out, overwrite=overwrite)
    import torch

    from bandrt_train.data.dataset import Dataset
    from bandrt_train.fit.combine import build_ensemble

    if threads is not None:
        torch.set_num_threads(threads)
    known_gaps = None if gaps is None else Dataset(gaps)
    with Progress("crystals", quiet=quiet) as progress:
        result = build_ensemble(members, Dataset(data), out, gaps=known_gaps, progress=progress.counted)
    say_done(f"validation split of {data}:\n{_described(members, result)}")


def _described(members: tuple[Path, ...], result: EnsembleResult) -> str:
    from bandrt_train.evaluation.tables import shown, text_table

    ensemble, found = result.ensemble, result.calibration
    columns = {str(path): errors for path, errors in zip(members, result.members, strict=True)}
    return "\n".join(
        [
            text_table(columns | {"ensemble": result.validation}),
            f"metal tolerance {result.rule.metal_tolerance_ev} eV",
            f"uncertainty {ensemble.floor_ev:.3g} eV + {ensemble.slope:.3g} times the disagreement,"
            f" fitted to {ensemble.n_crystals} crystals:"
            f" {found.expected_ev:.3f} eV expected, {found.found_ev:.3f} eV found, rank correlation {shown(found.spearman)}",
            f"checkpoint: {result.checkpoint}",
        ]
    )
