"""Outcomes of a step for many crystals: what became of each, or its error as a value, so that one does no harm to the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from bandrt.errors import BandrtError, InputError, Stage

S = TypeVar("S")
T = TypeVar("T")

LEAVING = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What is no fault of an input, and is never kept from its way."""


@contextmanager
def typed(code: str, *, name: str, stage: Stage = "read") -> Iterator[None]:
    """Whatever goes wrong inside with one input becomes an `InputError`; errors of ours, and interrupts, stay what they are.

    A library in Rust panics with a `BaseException`; want of memory and recursion that is too deep are errors of the input, too.

    Args:
        code: of the error.
        name: what to call the input.
        stage: the step that it fails at.

    Raises:
        InputError: with this code; its message names the class of what was raised.
    """
    try:
        yield
    except (BandrtError, *LEAVING):
        raise
    except BaseException as error:
        raise InputError(code, f"{name}: {_told(error)}", stage=stage) from error


def _told(error: BaseException) -> str:
    """An unexpected error in one line: its class, what it says, and where it was raised."""
    try:
        said = " ".join(str(error).split())[:200]
    except Exception:
        said = "?"
    places = traceback.extract_tb(error.__traceback__, limit=-1)
    place = f" at {places[0].filename.rsplit('/', 1)[-1]}:{places[0].lineno}" if places else ""
    return f"{type(error).__name__}{place}{f': {said}' if said else ''}"


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


def each(inputs: Sequence[S], step: Callable[[list[S]], Sequence[T | InputError]], code: str, stage: Stage) -> list[T | InputError]:
    """Apply a step to a chunk of crystals; if it fails on the chunk, to each alone, so that only the cause of it is refused.

    Args:
        inputs: at least one.
        step: from inputs to as many outcomes; what it gives for one does not depend on the others.
        code: of the error of an input for which the step fails.
        stage: what the step is.
    """
    try:
        return list(step(list(inputs)))
    except (BandrtError, *LEAVING):
        raise
    except BaseException as error:
        if len(inputs) == 1:
            return [InputError(code, _told(error), stage=stage)]
    return [outcome for one in inputs for outcome in each([one], step, code, stage)]
