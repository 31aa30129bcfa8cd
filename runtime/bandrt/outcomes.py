"""Outcomes of a step for many crystals: what became of each, or its error as a value, so that one does no harm to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bandrt.errors import InputError

S = TypeVar("S")
T = TypeVar("T")


def outcome_of(call: Callable[[], T]) -> T | InputError:
    """What a call returns, or the `InputError` that it raises, as a value: one crystal's error does no harm to the others."""
    try:
        return call()
    except InputError as error:
        return error


def only(outcomes: Sequence[T | InputError]) -> T:
    """The one outcome of a chunk of one crystal.

    Raises:
        InputError: if that is what it is.
    """
    (outcome,) = outcomes
    if isinstance(outcome, InputError):
        raise outcome
    return outcome


def onward(outcomes: Sequence[S | InputError], step: Callable[[list[S]], Sequence[T | InputError]]) -> list[T | InputError]:
    """Apply a step for a chunk of crystals to what the steps before it have not refused; errors keep their places.

    Args:
        outcomes: of the steps before.
        step: from the inputs that passed, of which there is at least one, to as many outcomes.
    """
    passed = [outcome for outcome in outcomes if not isinstance(outcome, InputError)]
    reached = iter(step(passed) if passed else ())
    return [outcome if isinstance(outcome, InputError) else next(reached) for outcome in outcomes]
