"""Checks of what callers hand over: a wrong word, number or kind is refused at once, with what is allowed."""

from __future__ import annotations

import math
import operator
import reprlib
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bandrt.errors import ArgumentError


def check_choice(what: str, value: object, allowed: Any) -> None:
    """Refuse a word that is none of a `Literal`.

    Args:
        what: the argument, as the caller knows it.
        value: what was given for it.
        allowed: the ``Literal[...]`` of its type.

    Raises:
        ArgumentError: ``bad-argument``, with all that is allowed.
    """
    options = get_args(allowed)
    if not any(type(value) is type(option) and value == option for option in options):
        raise not_allowed(what, value, ", ".join(map(repr, options)))


def check_choices(configuration: Any) -> None:
    """Refuse a dataclass of which a field is none of the words of its `Literal`.

    Raises:
        ArgumentError: ``bad-argument``, naming the field.
    """
    for name, hint in get_type_hints(type(configuration)).items():
        if get_origin(hint) is Literal:
            check_choice(name, getattr(configuration, name), hint)


def check_kind(what: str, value: object, *kinds: type) -> None:
    """Refuse an object that is of none of these classes.

    Raises:
        ArgumentError: ``bad-argument``.
    """
    if not isinstance(value, kinds):
        raise not_allowed(what, value, " or ".join(_a(kind.__name__) for kind in kinds))


def checked_whole(what: str, value: Any, *, at_least: int, at_most: int | None = None) -> int:
    """Give back a whole number as a plain ``int``.

    Raises:
        ArgumentError: ``bad-argument`` for one out of range, or no whole number.
    """
    limits = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < at_least or (at_most is not None and number > at_most):
        raise not_allowed(what, value, f"a whole number, {limits}")
    return number


def checked_number(what: str, value: Any, *, above: float | None = None, at_least: float = -math.inf, at_most: float) -> float:
    """Give back a finite number as a plain ``float``.

    Raises:
        ArgumentError: ``bad-argument`` for one out of range, or no number.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value >= at_least and value <= at_most and (above is None or value > above)):
        lowest = f"{at_least:g}" if above is None else f"more than {above:g}"
        raise not_allowed(what, value, f"a number, {lowest} to {at_most:g}")
    return float(value)


def _a(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def not_allowed(what: str, value: object, allowed: str) -> ArgumentError:
    """The error for an argument, with what was found and what is allowed."""
    return ArgumentError("bad-argument", f"{what} is {reprlib.repr(value)}, allowed: {allowed}")
