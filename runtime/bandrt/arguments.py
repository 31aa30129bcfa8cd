"""Checks of what callers hand over: a wrong word, number or kind is refused at once, with what is allowed."""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
import types
from collections.abc import Collection, Mapping, Set
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from bandrt.errors import ArgumentError
from bandrt.quoting import quoted, with_article

T = TypeVar("T")


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
    if value.__class__ is str and value in options:
        return  # as a rule; a text equals no option of another type
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


def check_fields(given: Any, *, may_be_nan: Collection[str] = (), may_be_infinite: Collection[str] = ()) -> None:
    """Refuse a dataclass of which a field is not what its type says; of arrays, whether they are any.

    Args:
        given: the dataclass.
        may_be_nan: fields in which nan has a meaning; every other number is a finite one.
        may_be_infinite: fields in which nan and infinities have one.

    Raises:
        ArgumentError: ``bad-argument``, naming the field.
    """
    for name, hint, plain, is_number, words, container, items in _fields(given.__class__):
        value = getattr(given, name)
        kind = value.__class__
        if kind in plain or (kind is str and value in words) or (kind is float and is_number and math.isfinite(value)):
            continue  # most are what they should be, and this is done for every crystal
        if kind is container and items.issuperset(map(type, (*value, *value.values()) if kind is dict else value)):
            continue
        if name in may_be_nan and isinstance(value, float) and math.isnan(value):
            continue
        if name in may_be_infinite and isinstance(value, float) and not math.isfinite(value):
            continue
        check_type(name, value, hint)


def unchecked(kind: type[T], **fields: Any) -> T:
    """An object of a dataclass whose fields, all of them, this program has computed or checked: nothing is looked at again."""
    one = kind.__new__(kind)
    one.__dict__.update(fields)
    return one


def check_type(what: str, value: object, hint: Any) -> None:
    """Refuse a value that is not what a type says: a `Literal`, a class, one of several, or a tuple or dictionary of such.

    A number is a finite one, and what Python and NumPy take for one: a whole number is one where any is wanted, a ``bool`` never.

    Args:
        what: the argument, as the caller knows it.
        value: what was given for it.
        hint: its type.

    Raises:
        ArgumentError: ``bad-argument``, with what is allowed.
    """
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin in (Union, types.UnionType):
        kinds = [option for option in options if option is not type(None)]
        if value is None and len(kinds) < len(options):
            return
        if len(kinds) == 1:
            check_type(what, value, kinds[0])
        else:
            check_kind(what, value, *kinds)
    elif origin is Literal:
        check_choice(what, value, hint)
    elif origin is tuple and isinstance(value, tuple):
        for item in value:
            check_type(f"each of {what}", item, options[0])
    elif origin is dict and isinstance(value, Mapping):
        for key, item in value.items():
            check_type(f"a key of {what}", key, options[0])
            check_type(f"{what}[{quoted(key)}]", item, options[1])
    elif hint in (int, float):
        is_kind = isinstance(value, numbers.Integral if hint is int else numbers.Real) and not isinstance(value, bool)
        if not is_kind or not _is_finite(value):
            raise not_allowed(what, value, "a whole number" if hint is int else "a finite number")
    elif isinstance(kind := origin or hint, type):
        check_kind(what, value, kind)


class _Field(NamedTuple):
    """What is known of a field before there is a value."""

    name: str
    hint: Any
    plain: frozenset[Any]
    """Classes of which every object itself, not one of a class made of them, is allowed."""
    is_number: bool
    """Whether every finite ``float`` is."""
    words: frozenset[str]
    """Texts that are."""
    container: type | None
    """``tuple`` or ``dict``, if it is one."""
    items: frozenset[type]
    """Classes of which every object itself may be an item of it, key or value."""


@lru_cache
def _fields(kind: type) -> tuple[_Field, ...]:
    """The fields of a dataclass."""
    hints = get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        plain = frozenset(option for option in options if isinstance(option, type) and get_origin(option) is None) - {float}
        words = frozenset(word for word in get_args(hint) if isinstance(word, str)) if get_origin(hint) is Literal else frozenset()
        container = origin if (origin := get_origin(hint)) in (tuple, dict) else None
        inside = frozenset(get_args(hint)) - {Ellipsis} if container else frozenset()
        items = inside if len(inside) == 1 and all(isinstance(one, type) and not get_origin(one) for one in inside) else frozenset()
        found.append(_Field(field.name, hint, plain, float in options, words, container, items - {float}))
    return tuple(found)


def _is_finite(value: Any) -> bool:
    """Whether a number is finite, and can be written as one of floating point."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def check_kind(what: str, value: object, *kinds: type) -> None:
    """Refuse an object that is of none of these classes.

    Raises:
        ArgumentError: ``bad-argument``.
    """
    if not isinstance(value, kinds):
        raise not_allowed(what, value, " or ".join(with_article(kind.__name__) for kind in kinds))


def check_text(what: str, value: object) -> None:
    """Refuse what is no text, or an empty one, as of a variable that is not set.

    Raises:
        ArgumentError: ``bad-argument``.
    """
    if not isinstance(value, str) or not value:
        raise not_allowed(what, value, "a str, not empty")


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
    """Give back a finite number, of Python or NumPy, as a plain ``float``.

    Raises:
        ArgumentError: ``bad-argument`` for one out of range, or no number.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and _is_finite(value) and value >= at_least and value <= at_most and (above is None or value > above)):
        lowest = f"{at_least:g}" if above is None else f"more than {above:g}"
        raise not_allowed(what, value, f"a number, {lowest} to {at_most:g}")
    return float(value)


def checked_items(what: str, value: Any, n: int, allowed: str) -> tuple[Any, ...]:
    """Give back the items of a tuple, list or array that has so many.

    Raises:
        ArgumentError: ``bad-argument`` for another number, or what has no order.
    """
    try:
        items = () if isinstance(value, str | bytes | Mapping | Set) else tuple(value)
    except TypeError:
        items = ()
    if len(items) != n:
        raise not_allowed(what, value, allowed)
    return items


def not_allowed(what: str, value: object, allowed: str) -> ArgumentError:
    """The error for an argument, with what was found and what is allowed."""
    return ArgumentError("bad-argument", f"{what} is {quoted(value)}, allowed: {allowed}")
