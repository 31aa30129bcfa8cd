"""Typed errors with stable codes: what a run records, and what the command line prints in one line.

Every error has a code, a short name that stays (`bandrt.error_codes` and its like in the other packages say what each code means
and what mends it), and its class says with which exit code a command ends:

- 1, of every class that does not say otherwise: what the command was given cannot be used, or this machine lacks something. A file
  or folder that was named as input (an engine, a checkpoint, a data set, a table, a report, the only crystals) and is not there is
  one of these, and so is a place where nothing can be written.
- 2, of every `UsageError`: another choice of options avoids it. An output that is in the way of a new one is one of these, and so
  is an option that does not fit the others or what a file says. Values that an option never takes are refused by the command line
  itself, with 2 as well.

What was found to be wrong with single crystals does not end a run: `InputError` is recorded, and the command ends with 3.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from bandrt.quoting import MOST_OF_MESSAGE, one_line, quoted, shortened

Stage = Literal["read", "symmetry", "graph", "kpath", "batch", "predict"]


class BandrtError(Exception):
    """Base of every error this project raises on purpose.

    Attributes:
        exit_code: with which a command ends that this error stops.
        code: stable machine-readable name, lower case with hyphens, e.g. ``partial-occupancy``.
        message: one sentence: what, which file, the value found, the value allowed, what to do; of one that is longer than
            `bandrt.quoting.MOST_OF_MESSAGE`, as where a name is a whole text, the middle is left out, and line breaks are spaces.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str) -> None:
        message = shortened(one_line(str(message)), MOST_OF_MESSAGE)
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # the default would call the class with the message alone, which no subclass takes: errors cross process borders
        return _restore, (type(self), self.args, self.__dict__)


class UsageError(BandrtError):
    """Another choice of options avoids it: one does not fit the others, or what a file says."""

    exit_code: ClassVar[int] = 2


class ArgumentError(UsageError, ValueError):
    """A caller gave a function, or a configuration, something that it does not take; the message says what it takes."""


class NotFoundError(BandrtError):
    """A file or folder that was named as input is not there."""


class InputError(BandrtError):
    """One crystal cannot be used; a run records it and goes on.

    Attributes:
        stage: the step that refused it.

    Raises:
        ArgumentError: ``bad-argument`` for a stage that is none.
    """

    def __init__(self, code: str, message: str, *, stage: Stage = "read") -> None:
        super().__init__(code, message)
        if stage not in get_args(Stage):
            raise ArgumentError("bad-argument", f"stage is {quoted(stage)}, allowed: {', '.join(map(repr, get_args(Stage)))}")
        self.stage: Stage = stage

    def about(self, name: str) -> InputError:
        """The same error, with the crystal it is about."""
        return InputError(self.code, f"{name}: {self.message}", stage=self.stage)


class ManifestError(BandrtError):
    """A manifest is missing, of another format version, or does not describe the model beside it."""


class EngineError(BandrtError):
    """A model cannot be opened or run on this machine."""


class OutputError(BandrtError):
    """An output folder or file cannot be written, read or resumed."""


class OutputInTheWayError(UsageError, OutputError):
    """Something is where an output should go that must not be replaced, or cannot be gone on with."""


class MissingPackageError(BandrtError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__("missing-package", f"{purpose} needs {package}; install it with: pip install 'bandrt[{extra}]'")


def _restore(kind: type[BandrtError], args: tuple[Any, ...], state: dict[str, Any]) -> BandrtError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
