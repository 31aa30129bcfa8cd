"""The command line, as ``bandrt`` and as ``python -m bandrt``."""

from __future__ import annotations

from bandrt.run.interrupt import exit_at_once


def main() -> None:
    """Run the command line and exit; a request to stop ends the process from the first moment on."""
    exit_at_once()
    from bandrt.cli import main as command_line  # a tenth of a second, in which a Ctrl-C would print a traceback

    command_line()


if __name__ == "__main__":  # worker processes import this again
    main()
