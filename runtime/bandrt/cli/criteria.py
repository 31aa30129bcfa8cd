"""Options that say what is wanted of crystals, of every command that ranks them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import click

from bandrt.screening.criteria import Criteria, parse_elements, parse_gap, parse_space_groups

GAP = click.option("--gap", metavar="LO:HI", help="Gap of the label from LO to HI, eV, such as 1.0:1.6, 1: or :0.5; a metal has 0.")
DIRECT = click.option("--direct/--indirect", "direct", default=None, help="The gap of the label shall be direct, or indirect.")
_OPTIONS = (
    GAP,
    DIRECT,
    click.option("--elements", metavar="SYMBOLS", help="All of these elements are in the crystal, such as O,F."),
    click.option("--exclude", metavar="SYMBOLS", help="None of these elements is in the crystal."),
    click.option("--max-atoms", type=click.IntRange(1), help="Most atoms of the primitive cell."),
    click.option("--space-group", metavar="NUMBERS", help="Numbers or ranges of them, such as 216,225 or 195:230."),
    click.option("--where", metavar="QUERY", help="A condition on the columns of summary.csv, as in `bandrt plot`."),
)


def criteria_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all these options; it is called with one argument for all, `criteria`."""

    names = inspect.signature(criteria_of).parameters

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in names}
        return command(*args, criteria=criteria_of(**given), **options)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def criteria_of(
    gap: str | None,
    direct: bool | None,
    elements: str | None = None,
    exclude: str | None = None,
    max_atoms: int | None = None,
    space_group: str | None = None,
    where: str | None = None,
) -> Criteria:
    """What is wanted.

    Raises:
        UsageError: ``bad-criterion``.
    """
    return Criteria(
        gap=None if gap is None else parse_gap(gap),
        direct=direct,
        elements=() if elements is None else parse_elements(elements),
        exclude=() if exclude is None else parse_elements(exclude),
        max_atoms=max_atoms,
        space_groups=() if space_group is None else parse_space_groups(space_group),
        where=where,
    )
