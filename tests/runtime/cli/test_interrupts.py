"""Requests to stop end any command within two seconds, whatever it is busy with, and leave nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bandrt.cli import interrupts
from bandrt.run.interrupt import REQUESTS
from tests.support.processes import LEAVE_SECONDS, descendants, living, needs_proc, state, wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on Unix")
STOP_SECONDS = 2.0
HOLDS_THE_LOCK = "import ctypes; ctypes.PyDLL(None).sleep(30)"
FREES_THE_LOCK = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**30)"
IN_PYTHON = "import time; time.sleep(30)"
EATEN = "import time\n    try: time.sleep(30)\n    except BaseException: raise ImportError('half loaded')"


def program(body: str, command: str = "bench") -> list[str]:
    """``bandrt`` with a command that is busy with something, after it has said so."""
    code = (
        "import sys, bandrt.cli as cli\n"
        "from bandrt.__main__ import main\n"
        "from pathlib import Path\n"
        "from bandrt.files import replaced, scratch_folder\n"
        "def busy(*arguments, **options):\n"
        "    print('busy', flush=True)\n"
        f"    {body}\n"
        "cli.cli.main = busy\n"
        f"sys.argv = ['bandrt', {command!r}, *sys.argv[1:]]\n"
        "main()\n"
    )
    return [sys.executable, "-c", code]


def stopped(running: subprocess.Popen[str], number: int) -> tuple[int, str, float]:
    """Exit code, standard error, and how long a program took that was asked to stop once it was busy."""
    assert running.stdout is not None
    assert running.stdout.readline() == "busy\n"
    time.sleep(0.3)  # until it is inside the library
    asked = time.monotonic()
    running.send_signal(number)
    _, errors = running.communicate(timeout=25)
    return running.returncode, errors, time.monotonic() - asked


def started(command: list[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("number", REQUESTS, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("body", [HOLDS_THE_LOCK, FREES_THE_LOCK, IN_PYTHON, EATEN], ids=["lock", "no lock", "python", "eaten"])
def test_any_request_ends_a_command_soon_with_one_line(body: str, number: int) -> None:
    with started(program(body)) as running:
        code, said, seconds = stopped(running, number)
    assert (code, said) == (128 + number, "interrupted\n")
    assert seconds < STOP_SECONDS


@pytest.mark.parametrize("body", [HOLDS_THE_LOCK, IN_PYTHON], ids=["lock", "python"])
def test_what_was_being_written_is_gone_and_what_was_there_is_as_it_was(body: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("before", encoding="utf-8")
    write = f"with scratch_folder(), replaced(Path('model.onnx')) as file: file.write('half'); file.flush(); {body}"
    with started(program(write), cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)}) as running:
        code, _, _ = stopped(running, signal.SIGINT)
    assert code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text(encoding="utf-8") == "before"


def test_a_request_to_the_whole_group_is_taken_once(tmp_path: Path) -> None:
    body = "import time\n    try: time.sleep(30)\n    finally: time.sleep(0.3); Path('done').touch()"
    with started(program(body), cwd=tmp_path, start_new_session=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "busy\n"
        time.sleep(0.3)  # until it is asleep
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(0.1)
        os.killpg(running.pid, signal.SIGTERM)
        _, errors = running.communicate(timeout=25)
    assert (running.returncode, errors) == (130, "interrupted\n")
    assert (tmp_path / "done").exists()


@needs_proc
def test_a_command_dies_with_the_process_that_watches_over_it() -> None:
    with started(program(HOLDS_THE_LOCK)) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "busy\n"
        family = descendants(running.pid)
        assert len(family) == 1
        running.kill()
        running.wait()
    assert wait_until(lambda: not living(family), LEAVE_SECONDS)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 3", 3),
        ("return None", 0),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os, signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
)
def test_a_command_ends_as_its_work_does(body: str, code: int) -> None:
    assert subprocess.run(program(body), capture_output=True).returncode == code


@pytest.mark.parametrize("number", REQUESTS, ids=lambda number: signal.Signals(number).name)
def test_a_request_at_the_very_end_has_the_exit_code_of_a_request(number: int) -> None:
    body = f"import signal; signal.signal({number}, signal.SIG_DFL); {IN_PYTHON}"  # as the interpreter leaves it when it ends
    with started(program(body)) as running:
        code, _, _ = stopped(running, number)
    assert code == 128 + number


@needs_proc
def test_infer_works_in_the_process_that_was_started() -> None:
    with started(program(IN_PYTHON, "infer")) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "busy\n"
        assert descendants(running.pid) == set()
        assert state(running.pid) in "RS"
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=25)
    assert running.returncode == 143


@pytest.mark.parametrize("module", ["bandrt.cli", "click", "bandrt.cli.interrupts"])
@pytest.mark.parametrize("number", REQUESTS, ids=lambda number: signal.Signals(number).name)
def test_a_request_while_the_command_line_is_loaded_prints_no_traceback(module: str, number: int) -> None:
    code = (
        "import sys, signal\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: signal.raise_signal({number})\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv = ['bandrt', 'doctor']\n"
        "from bandrt.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "interrupted\n")


def test_a_request_while_a_library_is_loaded_raises_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "native.py").write_text(
        "import os, time\ntry: time.sleep(30)\nexcept BaseException: os.abort()  # as C++ does at an exception\n", encoding="utf-8"
    )
    with started(
        program("import native"), cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    ) as running:
        code, said, _ = stopped(running, signal.SIGHUP)
    assert (code, said) == (129, "interrupted\n")


def test_the_grace_leaves_time_to_end_in() -> None:
    assert interrupts.GRACE_SECONDS <= STOP_SECONDS - 0.5
