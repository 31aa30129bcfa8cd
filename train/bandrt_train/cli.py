"""``bandrt train``: the training package on the command line."""

from __future__ import annotations

import click

from bandrt_train.dataset_cli import dataset
from bandrt_train.download_cli import command as download
from bandrt_train.ensemble_cli import ensemble
from bandrt_train.evaluate_cli import card, compare, evaluate
from bandrt_train.fit_cli import fit


@click.group()
def group() -> None:
    """Train models on DFT band structures: download, dataset, fit, ensemble, evaluate, and what to say of them: compare, card."""


for command in (download, dataset, fit, ensemble, evaluate, compare, card):
    group.add_command(command)
