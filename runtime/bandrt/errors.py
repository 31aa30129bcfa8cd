"""Typed errors with stable codes: what the pipeline records, and what the command line prints in one line."""

from __future__ import annotations

from typing import Any, Literal

Stage = Literal["read", "symmetry", "graph", "kpath", "batch", "predict"]


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
