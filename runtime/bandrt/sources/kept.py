"""Columns of inputs that are carried through to the results as text, such as an energy beside the crystals of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bandrt.errors import ArgumentError, InputError
from bandrt.quoting import printable, quoted
from bandrt.readers.text import decoded

MAX_CHARACTERS = 2**16
"""Of one value: 512 predictions are in memory before they are written."""
_INSIDE = "attributes"
"""Where entries of OPTIMADE have what they say of a crystal."""


def checked_keep(keep: Iterable[str]) -> tuple[str, ...]:
    """Names of columns, each once.

    Raises:
        ArgumentError: ``bad-argument`` for what is no list of names, and for a name that is empty or cannot be printed.
    """
    names = None if isinstance(keep, str | bytes) or not isinstance(keep, Iterable) else tuple(keep)
    if names is None or not all(isinstance(name, str) and name and printable(name) == name for name in names):
        raise ArgumentError("bad-argument", f"keep is {quoted(keep)}, allowed: names of columns, none empty, all printable")
    return tuple(dict.fromkeys(names))


def require_single(columns: Sequence[str], keep: Sequence[str]) -> None:
    """Refuse a table that has several columns of a name that is to be kept.

    Raises:
        InputError: ``repeated-column``.
    """
    for name in keep:
        if columns.count(name) > 1:
            raise InputError(
                "repeated-column", f"the table has several columns {quoted(name)}, which --keep names; rename all but one"
            )


def kept_of(row: Any, keep: Sequence[str]) -> dict[str, str] | InputError:
    """Those of some columns that a row, or an entry of JSON, has.

    Args:
        row: values by column; what is no mapping has none.
        keep: the columns that are wanted.

    Returns:
        Text by column, as it can be printed; or ``too-large``.
    """
    if not keep or not isinstance(row, Mapping):
        return {}
    inside = row.get(_INSIDE)
    values = {**(inside if isinstance(inside, Mapping) else {}), **row}
    kept = {name: printable(_text(values[name])) for name in keep if name in values}
    for name, text in kept.items():
        if len(text) > MAX_CHARACTERS:
            return InputError("too-large", f"{quoted(name)} has {len(text)} characters, --keep carries {MAX_CHARACTERS} at most")
    return kept


def _text(value: Any) -> str:
    """A value as it is written: texts as they are, nothing for null, and all else as JSON has it."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            return decoded(value)
        case _ if isinstance(value, np.floating) and value.itemsize < 8:  # in its own few digits
            return _text(float(str(value)))
        case np.generic() | np.ndarray():
            return _text(value.tolist())
        case bool() | int() | float() | list() | tuple() | dict():
            try:
                return json.dumps(value, ensure_ascii=False, default=str)
            except (TypeError, ValueError, RecursionError):  # keys, nesting or sizes that JSON has not
                return quoted(value)
        case _:
            return str(value)
