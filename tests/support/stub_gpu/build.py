"""Compiling the stubs, and running Python over them in a process of its own, since a driver is loaded once and for all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
DRIVER = ("libcuda.so.1",)
TENSORRT = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
PATIENCE_S = 300


def compiled(folder: Path, source: str, names: tuple[str, ...]) -> Path:
    """Shared libraries of one source under each of some names; a test that asks is skipped where there is no gcc."""
    gcc = shutil.which("gcc")
    if gcc is None or sys.platform != "linux":
        pytest.skip("the stubs are compiled with gcc, on Linux")
    for name in names:
        command = [gcc, "-w", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(HERE / source), "-ldl"]
        subprocess.run(command, check=True)
    return folder


def run_over(libraries: Path, *arguments: str, **settings: str) -> str:
    """What Python prints with the libraries of a folder in the place of others.

    Args:
        libraries: the folder.
        arguments: of Python.
        settings: variables of its environment.
    """
    environment = os.environ | settings
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]))
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(ROOT)])
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def scenario(libraries: Path, name: str, *arguments: str, **settings: str) -> Any:
    """What a function of `tests.support.stub_gpu.scenarios` gives over the stub of the driver."""
    return json.loads(run_over(libraries, "-m", "tests.support.stub_gpu.scenarios", name, *arguments, **settings))
