"""Nothing that is predicted, and nothing else, goes over a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREDICT = (
    "import sys, time, bandrt\n"
    "with bandrt.load(sys.argv[1], threads=1) as engine:\n"
    "    print(*engine.predict(sys.argv[2]))\n"
    "time.sleep(float(sys.argv[3]))\n"
)


def test_onnxruntime_is_told_to_report_nothing_before_it_is_loaded(tiny_engine: Path, examples: Path) -> None:
    told = "import os\nassert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    arguments = [str(tiny_engine), str(examples / "AlAs_mp-2172.cif"), "0"]
    done = subprocess.run(
        [sys.executable, "-c", PREDICT + told, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "AlAs" in done.stdout


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which sees every call to the system, is not installed")
@pytest.mark.slow
def test_a_prediction_connects_to_nothing(tiny_engine: Path, examples: Path, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    seconds = "6"  # events are sent some seconds after they happen
    arguments = [str(tiny_engine), str(examples / "AlAs_mp-2172.cif"), seconds]
    traced = subprocess.run(
        ["strace", "-f", "-e", "trace=connect,sendto,sendmsg", "-o", str(log), sys.executable, "-c", PREDICT, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in traced.stderr:
        pytest.skip("this machine does not let strace look at programs")
    assert traced.returncode == 0, traced.stderr
    calls = [line for line in log.read_text(encoding="utf-8").splitlines() if "AF_INET" in line or "sendto" in line]
    assert not calls
