"""Shell completion: the script, and what the shell asks for at every tab."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

MOST_SECONDS = 1.0
"""What a person at a prompt notices; a heavy package takes longer."""


def complete(instruction: str, words: str = "", place: int = 0) -> tuple[list[str], float]:
    environment = os.environ | {"_BANDRT_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": str(place)}
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "bandrt"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), time.perf_counter() - started


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_in_no_time(shell: str) -> None:
    lines, seconds = complete(f"{shell}_source")
    assert any(f"_BANDRT_COMPLETE={shell}_complete" in line for line in lines)
    assert min(seconds, complete(f"{shell}_source")[1]) < MOST_SECONDS


def test_commands_complete_without_importing_one() -> None:
    lines, seconds = complete("bash_complete", "bandrt ", 1)
    assert [line.removeprefix("plain,") for line in lines][:3] == ["infer", "plot", "convert"]
    assert {"plain,export", "plain,train"} <= set(lines), "of the other packages, too, whether or not they are installed"
    assert min(seconds, complete("bash_complete", "bandrt ", 1)[1]) < MOST_SECONDS
    assert complete("bash_complete", "bandrt in", 1)[0] == ["plain,infer", "plain,inspect"]
    assert complete("bash_complete", "bandrt --v", 1)[0] == ["plain,--version"]


def test_options_of_a_command_complete() -> None:
    assert complete("bash_complete", "bandrt infer --dev", 2)[0] == ["plain,--device"]
