"""What holds of every command: one spelling of an option, help that is whole, and nothing overwritten unasked."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import isfunction, unwrap
from pathlib import Path
from types import CodeType
from typing import Any, get_args

import click
import pytest

import bandrt.cli
import bandrt_export.cli
import bandrt_train.cli
from bandrt.cli import cli, options, run
from bandrt.cli.options import NamedPath, Number
from bandrt.engine.session import MAX_THREADS
from bandrt.recipe import Frame, Scheme

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
    "-q": ("-q", "--quiet"),
    "--quiet": ("-q", "--quiet"),
}
"""Every declaration of an option that several commands have."""
BATCH_SIZE = {"bandrt infer": ("--batch-size",), "bandrt warm-up": ("--batch-size",), "bandrt bench": ("--batch-size", "--batch")}
ONE_IDEA = {
    "device": {"--device"},
    "engine": {"--engine"},
    "frame": {"--frame"},
    "scheme": {"--scheme"},
    "seed": {"--seed"},
    "size": {"--batch-size", "--part-size"},
    "split": {"--split"},
}
"""What options are called that say one thing, by the last word of their name."""
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
def test_one_idea_has_one_spelling(name: str) -> None:
    for declared in flags(COMMANDS[name]):
        for flag in declared:
            assert flag in ONE_IDEA.get(flag.rpartition("-")[2], {flag})
    values = [option for option in COMMANDS[name].params if isinstance(option.type, click.Choice)]
    for idea, words in (("--scheme", get_args(Scheme)), ("--frame", get_args(Frame))):
        assert all(option.opts == [idea] for option in values if set(option.type.choices) >= set(words))


@pytest.mark.parametrize("name", COMMANDS)
def test_numbers_have_a_range_and_are_finite(name: str) -> None:
    for parameter in COMMANDS[name].params:
        kind = parameter.type
        assert type(kind) not in (type(click.INT), type(click.FLOAT)), parameter.opts
        if isinstance(kind, click.FloatRange):
            assert isinstance(kind, Number), parameter.opts
        if isinstance(kind, click.FloatRange | click.IntRange):
            assert kind.min is not None, parameter.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_cannot_be_read_is_not_for_the_command_line_to_refuse(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter.type, click.Path):
            assert isinstance(parameter.type, NamedPath), parameter.opts
            assert not parameter.type.readable, parameter.opts


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if ("-o", "--out") in flags(command)])
def test_standard_output_is_no_place_for_what_is_written_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split()[1:], "-o", "-"]) == 2
    assert "nothing is written to standard output" in capsys.readouterr().err


def test_the_word_shipped_names_the_engine_wherever_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        name: option.type for name, c in COMMANDS.items() for option in c.params if option.name in ("engine", "engines", "model")
    }
    assert {name.partition(" ")[2] for name, kind in asked.items() if kind is options.ENGINE} >= {
        "infer", "inspect", "bench", "verify",
    }  # fmt: skip
    assert run(["inspect", "shipped"]) == 0
    assert "hamiltonian" in capsys.readouterr().out


FLOATS = [
    pytest.param(name, option.opts[0], id=f"{name} {option.opts[0]}")
    for name, command in COMMANDS.items()
    for option in command.params
    if isinstance(option.type, click.FloatRange)
]


@pytest.mark.parametrize(("name", "flag"), FLOATS)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "-1e9"])
def test_no_number_is_wrong_usage(name: str, flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split()[1:], flag, value]) == 2
    assert flag in capsys.readouterr().err


def test_more_threads_than_there_can_be_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in COMMANDS.items():
        if ("--threads",) in flags(command):
            assert run([*name.split()[1:], "--threads", str(MAX_THREADS + 1)]) == 2
            assert f"1<=x<={MAX_THREADS}" in capsys.readouterr().err


def shows_progress(function: Any, seen: set[Any]) -> bool:
    """Whether a function of a command, or one of its module that it calls, shows how far it is."""
    if function in seen:
        return False
    seen.add(function)
    names = set(names_in(function.__code__))
    within = [function.__globals__.get(name) for name in names]
    called = [one for one in within if isfunction(one) and one.__module__ == function.__module__]
    return bool(names & {"Progress", "tqdm", "on_progress"}) or any(shows_progress(one, seen) for one in called)


def names_in(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_varnames)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
        elif isinstance(constant, tuple):  # names of keyword arguments
            yield from (one for one in constant if isinstance(one, str))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_shows_progress_can_be_quiet(name: str) -> None:
    if isinstance(COMMANDS[name], click.Group):
        return
    assert (("-q", "--quiet") in flags(COMMANDS[name])) == shows_progress(unwrap(COMMANDS[name].callback), set())


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


def test_what_commands_say_in_json_is_json() -> None:
    """Python writes NaN and Infinity where it is not told otherwise."""
    folders = [Path(package.__file__).parent for package in (bandrt.cli, bandrt_export.cli, bandrt_train.cli)]
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for folder in folders for path in folder.glob("*.py")}
    calls = [(path, one) for path, tree in modules.items() for one in ast.walk(tree) if isinstance(one, ast.Call)]
    dumps = [(path, one) for path, one in calls if ast.unparse(one.func) in ("json.dump", "json.dumps")]
    assert {path.stem for path, _ in dumps} >= {"options", "one_crystal", "hamiltonian"}
    for path, one in dumps:
        assert "allow_nan=False" in map(ast.unparse, one.keywords), f"{path}:{one.lineno}"


def test_json_holds_paths_as_text_and_no_number_that_json_does_not_have() -> None:
    assert json.loads(options.json_text({"out": Path("é") / "bands", "gap": 1.5})) == {"out": "é/bands", "gap": 1.5}
    assert options.json_text({"out": os.fsdecode(b"\xff")}).isascii()  # a name that is no text in any encoding
    for no_number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            options.json_text({"gap": no_number})
    with pytest.raises(TypeError):
        options.json_text({"gap": object()})


def test_a_path_is_printed_as_it_is_for_programs_and_without_what_a_terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("\x1b[31mred.png")
    for is_terminal, expected in ((False, "\x1b[31mred.png"), (True, "\\x1b[31mred.png")):
        monkeypatch.setattr("sys.stdout.isatty", lambda shown=is_terminal: shown)
        assert options.printed(path) == expected
