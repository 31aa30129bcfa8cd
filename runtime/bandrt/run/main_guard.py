"""The main guard of scripts: a worker runs, while it starts, the script that started it, which must not start workers again."""

from __future__ import annotations

import os
from multiprocessing import current_process
from multiprocessing.process import BaseProcess

from bandrt.errors import BandrtError

EXIT_WITHOUT_GUARD = 77
"""With which a worker ends that was about to start the run that started it."""


def require_main_guard() -> None:
    """End a worker that runs, while it starts, the script that started it: the script has no main guard, and would never end."""
    if getattr(current_process(), "_inheriting", False):
        os._exit(EXIT_WITHOUT_GUARD)


def lacks_guard(process: BaseProcess, seconds: float) -> bool:
    """Whether a worker that did not start was ended by `require_main_guard`.

    Args:
        process: of the worker.
        seconds: to wait for its end.
    """
    process.join(seconds)
    return process.exitcode == EXIT_WITHOUT_GUARD


def no_main_guard() -> BandrtError:
    """The error of a script without the guard."""
    return BandrtError(
        "no-main-guard",
        'worker processes run the script that starts them: put what it does under if __name__ == "__main__":',
    )
