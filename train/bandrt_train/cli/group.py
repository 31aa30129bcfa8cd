"""``bandrt train``: the training package on the command line."""

from __future__ import annotations

import click

from bandrt_train.cli.calibrate import calibrate
from bandrt_train.cli.dataset import dataset
from bandrt_train.cli.download import command as download
from bandrt_train.cli.ensemble import ensemble
from bandrt_train.cli.evaluate import card, compare, evaluate
from bandrt_train.cli.fit import fit
from bandrt_train.cli.hamiltonian import hamiltonian


@click.group(short_help="Make data sets, train and evaluate models.")
def group() -> None:
    """Make data sets, train models of band structures, and evaluate them.

    \b
    From your band structures to an engine:
      bandrt train dataset my-bands -o data
      bandrt train fit train/configs/bloch.toml --data data -o run
      bandrt train evaluate run/checkpoint.pt data
      bandrt export run/checkpoint.pt -o model.onnx
    """


for command in (download, dataset, fit, hamiltonian, ensemble, evaluate, calibrate, compare, card):
    group.add_command(command)
