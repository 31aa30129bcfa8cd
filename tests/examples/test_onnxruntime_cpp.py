"""The example in C++ is compiled, and gives the energies that an open engine gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.contract import BAND_ENERGIES
from bandrt.engine import SHIPPED_ENGINES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "onnxruntime" / "predict.cpp"
HEADER = "onnxruntime_cxx_api.h"
INCLUDE = [
    *(Path(prefix) / "include" / "onnxruntime" for prefix in (sys.prefix, "/usr", "/usr/local")),
    Path(sys.prefix) / "include",
]
"""Where conda, packages of Linux and `.ci/run` put the headers of ONNX Runtime; its wheel has none."""
TOLERANCE_EV = 1e-5
"""Two builds of ONNX Runtime, or two numbers of threads, differ in the last bits of 32."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled against the headers that there are and the library of the wheel."""
    onnxruntime = pytest.importorskip("onnxruntime")
    compiler = shutil.which("g++") or pytest.skip("there is no g++")
    include = next((folder for folder in INCLUDE if (folder / HEADER).is_file()), None)
    if include is None:
        pytest.skip(f"the headers of ONNX Runtime ({HEADER}) are in none of {', '.join(map(str, INCLUDE))}")
    capi = Path(onnxruntime.__file__).parent / "capi"
    [library] = capi.glob("libonnxruntime.so.*")
    out = tmp_path_factory.mktemp("program") / "predict"
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # what the linker looks for, and what the program does
        (out.parent / name).symlink_to(library)
    flags = ["-std=c++17", "-Wall", "-Wextra", f"-I{include}", f"-L{out.parent}", "-lonnxruntime", f"-Wl,-rpath,{out.parent}"]
    subprocess.run([compiler, EXAMPLE, *flags, "-o", out], check=True)
    return out


def printed(program: Path, engine: Path, batch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, engine, batch], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="the library of the wheel has another name")
def test_it_prints_the_energies_of_the_engine(program: Path, examples: Path, tmp_path: Path) -> None:
    items = [examples / "AlAs_mp-2172.cif", examples / "Al2O3_mp-1143.cif", examples / "NaCl_mp-22862.vasp"]
    with bandrt.load("fast", threads=1) as engine:
        engine.save_batch(items, tmp_path / "batch")
        rows = engine.session.run({path.stem: np.load(path) for path in (tmp_path / "batch").iterdir()})[BAND_ENERGIES]
        bands = [result.band_structure.energies for result in engine.predict(items)]  # type: ignore[union-attr]
    done = printed(program, SHIPPED_ENGINES["fast"], tmp_path / "batch")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    table = np.array([[float(value) for value in line.split(",")] for line in lines])  # (crystals x bands, 2 + k-points)
    assert [tuple(row) for row in table[:, :2]] == [(crystal, band) for crystal in range(3) for band in range(6)]
    energies = table[:, 2:].reshape(3, 6, -1)
    np.testing.assert_allclose(energies, rows, atol=TOLERANCE_EV, rtol=0)
    np.testing.assert_allclose(np.sort(energies, axis=1), bands, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="the library of the wheel has another name")
def test_it_says_what_is_wrong_with_a_batch(program: Path, tmp_path: Path) -> None:
    missing = printed(program, SHIPPED_ENGINES["fast"], tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "atomic_numbers.npy: no NumPy file" in missing.stderr


def test_it_is_as_short_as_the_page_says() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 75
