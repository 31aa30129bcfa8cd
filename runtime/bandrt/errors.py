"""Typed errors with stable codes: what the pipeline records, and what the command line prints in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

Stage = Literal["read", "symmetry", "graph", "kpath", "batch", "predict"]
S = TypeVar("S")
T = TypeVar("T")


class BandrtError(Exception):
    """Base of every error this project raises on purpose.

    Attributes:
        code: stable machine-readable name, lower case with hyphens, e.g. ``partial-occupancy``.
        message: one sentence: what, which file, the value found, the value allowed, what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # the default would call the class with the message alone, which no subclass takes: errors cross process borders
        return _restore, (type(self), self.args, self.__dict__)


class InputError(BandrtError):
    """One crystal cannot be used; a run records it and goes on.

    Attributes:
        stage: the step that refused it.
    """

    def __init__(self, code: str, message: str, *, stage: Stage = "read") -> None:
        super().__init__(code, message)
        self.stage: Stage = stage

    def about(self, name: str) -> InputError:
        """The same error, with the crystal it is about."""
        return InputError(self.code, f"{name}: {self.message}", stage=self.stage)


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


class ArgumentError(BandrtError, ValueError):
    """A caller gave a function, or a configuration, something that it does not take; the message says what it takes."""


class ManifestError(BandrtError):
    """A manifest is missing, of another format version, or does not describe the model beside it."""


class EngineError(BandrtError):
    """A model cannot be opened or run on this machine."""


class OutputError(BandrtError):
    """An output folder or file cannot be written or resumed."""


class MissingPackageError(BandrtError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__("missing-package", f"{purpose} needs {package}; install it with: pip install 'bandrt[{extra}]'")


def _restore(kind: type[BandrtError], args: tuple[Any, ...], state: dict[str, Any]) -> BandrtError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
