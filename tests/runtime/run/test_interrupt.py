"""Requests to stop: raised once, never in the middle of a write, and for a command at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from bandrt.run.interrupt import Interrupt, Interrupted, requests

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
STOP_SECONDS = 2.0
"""In which a run has to end."""


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_request_is_raised_and_the_others_are_passed_over(number: int) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        with pytest.raises(Interrupted) as caught:
            signal.raise_signal(number)
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)
    assert caught.value.number == interrupt.number == number
    assert signal.getsignal(number) is before


def test_a_request_waits_for_the_end_of_a_shield() -> None:
    done = []
    with Interrupt() as interrupt, pytest.raises(Interrupted):  # noqa: PT012 - where it is raised is the point
        with interrupt.shielded():
            with interrupt.shielded():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]


def test_a_request_whose_exception_was_lost_is_raised_at_the_next_check() -> None:
    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with Interrupt() as interrupt:
        interrupt._shields = 1  # as if what is raised in the destructor were lost
        Deaf()
        interrupt._shields = 0
        with pytest.raises(Interrupted):
            interrupt.check()


def test_a_request_while_a_module_is_loaded_waits_for_the_next_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asks_to_stop.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nLOADED = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Interrupt() as interrupt:
        assert import_module("asks_to_stop").LOADED
        assert interrupt.number == signal.SIGINT
        with pytest.raises(Interrupted):
            interrupt.check()


def test_a_run_that_is_ending_is_not_interrupted() -> None:
    with Interrupt() as interrupt:
        interrupt.settle()
        signal.raise_signal(signal.SIGINT)
        interrupt.check()
    assert interrupt.number == signal.SIGINT


@needs_posix
def test_a_hangup_that_was_to_be_survived_is_no_request() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in requests()
        with Interrupt():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_slow_batch_is_not_waited_for(tmp_path: Path, tiny_engine: Path, rock_salt: object, number: int) -> None:
    """An engine that takes half a minute for a batch, in native code that no exception reaches."""
    (tmp_path / "a.cif").write_text(rock_salt(a=4.0))  # type: ignore[operator]
    code = f"""
import sys, time
from bandrt import cli
from bandrt.engine.onnx.session import OnnxSession
def run(self, inputs):
    print("at it", flush=True)
    time.sleep(30)
OnnxSession.run = run
sys.argv[1:] = ["infer", {str(tmp_path / "a.cif")!r}, "-o", {str(tmp_path / "out")!r}, "--engine", {str(tiny_engine)!r}]
cli.main()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "at it\n"
        asked = time.monotonic()
        running.send_signal(number)
        time.sleep(0.1)
        running.send_signal(number)  # again: it changes nothing
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert time.monotonic() - asked < STOP_SECONDS
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    assert '"status": "interrupted"' in (tmp_path / "out" / "run.json").read_text()


@needs_posix
def test_an_interrupt_while_libraries_are_loaded_ends_at_once_without_a_traceback(tmp_path: Path) -> None:
    code = f"""
import sys, signal
from bandrt.__main__ import main
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "bandrt.predict":
            signal.raise_signal(signal.SIGTERM)
sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = ["infer", "nosuch", "-o", {str(tmp_path / "out")!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "interrupted\n")
    assert not (tmp_path / "out").exists()
