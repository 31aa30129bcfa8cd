"""Shell completion: the script, and what the shell asks for at every tab."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

MOST_SECONDS = 0.5
"""Of the processor: what a person at a prompt notices; one heavy package takes longer."""


def complete(instruction: str, words: str = "", place: int = 0) -> tuple[list[str], float]:
    environment = os.environ | {"_BANDRT_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": str(place)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "bandrt"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout.splitlines(), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_in_no_time(shell: str) -> None:
    lines, seconds = complete(f"{shell}_source")
    assert any(f"_BANDRT_COMPLETE={shell}_complete" in line for line in lines)
    assert seconds < MOST_SECONDS


def test_commands_complete_without_importing_one() -> None:
    lines, seconds = complete("bash_complete", "bandrt ", 1)
    assert [line.removeprefix("plain,") for line in lines][:4] == ["infer", "screen", "refine", "plot"]
    assert {"plain,export", "plain,train"} <= set(lines), "of the other packages, too, whether or not they are installed"
    assert seconds < MOST_SECONDS
    assert complete("bash_complete", "bandrt in", 1)[0] == ["plain,infer", "plain,inspect"]
    assert complete("bash_complete", "bandrt --v", 1)[0] == ["plain,--version"]


def test_options_of_a_command_complete() -> None:
    assert complete("bash_complete", "bandrt infer --dev", 2)[0] == ["plain,--device"]
