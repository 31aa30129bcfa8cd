"""A real Triton server on the CPU, out of the wheel of nvidia-pytriton, which holds one with the Python backend."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

WHERE = "BANDRT_TRITON_SERVER"
"""The folder that ``pip install --target FOLDER --no-deps nvidia-pytriton 'numpy<2'`` made; `.ci/run` makes the default."""
DEFAULT = Path(sys.prefix) / "triton-server"
START_S = 120


def found() -> tuple[Path | None, str]:
    """The folder with a server that can be started here, or why there is none.

    Its backend runs models in the Python of Debian whose version is that of the NumPy in the folder.
    """
    folder = Path(os.environ.get(WHERE, DEFAULT))
    if not (folder / "pytriton" / "tritonserver").is_dir():
        return None, f"there is no nvidia-pytriton in {folder}; name the folder with {WHERE}"
    stub = stub_of(folder)
    if stub is None:
        return None, "the server runs no Python of this version"
    needed = subprocess.run(["ldd", stub], stdout=subprocess.PIPE, text=True, check=True).stdout
    missing = [line.split()[0] for line in needed.splitlines() if "not found" in line]
    return (None, f"the server needs {', '.join(missing)}") if missing else (folder, "")


def stub_of(folder: Path) -> Path | None:
    """The program in which the backend runs models, for the Python of this version."""
    stubs = folder / "pytriton" / "tritonserver" / "python_backend_stubs"
    stub = stubs / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    return stub if stub.is_file() else None


@contextmanager
def serving(folder: Path, repository: Path, model: str, scratch: Path) -> Iterator[str]:
    """Serve one model of a repository; the address to ask, without its scheme.

    Raises:
        RuntimeError: it does not start, with the end of its log.
    """
    server, backend, log = folder / "pytriton" / "tritonserver", scratch / "backends" / "python", scratch / "server.log"
    backend.mkdir(parents=True)
    shutil.copy(server / "backends" / "python" / "triton_python_backend_utils.py", backend)
    links = {"libtriton_python.so": server / "backends" / "python" / "libtriton_python.so", "numpy": folder / "numpy"}
    links |= {"numpy.libs": folder / "numpy.libs", "triton_python_backend_stub": stub_of(folder) or server}
    for name, target in links.items():  # libraries are found from where these really are
        (backend / name).symlink_to(target)
    port = _free_port()
    command = [
        str(server / "bin" / "tritonserver"), f"--model-repository={repository}", f"--backend-directory={backend.parent}",
        "--model-control-mode=explicit", f"--load-model={model}", f"--http-port={port}", "--http-address=127.0.0.1",
        "--allow-grpc=false", "--allow-metrics=false",
    ]  # fmt: skip
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-3000:])
