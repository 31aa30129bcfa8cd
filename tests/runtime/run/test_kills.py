"""Runs that are killed at random moments and resumed end as a run that nobody disturbed, to the last byte."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.results.store import read

N_KILLS = 20
N_CRYSTALS = 160
SLOWEST_STOP_SECONDS = 10.0
"""Of a request, on a busy machine; what is asked for is 2 seconds on one that is not."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")]


def command(table: Path, out: Path, engine: Path, *options: str) -> list[str]:
    """``bandrt infer`` with small parts, so that many are written."""
    arguments = ["infer", str(table), "-o", str(out), "--engine", str(engine), "--batch-size", "4", *options]
    code = (
        "import sys; from bandrt.__main__ import exit_at_once, main; exit_at_once();"  # before a native module is loaded
        "from bandrt.results import writer; writer.PART_CRYSTALS = 16;"
        f"sys.argv[1:] = {arguments}; main()"
    )
    return [sys.executable, "-c", code]


def contents(out: Path) -> dict[str, object]:
    """All results of a folder, in order."""
    predictions = [
        (
            p.id,
            p.input_sha256,
            p.band_structure.energies.tobytes(),
            p.band_structure.frac_kpoints.tobytes(),
            p.crystal.lattice.tobytes(),
        )
        for p in read(out)
    ]
    return {"summary": (out / "summary.csv").read_bytes(), "errors": (out / "errors.jsonl").read_bytes(), "read": predictions}


def test_any_number_of_kills_ends_in_the_same_bytes(
    tiny_engine: Path, tmp_path: Path, rock_salt: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("BANDRT_KILL_SEED", random.SystemRandom().randrange(10**6)))
    chance = random.Random(seed)
    with capfd.disabled():
        print(f"\nkills: BANDRT_KILL_SEED={seed}")
    table, fresh, out = tmp_path / "table.jsonl", tmp_path / "fresh", tmp_path / "out"
    with table.open("w") as file:
        for i in range(N_CRYSTALS):
            cif = "no crystal" if i % 13 == 5 else rock_salt(a=3.9 + 0.01 * i)
            file.write(json.dumps({"id": f"salt-{i:03d}", "cif": cif}) + "\n")
    started = time.monotonic()
    assert subprocess.run(command(table, fresh, tiny_engine), stderr=subprocess.DEVNULL).returncode == 3
    longest = 1.3 * (time.monotonic() - started)
    expected = contents(fresh)
    codes = []
    for kill in range(N_KILLS):
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)[kill % 4]
        options = ("--resume", "--workers", chance.choice("12"))
        with subprocess.Popen(command(table, out, tiny_engine, *options), stderr=subprocess.PIPE, text=True) as running:
            try:
                _, errors = running.communicate(timeout=chance.uniform(0, longest))
            except subprocess.TimeoutExpired:
                running.send_signal(number)
                _, errors = running.communicate(timeout=SLOWEST_STOP_SECONDS)
        codes.append(running.returncode)
        # a signal that comes before the interpreter has read its first line of ours ends it as it ends any program
        too_early = running.returncode == 1 and "Fatal Python error" in errors
        assert running.returncode in (3, 128 + number, -number) or too_early, (seed, kill, running.returncode, errors)
        assert "error [" not in errors, (seed, kill, errors)
        if running.returncode == 3:
            assert contents(out) == expected, (seed, kill)
            shutil.rmtree(out)
        elif (out / "run.json").exists() and running.returncode == 128 + number:
            assert json.loads((out / "run.json").read_text())["status"] in ("interrupted", "running", "finished"), (seed, kill)
    assert subprocess.run(command(table, out, tiny_engine, "--resume"), stderr=subprocess.DEVNULL).returncode == 3, seed
    assert contents(out) == expected, (seed, codes)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "no lock is left"
    assert not (out / "set-aside").exists(), "no part was damaged"
