"""What the README tells a new user to type works, and what it says is there is there."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
VENV = COMMANDS[0].strip()
[TEST] = [command.strip() for command in COMMANDS if ".venv/bin/pytest" in command]


def steps(command: str) -> list[list[str]]:
    return [shlex.split(part) for part in command.split(" && ")]


def test_the_first_command_predicts_the_examples_and_leaves_a_table_and_a_plot(tmp_path: Path) -> None:
    venv, install, *rest = steps(VENV)
    assert venv == ["python3", "-m", "venv", ".venv"]
    assert install == [".venv/bin/pip", "install", ".[cpu,plot]"]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for program, *arguments in rest:
        assert program == ".venv/bin/bandrt"
        done = subprocess.run(
            [Path(sys.executable).with_name("bandrt"), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "bands" / "summary.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) >= 30
    plots = re.findall(r"`(bands/plots/[^`]+)`", README)
    assert plots
    for plot in plots:
        assert (tmp_path / plot).stat().st_size > 10_000


def test_the_test_command_is_what_continuous_integration_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for step in TEST.split(" && "):
        assert step.replace("python3 ", '"$python" ').replace("pip install", "pip install --quiet") in script


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_it_has_nine_hundred_words_or_fewer_outside_code_blocks() -> None:
    assert len(re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()) <= 900


def test_every_subcommand_it_names_exists() -> None:
    from bandrt.cli import COMMANDS as SUBCOMMANDS

    named = set(re.findall(r"^(?:\.venv/bin/)?bandrt ([a-z]+)", "\n".join(COMMANDS).replace("&& ", "\n"), re.MULTILINE))
    assert named
    assert named <= set(SUBCOMMANDS)
