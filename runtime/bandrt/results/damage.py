"""What may be wrong with a part: it is damaged, cannot be read now, or is of another format; and what a user is told of it.

The three are kept apart since a damaged part is set aside and its crystals are predicted again, and nothing that may be whole is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bandrt.errors import ArgumentError, InputError, OutputError


class BadPartError(Exception):
    """A part is proven to be truncated or damaged."""


class UnreadablePartError(Exception):
    """A part cannot be read now, and may be whole: no permission, or an error of the disk."""


class PartVersionError(Exception):
    """A part is of a format that this bandrt does not read."""


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Where values are believed that have the right checksums: no run wrote what is no crystal, rule or scheme.

    Args:
        path: the part, for messages.

    Raises:
        BadPartError: they are none.
    """
    try:
        yield
    except (ArgumentError, InputError) as error:
        raise BadPartError(f"{path}: {error.message}") from error
    except json.JSONDecodeError as error:
        raise BadPartError(f"{path}: {error}") from error


@contextmanager
def undamaged() -> Iterator[None]:
    """Where parts must be whole.

    Raises:
        OutputError: ``part-damaged``, ``part-unreadable`` or ``part-version``.
    """
    try:
        with unlost():
            yield
    except BadPartError as error:
        raise OutputError("part-damaged", f"{error}; run again with --resume") from error


@contextmanager
def unlost() -> Iterator[None]:
    """Where parts may be damaged, but must not be taken for damaged when they are not.

    Raises:
        OutputError: ``part-unreadable`` or ``part-version``.
        BadPartError: it is proven to be damaged.
    """
    try:
        yield
    except UnreadablePartError as error:
        raise OutputError("part-unreadable", f"{error}; it is left as it is: mend that, and try again") from error
    except PartVersionError as error:
        raise OutputError("part-version", f"{error}; it is left as it is: update bandrt, or use another folder") from error
