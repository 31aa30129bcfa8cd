"""Commands under `strace`, which sees whatever they say to a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPORTED_AFTER_S = 6
"""Libraries that report to their makers do so some seconds after what they report."""
RUN = (
    "import json, sys, time\n"
    "from bandrt.cli import run\n"
    "for command in json.loads(sys.argv[1]):\n"
    "    assert run(command) == 0, command\n"
    "time.sleep(float(sys.argv[2]))\n"
)


def spoken_to(commands: Sequence[Sequence[object]], log: Path) -> list[str]:
    """Calls to the system by which commands, run one after the other, or their children spoke to a network.

    Args:
        commands: arguments of ``bandrt``.
        log: where the calls are written.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace, which sees every call to the system, is not installed")
    words = json.dumps([[str(word) for word in command] for command in commands])
    traced = subprocess.run(
        [
            *("strace", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)),
            *(sys.executable, "-c", RUN, words, str(REPORTED_AFTER_S)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in traced.stderr:
        pytest.skip("this machine does not let strace look at programs")
    assert traced.returncode == 0, traced.stderr
    return [line for line in log.read_text(encoding="utf-8").splitlines() if "AF_INET" in line]
