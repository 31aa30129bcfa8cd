"""The check of a GPU runs dry on the CPU, its steps run on a simulated GPU, and it says what it left out and what failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.engine import open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu
from tests.support import stand_in_cuda_core
from tests.support.scripts import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_check.py"


@pytest.fixture
def script() -> Any:
    """The script as a module."""
    return load_script(SCRIPT)


@pytest.mark.slow
def test_the_dry_run_takes_every_step_that_needs_no_gpu(tmp_path: Path) -> None:
    output = tmp_path / "new" / "check.json"
    done = subprocess.run([sys.executable, str(SCRIPT), "--dry", "-o", str(output)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["cuda layer"] == found["plans"] == {"status": "skipped", "reason": "dry run"}
    assert found["batches"]["source"] == "example crystals"
    [engine] = [one for one in found["onnxruntime"].values() if isinstance(one, dict)]
    assert engine["parity_ev"]["max"] == 0
    assert all(one["streamed_crystals_per_s"] > 0 for one in engine["speed"].values())
    [whole] = [one for one in found["end to end"].values() if isinstance(one, dict)]
    assert whole["predicted"] == 4


def test_without_gemmi_moyopy_torch_and_onnxruntime_it_still_runs_on_the_arrays_of_another_machine(
    machine: Any, tmp_path: Path
) -> None:
    arrays, output = tmp_path / "batches.npz", tmp_path / "check.json"
    writing = ["--engine", str(machine.engine), "--write-arrays", str(arrays)]
    done = subprocess.run([sys.executable, str(SCRIPT), *writing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reading = ["gpu_check.py", "--dry", "--engine", str(machine.engine), "--arrays", str(arrays), "-o", str(output)]
    missing = ("gemmi", "moyopy", "torch", "onnxruntime", "tqdm")
    code = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({missing!r}))\n"
        f"sys.argv = {reading!r}\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    # run as a script it would find its neighbours by itself
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["pytorch"]["status"] == found["end to end"]["status"] == "skipped"
    assert "needs onnxruntime" in found["batches"]["reason"]


@pytest.fixture
def check(script: Any, machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A check of the simulated GPU, its batches made."""
    monkeypatch.setattr(script, "find_driver", lambda: Driver("13.0", (Gpu("NVIDIA GeForce RTX 4090", "sm89", 24.0),)))
    check = script.Check([machine.engine], [machine.plan], None, False, tmp_path)
    script.BATCH_SIZES = (1, 4)
    script.gpu_batches.ATOMS = (4, 12, 30)
    found = script.outcome(script.batches, check)
    assert found["status"] == "done"
    assert len(check.batches) == len(check.expected) == 6
    return check


def test_a_plan_is_compared_and_timed_on_the_simulated_gpu(script: Any, check: Any, machine: Any) -> None:
    found = script.outcome(script.session_on, check, machine.plan)
    assert found["backend"] == "tensorrt-rtx"
    assert found["parity_ev"]["status"] == "done"
    assert found["parity_ev"]["max"] < 1e-5
    statuses = {name: one["status"] for name, one in found["speed"].items()}
    assert statuses == {"1x4": "done", "4x4": "done", "1x12": "done", "4x12": "done", "1x30": "skipped", "4x30": "skipped"}
    assert machine.gpu.captures


def test_energies_beyond_the_limit_fail_the_check(script: Any, check: Any, machine: Any) -> None:
    check.expected = {name: energies + 0.01 for name, energies in check.expected.items()}
    found = script.outcome(script.session_on, check, machine.plan)
    assert found["parity_ev"]["status"] == "failed"
    assert "beyond the limits" in found["parity_ev"]["error"]
    assert script.failed({"plans": found})


def test_random_batches_fit_the_engine(script: Any, machine: Any) -> None:
    made = script.gpu_batches.random_batches(read_manifest(machine.engine), (2,))
    with open_session(machine.engine) as session:
        for batch in made.values():
            assert np.isfinite(session.run(batch)["band_energies"]).all()


def test_the_cuda_layer_is_checked_by_itself(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_cuda_core.install(monkeypatch)
    found = script.gpu_layer.check_layer(1 << 16)
    assert set(found["gb_per_s"]) == {"up", "down"}
    assert "OUT_OF_MEMORY" in found["out_of_memory"]
    monkeypatch.setattr(stand_in_cuda_core.ctypes, "memmove", lambda *arguments: None)
    with pytest.raises(AssertionError, match="copies equal: False"):
        script.gpu_layer.check_layer(1 << 16)
