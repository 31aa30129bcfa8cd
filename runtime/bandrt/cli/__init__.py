"""The command line. Each command lives in a module of its own and is imported when it is called, so that help is instant."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from bandrt import __version__
from bandrt.errors import BandrtError, MissingPackageError
from bandrt.quoting import nearest, printable, quoted
from bandrt.run.interrupt import EXIT_BY_SIGNAL, Interrupt, Interrupted, exit_code

EXIT_FATAL, EXIT_SOME_FAILED, EXIT_INTERRUPTED = BandrtError.exit_code, 3, exit_code(None)
REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENAMETOOLONG})
"""What the system may answer that is no fault of ours: a full or broken disk, a name that is too long."""


class CommandEntry(NamedTuple):
    """Where a command lives and what the overview says of it."""

    home: str
    """``module:attribute``."""
    help: str
    extra: str | None = None
    """The extra that installs what the command needs, if it is not the core."""


COMMANDS = {
    "infer": CommandEntry("bandrt.cli.infer:command", "Predict the band structures of crystals."),
    "screen": CommandEntry("bandrt.cli.screen:command", "Rank predicted crystals by the probability that they are what is wanted."),
    "refine": CommandEntry("bandrt.cli.refine:command", "Predict the most promising crystals again with the accurate engine."),
    "plot": CommandEntry("bandrt.cli.plot:command", "Draw predicted band structures."),
    "report": CommandEntry("bandrt.cli.report:command", "Write results as one page: gaps, accuracy, a table, band structures."),
    "bands": CommandEntry("bandrt.cli.bands:command", "Compute all bands of a crystal at any k-points."),
    "dos": CommandEntry("bandrt.cli.dos:command", "Compute the density of states of a crystal, by orbital."),
    "masses": CommandEntry("bandrt.cli.masses:command", "Compute effective masses at the band edges of a crystal."),
    "convert": CommandEntry("bandrt.cli.convert:command", "Write results as pymatgen documents, HDF5 or Parquet."),
    "merge": CommandEntry("bandrt.cli.merge:command", "Put the results of several runs together."),
    "inspect": CommandEntry("bandrt.cli.inspect:command", "Say what a model is and how it was verified."),
    "warm-up": CommandEntry("bandrt.cli.warm_up:command", "Compile ahead what an engine would compile during a run."),
    "bench": CommandEntry("bandrt.cli.bench:command", "Measure how fast engines are, side by side.", "train"),
    "doctor": CommandEntry("bandrt.cli.doctor:command", "Say what can be done on this machine, and what is missing."),
    "export": CommandEntry("bandrt_export.cli.export:command", "Turn a checkpoint into a verified engine.", "export"),
    "verify": CommandEntry("bandrt_export.cli.verify:command", "Compare an engine with what it was made from.", "export"),
    "train": CommandEntry("bandrt_train.cli.group:group", "Make data sets, train and evaluate models.", "train"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].home.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; of one that there is not, say which is meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = nearest(name, COMMANDS)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"No such command {quoted(name)}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands, and options, without importing a command."""
        names = [CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bandrt")
def cli() -> None:
    """From a folder of crystals to their electronic band structures."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 fatal, 2 usage, 3 some inputs failed, 130, 143 or 129 asked to end by a signal.

    Until a command says otherwise, requests to stop do what they did before: `bandrt.__main__` has them end the process.
    """
    _open_standard_streams()
    arguments = sys.argv[1:]
    watched = COMMANDS.keys() - {"infer", "refine"}  # which end by themselves, and say how to go on
    if not watched & set(arguments[:1]) or {"-h", "--help"} & set(arguments):
        code = run(arguments)
    else:
        from bandrt.cli.interrupts import CommandInterrupt, watch_over_command

        watch_over_command()
        with CommandInterrupt() as interrupt:
            code = run(arguments, interrupt)
    if code > EXIT_BY_SIGNAL:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)  # at once: an engine may still be at a batch that nobody waits for
    sys.exit(code)


def _open_standard_streams() -> None:
    """Lead standard streams that were closed into nothing: the next file that is opened would take their place."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            if os.open(os.devnull, os.O_RDWR) != number:  # the lowest number that is free
                continue
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process


def run(arguments: list[str], interrupt: Interrupt | None = None) -> int:
    """Run one command and return its exit code; every error becomes one line on standard error.

    Args:
        arguments: the command and its arguments.
        interrupt: what raises requests to stop, where not the command itself does.
    """
    try:
        code = cli.main(arguments, prog_name="bandrt", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        request = error if isinstance(error, Interrupted) else error.__cause__  # click makes an Abort of it
        if isinstance(request, Interrupted):
            return _stopped(request.number)
        return _stopped(None if interrupt is None else interrupt.number)
    except BrokenPipeError:  # whoever read our output has had enough
        _write_nowhere()
        return EXIT_FATAL
    except Exception as error:
        if interrupt is not None and interrupt.number is not None:  # libraries make others of the exception they see
            return _stopped(interrupt.number)
        return _report(error, arguments)
    return code if isinstance(code, int) else 0


def say_done(text: str) -> None:
    """Say on standard output what is done; that nobody reads it does not undo it, and the command ends as it would."""
    try:
        click.echo(text)
    except BrokenPipeError:
        _write_nowhere()


def _write_nowhere() -> None:
    """Lead standard output into nothing, so that what is left in it makes no error at the end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stopped(number: int | None) -> int:
    """Say that a command was stopped, and give the exit code."""
    _say("interrupted")
    return exit_code(number)


def _report(error: Exception, arguments: list[str]) -> int:
    """Print an error in one line and give the exit code."""
    if isinstance(error, ModuleNotFoundError):
        error = _explained(error, arguments[0])
    if isinstance(error, BandrtError):
        _say(f"error [{error.code}]: {error.message}")
        return error.exit_code
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = f"{error.filename}: " if error.filename else ""
        return _report(BandrtError("system-refused", f"{where}the system refused this ({error.strerror})"), arguments)
    log = _write_traceback(error, arguments)
    there = f"the traceback is in {log}" if log else "its traceback could not be written anywhere"
    _say(f"error [bug]: {type(error).__name__}: {printable(str(error))}; {there}")
    return EXIT_FATAL


def _say(line: str) -> None:
    """Print a line on standard error, if anybody reads it."""
    with suppress(OSError, ValueError):
        click.echo(line, err=True)


def _explained(error: ModuleNotFoundError, command: str) -> Exception:
    """Name the extra that brings a missing package; a module of our own that is missing is a bug."""
    extra = COMMANDS[command].extra if command in COMMANDS else None
    if extra is None or (error.name or "").startswith("bandrt"):
        return error
    return MissingPackageError(error.name or "a package", extra, f"bandrt {command}")


def _write_traceback(error: Exception, arguments: list[str]) -> Path | None:
    """Write what went wrong beside the results if there is a folder for them, else among temporary files; None: nowhere."""
    import tempfile
    import traceback

    from bandrt.files import CRASH_LOG, replaced

    follows_out = [Path(value) for option, value in pairwise(arguments) if option in ("-o", "--out")]
    text = f"bandrt {__version__}: {' '.join(arguments)}\n\n{''.join(traceback.format_exception(error))}"
    for folder in filter(os.path.isdir, follows_out):
        with suppress(OSError), replaced(folder / CRASH_LOG) as file:
            file.write(text)
            return folder / CRASH_LOG
    with suppress(OSError):
        descriptor, name = tempfile.mkstemp(suffix=f"-{CRASH_LOG}")  # a name that nobody can have put a link under
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return Path(name)
    return None
