"""What holds of every command: one spelling of an option, help that is whole, and nothing overwritten unasked."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import pytest

from bandrt.cli import cli, run

pytest.importorskip("torch", reason="the commands of training and export need it")
SPELLINGS = {
    "-o": ("-o", "--out"),
    "--out": ("-o", "--out"),
    "--device": ("--device",),
    "--threads": ("--threads",),
    "--workers": ("--workers",),
    "--overwrite": ("--overwrite",),
    "--json": ("--json",),
    "--resume": ("--resume",),
}
"""Every declaration of an option that several commands have."""
BATCH_SIZE = {"bandrt infer": ("--batch-size",), "bandrt bench": ("--batch-size", "--batch")}
KEEPS_WHAT_IS_THERE = {"bandrt train download"}
"""Commands that write into a folder and replace nothing in it."""


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for short in group.list_commands(context):
        command = group.get_command(context, short)
        assert command is not None
        yield f"{name} {short}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {short}")


COMMANDS = dict(commands(cli, "bandrt"))


def flags(command: click.Command) -> list[tuple[str, ...]]:
    return [tuple(option.opts) for option in command.params if isinstance(option, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_options_that_commands_share_have_one_spelling(name: str) -> None:
    for declared in flags(COMMANDS[name]):
        for flag in declared:
            assert declared == SPELLINGS.get(flag, declared)
        assert "--output" not in declared
        if any(flag.startswith("--batch") for flag in declared):
            assert declared == BATCH_SIZE[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_writes_has_overwrite(name: str) -> None:
    declared = flags(COMMANDS[name])
    writes = ("-o", "--out") in declared and name not in KEEPS_WHAT_IS_THERE
    assert (("--overwrite",) in declared) == writes


@pytest.mark.parametrize("name", ["bandrt", *COMMANDS])
def test_help_is_whole(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*name.split()[1:], "--help"]) == 0
    text = capsys.readouterr().out
    assert "..." not in re.sub(r"[A-Z\]]\.\.\.", "", text)
    _, sentence, *_ = re.split(r"\n\s*\n", text)
    assert sentence.strip().endswith((".", "PATH..."))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    silent = [option.opts for option in COMMANDS[name].params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_help_of_everything_is_instant_and_of_training_does_not_wait_for_torch() -> None:
    def seconds(*arguments: str) -> float:
        started = time.perf_counter()
        code = f"import sys; from bandrt.cli import run; run({list(arguments)!r}); sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        return time.perf_counter() - started

    seconds("train", "--help")
    assert min(seconds("--help") for _ in range(3)) < 0.5  # the promise is 0.15 s; machines that run tests are busy
