"""The front door: what `import bandrt` shows, what it costs, and how it answers a slip of the pen."""

from __future__ import annotations

import importlib
import pkgutil
import rlcompleter
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import bandrt
from bandrt.results.prediction import Failure

HEAVY = ("numpy", "gemmi", "moyopy", "onnxruntime", "click", "tqdm", "multiprocessing")
MOST_SECONDS = 0.05
"""Of the processor; `typing`, which is all there is to import, takes a tenth of that, NumPy alone twice as long."""
LONGEST_REPR = 120
"""Characters that fit beside a prompt."""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_none_of_what_it_stands_on() -> None:
    assert run(f"import sys, bandrt; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_importing_the_package_takes_no_time() -> None:
    code = "import time; a = time.process_time(); import bandrt; print(time.process_time() - a)"
    assert min(float(run(code)) for _ in range(3)) < MOST_SECONDS


def test_a_star_gives_the_public_names_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec("from bandrt import *", names)
    assert set(names) - {"__builtins__"} == set(bandrt.__all__)


def test_completion_shows_the_public_names_and_nothing_else() -> None:
    for module in pkgutil.walk_packages(bandrt.__path__, "bandrt."):
        if module.name.startswith(("bandrt.engine.plan", "bandrt.__main__")):
            continue
        importlib.import_module(module.name)  # sets submodules as attributes of the package
    assert set(dir(bandrt)) == set(bandrt.__all__)
    completer = rlcompleter.Completer({"bandrt": bandrt})
    shown = {name.removeprefix("bandrt.").rstrip("()") for name in (completer.complete("bandrt.", i) for i in range(100)) if name}
    assert shown == {name for name in bandrt.__all__ if not name.startswith("_")}


def test_no_submodule_takes_the_place_of_a_public_name() -> None:
    submodules = {module.name for module in pkgutil.iter_modules(bandrt.__path__)}
    assert not submodules & set(bandrt.__all__)
    for name in submodules - {"__main__"}:
        importlib.import_module(f"bandrt.{name}")
    assert isinstance(bandrt.kpath, FunctionType)
    assert not [name for name in bandrt.__all__ if isinstance(getattr(bandrt, name), ModuleType)]


def test_a_misspelt_name_is_told_what_was_meant() -> None:
    code = "import bandrt\nbandrt.featurise"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'bandrt' has no attribute 'featurise'" in done.stderr
    if sys.version_info >= (3, 12) or "Did you mean" in done.stderr:
        assert "Did you mean: 'featurize'?" in done.stderr


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "bandrt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"bandrt, version {bandrt.__version__}"
    wrong = subprocess.run([sys.executable, "-m", "bandrt", "nosuch"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "Usage: bandrt " in wrong.stderr


@pytest.fixture
def shown(tiny_engine: Path, rock_salt: Callable[..., str]) -> dict[str, Any]:
    """One of everything that a session at a prompt would show."""
    with bandrt.load(tiny_engine, threads=1) as engine:
        [prediction] = engine.predict(rock_salt(a=3.2))
        [failure] = engine.predict("nosuch.cif")
        features = bandrt.featurize(rock_salt())
    assert isinstance(prediction, bandrt.Prediction)
    bands = prediction.band_structure
    return {
        "engine": engine, "manifest": engine.manifest, "recipe": engine.recipe, "prediction": prediction, "failure": failure,
        "bands": bands, "edge": bands.vbm, "features": features, "kpath": features.kpath, "crystal": features.crystal,
    }  # fmt: skip


def test_everything_shows_itself_in_one_short_line(shown: dict[str, Any]) -> None:
    lines = {name: repr(value) for name, value in shown.items()}
    assert {name: line for name, line in lines.items() if len(line) > LONGEST_REPR or "\n" in line or "array(" in line} == {}
    bands = shown["bands"]
    gap = f"gap {bands.band_gap:.2f} eV {'direct' if bands.is_direct else 'indirect'}"
    assert lines["bands"] == f"BandStructure(NaCl, 6 bands x 64 k-points, {gap})"
    assert lines["prediction"] == f"Prediction('rock_salt', NaCl, {gap})"
    assert lines["failure"] == "Failure('nosuch', file-not-found: nosuch.cif: no such file)"
    assert lines["crystal"] == f"Crystal(NaCl, 2 atoms, {shown['crystal'].volume:.1f} Å^3)"
    assert lines["features"] == "Features(NaCl, 2 atoms, Fm-3m (225), 12 neighbour slots, 256 k-points)"
    assert lines["kpath"].startswith("KPath(latimer_munro, 256 k-points, Γ-")
    assert lines["engine"] == "Engine(tiny.onnx, paper, 6 bands, fp32, closed)"
    assert lines["manifest"] == "Manifest(paper, onnx fp32, 6 bands x 64 k-points, trained on 3 crystals)"
    assert lines["recipe"] == "Recipe(latimer_munro, 64 k-points, 12 neighbours within 8 Å)"
    assert lines["edge"] == f"BandEdge({bands.vbm.energy:.3f} eV at {bands.vbm.label or shown['edge'].frac_kpoint})"


def test_a_failure_keeps_its_message(shown: dict[str, Any]) -> None:
    failure = shown["failure"]
    assert isinstance(failure, Failure)
    assert failure.message in repr(failure)
