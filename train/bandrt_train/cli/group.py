"""``bandrt train``: the training package on the command line."""

from __future__ import annotations

import click

from bandrt_train.cli.dataset import dataset
from bandrt_train.cli.download import command as download
from bandrt_train.cli.ensemble import ensemble
from bandrt_train.cli.evaluate import card, compare, evaluate
from bandrt_train.cli.fit import fit


@click.group()
def group() -> None:
    """Train models on DFT band structures: download, dataset, fit, ensemble, evaluate, and what to say of them: compare, card."""


for command in (download, dataset, fit, ensemble, evaluate, compare, card):
    group.add_command(command)
