"""``bandrt train ensemble``: several checkpoints into one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bandrt_train.data.dataset import Entry
    from bandrt_train.fit.combine import EnsembleResult

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("members", nargs=-1, required=True, type=PATH, metavar="CKPT CKPT...")
@click.option("--data", required=True, type=PATH, help="Data set of bands that the members were trained on.")
@click.option("--gaps", type=PATH, help="Data set of gaps, split alike, to tell metals on too.")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Checkpoint to write."
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), help="CPU threads; by default every core.")
def ensemble(members: tuple[Path, ...], data: Path, gaps: Path | None, output: Path, threads: int | None) -> None:
    """Put trained members, each CKPT of the same configuration and data and a seed of its own, into one checkpoint.

    It predicts the mean of their bands, and from how far they disagree the error to expect: uncertainty_ev. That, and what makes a
    metal, are found on the validation splits.
    """
    import torch

    from bandrt_train.data.dataset import Dataset
    from bandrt_train.fit.combine import build_ensemble

    if len(members) < 2:
        raise click.UsageError("one checkpoint makes no ensemble; give two or more")
    if threads is not None:
        torch.set_num_threads(threads)
    known_gaps = None if gaps is None else Dataset(gaps)
    result = build_ensemble(members, Dataset(data), output, gaps=known_gaps, progress=_shown)
    click.echo(f"validation split of {data}:")
    click.echo(_described(members, result))


def _described(members: tuple[Path, ...], result: EnsembleResult) -> str:
    from bandrt_train.evaluation.tables import shown, text_table

    rule, found = result.rule, result.calibration
    columns = {str(path): errors for path, errors in zip(members, result.members, strict=True)}
    return "\n".join(
        [
            text_table(columns | {"ensemble": result.validation}),
            f"metal tolerance {result.bands.metal_tolerance_ev} eV",
            f"uncertainty {rule.floor_ev:.3g} eV + {rule.slope:.3g} times the disagreement, fitted to {rule.n_crystals} crystals:"
            f" {found.expected_ev:.3f} eV expected, {found.found_ev:.3f} eV found, rank correlation {shown(found.spearman)}",
            f"checkpoint: {result.checkpoint}",
        ]
    )


def _shown(entries: Iterable[Entry], n: int) -> Iterable[Entry]:
    from tqdm import tqdm

    counted: Iterable[Entry] = tqdm(entries, total=n, unit="crystal", disable=None)
    return counted
