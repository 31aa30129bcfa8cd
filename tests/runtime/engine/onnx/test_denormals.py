"""Denormals are zero where a model computes, and nowhere else."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import numpy as np
import onnxruntime
import pytest

from bandrt.engine import open_session
from bandrt.engine.onnx.denormals import SESSION_OPTION, aside, flushed
from bandrt.engine.onnx.session import OnnxSession
from tests.runtime.engine.test_engine import MakeEngine, random_inputs

OPEN = """
import sys
from pathlib import Path
import numpy as np
from bandrt.engine import open_session
session = open_session(Path(sys.argv[1]), threads=1)
print(np.float32(1e-38) / np.float32(100) > 0)
"""

FLUSHES = sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"
only_where_flushed = pytest.mark.skipif(not FLUSHES, reason="the flags of a thread are known on Linux on x86-64 with glibc alone")


def smallest() -> np.float32:
    """A denormal, unless denormals are zero in this thread."""
    return np.float32(1e-38) / np.float32(100)


def scaled(tensor: np.ndarray, factor: float) -> np.ndarray:
    """Enough numbers for the vector units of a processor."""
    return np.multiply(tensor, np.float32(factor))


@only_where_flushed
def test_denormals_are_zero_while_a_function_runs_and_are_numbers_afterwards() -> None:
    numbers = np.full(1000, 1e-38, np.float32)
    assert not flushed(lambda: scaled(numbers, 0.01)).any()
    assert scaled(numbers, 0.01).all()
    assert smallest() > 0


@only_where_flushed
def test_a_denormal_that_comes_in_counts_as_zero() -> None:
    numbers = scaled(np.full(1000, 1e-38, np.float32), 0.01)
    assert not flushed(lambda: scaled(numbers, 1e10)).any()


def test_an_error_leaves_no_flag_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        flushed(lambda: 1 // 0)
    assert smallest() > 0


def test_what_runs_aside_has_a_thread_of_its_own_and_its_errors_come_back() -> None:
    assert aside(get_ident) != get_ident()
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 // 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_opening_nor_running_a_session_changes_arithmetic_in_any_thread(tiny_engine: Path, threads: int) -> None:
    inputs = random_inputs(crystals=6)
    with open_session(tiny_engine, threads=threads) as session:
        assert smallest() > 0
        session.run(inputs)
        assert smallest() > 0
        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(lambda _: bool(session.run(inputs)) and smallest() > 0, range(8)))
    assert smallest() > 0


def test_the_first_session_of_a_process_leaves_the_thread_alone_that_opens_it(tiny_engine: Path) -> None:
    """ONNX Runtime sets the flags of one thread for good: that which opens the first session of all."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(tiny_engine)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@only_where_flushed
@pytest.mark.parametrize("whole_batches", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_model_computes_without_denormals_in_whichever_thread(make_engine: MakeEngine, threads: int, whole_batches: bool) -> None:
    """The tiny engine is uncertain by a third of the distance."""
    engine = make_engine(outputs=("band_energies", "uncertainty_ev"))
    inputs = random_inputs(crystals=8)
    inputs["neighbor_distance"] = np.full_like(inputs["neighbor_distance"], 2e-38)
    inputs["neighbor_mask"][:] = True
    plain = onnxruntime.InferenceSession(str(engine), providers=["CPUExecutionProvider"])
    assert plain.run(["uncertainty_ev"], inputs)[0].all()
    with OnnxSession(engine, threads=threads, whole_batches=whole_batches) as session:
        assert not session.run(inputs)["uncertainty_ev"].any()


def test_sessions_tell_onnx_runtime_so(tiny_engine: Path) -> None:
    options = open_session(tiny_engine, threads=1)._session.get_session_options()  # type: ignore[attr-defined]
    assert options.get_session_config_entry(SESSION_OPTION[0]) == SESSION_OPTION[1]
