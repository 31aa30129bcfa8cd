"""Options of the command line for what checkpoints and data of the released code leave unsaid."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from bandrt.recipe import Direction, Frame, Scheme
from bandrt_train.model.released.config import Conventions, SpeciesIndex

_DEFAULTS = Conventions()
_OPTIONS = {
    "direction": (
        "--edges",
        Direction,
        "Whether atoms hear their 12 nearest neighbours, edges being stored as (neighbour, centre),"
        " or speak to them, edges being stored as (centre, neighbour).",
    ),
    "frame": ("--frame", Frame, "Coordinates of the k-points: fractional, or in 1/Å."),
    "species_index": ("--species-index", SpeciesIndex, "Which row of the species table an element has."),
    "scheme": ("--scheme", Scheme, "Which path the k-points lie on."),
}
"""Flag, values and meaning of each field of `Conventions`."""


def conventions_options(
    command: Callable[..., None], fields: Sequence[str] = tuple(_OPTIONS), only_for: str = "files of the released code"
) -> Callable[..., None]:
    """Give a command an option for each of these fields of `Conventions`.

    The command is called with one argument for all, `conventions`, None when none was given. The help says what they are for.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        given = {name: value for name in fields if (value := options.pop(name)) is not None}
        command(*args, conventions=Conventions(**given) if given else None, **options)

    for name, (flag, values, meaning) in reversed([(field, _OPTIONS[field]) for field in fields]):
        text = f"{meaning} Only for {only_for}; default {getattr(_DEFAULTS, name)}."
        wrapped = click.option(flag, name, type=click.Choice(get_args(values)), default=None, help=text)(wrapped)
    return wrapped
