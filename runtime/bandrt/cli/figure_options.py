"""Options of commands that draw figures, and the files they go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import click

from bandrt.bands.figures import DPI, LEAST_DPI, LEAST_INCHES, MOST_DPI, MOST_INCHES
from bandrt.bands.view import MOST_EV, Zero
from bandrt.cli import options
from bandrt.cli.options import Command


def look_options() -> Callable[[Command], Command]:
    """``--style``, ``--dpi``, ``--width`` and ``--height``."""

    def decorate(command: Command) -> Command:
        inches = options.Number(LEAST_INCHES, MOST_INCHES)
        command = click.option("--height", type=inches, help="Inches that a figure is high.")(command)
        command = click.option("--width", type=inches, help="Inches that a figure is wide.")(command)
        command = click.option(
            "--dpi", type=options.Number(LEAST_DPI, MOST_DPI), help=f"Pixels per inch of a *.png; {DPI:g} by default."
        )(command)
        return click.option("--style", metavar="NAME|FILE", help="A style of matplotlib, such as ggplot, or a file.")(command)

    return decorate


def zero_option() -> Callable[[Command], Command]:
    """``--zero``: what energies are counted from."""
    return click.option(
        "--zero", type=click.Choice(get_args(Zero)),
        help="What energies of a figure are counted from; of a metal that is its Fermi level. As predicted by default.",
    )  # fmt: skip


def energies_options() -> Callable[[Command], Command]:
    """``--ymin`` and ``--ymax``: which energies are shown."""

    def decorate(command: Command) -> Command:
        energy = options.Number(-MOST_EV, MOST_EV)
        command = click.option("--ymax", type=energy, help="The highest energy shown, eV.")(command)
        return click.option("--ymin", type=energy, help="The lowest energy shown, eV.")(command)

    return decorate
