"""What is built is what users get: wheel contents, licences, size, and an import without the optional packages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_SHIPPED_BYTES = 20_000_000
"""All shipped weights together, compressed in the wheel."""

BLOCKER = """
import importlib.abc, sys
BLOCKED = {
    "torch", "torch_geometric", "lightning", "pymatgen", "scipy", "pandas", "ase", "matplotlib", "plotly", "onnx", "h5py",
    "pyarrow",
}
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not installed (blocked by the test)")
sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("bandrt-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_three_packages_their_types_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == {"bandrt", "bandrt_export", "bandrt_train"}
    for package in tops:
        assert f"{package}/py.typed" in names
        assert f"{package}/__init__.py" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_wheel_holds_every_tracked_file_of_the_packages_and_no_data_set(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    listing = subprocess.run(["git", "ls-files", "runtime", "export", "train"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = [Path(line) for line in listing.stdout.splitlines()]
    packaged = {"/".join(p.parts[1:]) for p in tracked if p.parts[1].startswith("bandrt")}
    assert packaged <= names, packaged - names
    assert not [n for n in names if "labels" in n and n.endswith(".gz")]


def test_the_shipped_weights_are_small(wheel: zipfile.ZipFile) -> None:
    weights = [i for i in wheel.infolist() if i.filename.endswith((".onnx", ".plan", ".pt"))]
    assert weights, "the wheel ships a default engine"
    assert sum(i.compress_size for i in weights) < MAX_SHIPPED_BYTES


def test_the_runtime_extras_never_bring_torch_or_pymatgen() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = project["dependencies"] + [
        r
        for e in ("cpu", "cuda", "nv-tensorrt-rtx", "tensorrt", "tensorrt-rtx", "plot", "report", "hdf5", "parquet")
        for r in project["optional-dependencies"][e]
    ]
    assert not [r for r in runtime if r.startswith(("torch", "pymatgen", "scipy", "pandas", "lightning"))]


def test_the_runtime_predicts_with_torch_and_pymatgen_absent(examples: Path) -> None:
    code = BLOCKER + (
        "import bandrt\n"
        f"[result] = list(bandrt.load().predict([{str(examples / 'AlAs_mp-2172.cif')!r}]))\n"
        "print(result.band_structure.energies.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(6, 256)"
