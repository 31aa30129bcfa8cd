"""The shape of the house: which rooms there are, and who may import what. Read from the source: imports inside functions count."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "bandrt": ROOT / "runtime" / "bandrt",
    "bandrt_train": ROOT / "train" / "bandrt_train",
    "bandrt_export": ROOT / "export" / "bandrt_export",
}
"""From the ground up: a package imports only itself and those before it."""
ROOMS = {
    "bandrt": (
        *(
            "quoting",
            "errors",
            "error_codes",
            "limits",
            "outcomes",
            "watch",
            "arguments",
            "elements",
            "cores",
            "files",
            "nested",
            "parcel",
            "typed_values",
            "content_checksum",
        ),
        *("recipe", "overlaps", "crystal", "calibration", "manifest", "contract"),
        *("readers", "sources", "items", "symmetry", "graph", "kpaths", "features", "batch"),
        *(
            "computed",
            "bands",
            "domain",
            "hamiltonian",
            "engine",
            "spectra",
            "results",
            "screening",
            "report",
            "routes",
            "featurized",
            "outputs",
            "predict",
            "loading",
            "ray",
            "triton",
            "machine",
            "run",
            "cli",
            "__main__",
        ),
    ),
    "bandrt_train": (
        *("error_codes", "description", "tables", "model", "checkpoint", "weights", "data", "hamiltonian_checkpoint"),
        *("evaluation", "fit", "cli"),
    ),
    "bandrt_export": (
        *("errors", "error_codes", "output", "dense", "eigensolver", "half", "reference", "parity"),
        *("onnx", "plan", "verify", "triton_model", "triton", "cli"),
    ),
}
"""Modules and folders of each package from the ground up; each imports only itself and what stands before it."""
FOLDERS = {
    "bandrt": {
        *("readers", "sources", "symmetry", "graph", "kpaths", "bands", "hamiltonian", "engine", "engine/onnx", "engine/plan"),
        *("computed", "spectra", "results", "results/convert", "screening", "report", "machine", "run", "cli"),
    },
    "bandrt_train": {
        *("tables", "model", "model/hamiltonian", "model/released", "weights"),
        *(
            "data",
            "data/hamiltonian",
            "data/sources",
            "evaluation",
            "evaluation/hamiltonian",
            "evaluation/screening",
            "fit",
            "fit/hamiltonian",
            "cli",
        ),
    },
    "bandrt_export": {"dense", "eigensolver", "plan", "cli"},
}
"""Rooms that are folders; a module anywhere else has no room."""
CORE_PACKAGES = {"numpy", "click", "gemmi", "moyopy", "tqdm"}
"""What `pip install bandrt` brings; anything may import these."""
LAZY_PACKAGES = {
    "onnxruntime": {"bandrt.engine.onnx.library"},
    "onnxruntime_ep_nv_tensorrt_rtx": {"bandrt.engine.onnx.library"},
    "cuda": {"bandrt.engine.plan.cuda_device"},
    "matplotlib": {"bandrt.bands.figures", "bandrt.spectra.zone"},
    "pymatgen": {"bandrt.computed.vasprun", "bandrt.bands.pymatgen", "bandrt.spectra.pymatgen"},
    "plotly": {"bandrt.report.page"},
    "ase": {"bandrt.sources.ase_files"},
    "backports": {"bandrt.readers.zstandard"},
    "h5py": {"bandrt.results.convert.hdf5"},
    "pyarrow": {"bandrt.ray", "bandrt.results.convert.parquet", "bandrt.screening.write", "bandrt.sources.parquet"},
    "ray": {"bandrt.ray"},
}
"""Optional packages and the only modules of the runtime that may import them, inside a function."""


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for folder in PACKAGES.values():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Imported module names of a file, and whether the import runs when the file is imported; what only type checkers see, too."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                module = child.module or ""
                inner = [f"{module}.{alias.name}" for alias in child.names]
                yield from ((name if name in modules() else module, at_import) for name in inner)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from visit(child, False)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, at_import and not inside)

    return visit(ast.parse(path.read_text(encoding="utf-8")), True)


def own_imports(name: str) -> set[str]:
    """Modules of the three packages that a module imports."""
    return {imported for imported, _ in imports(modules()[name]) if imported in modules() and imported != name}


def room(name: str) -> tuple[str, str]:
    """Package and room of a module; the package itself, whose public names are looked up lazily, is no room."""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0]


def of_package(package: str) -> list[str]:
    return [name for name in modules() if name.split(".")[0] == package]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_stands_in_a_room(package: str) -> None:
    top = {room(name)[1] for name in of_package(package)} - {""}
    assert top == set(ROOMS[package]), "say where a new room stands, and take out one that is gone"
    folders = {path.parent.relative_to(PACKAGES[package]).as_posix() for path in PACKAGES[package].rglob("*.py")} - {"."}
    assert folders == FOLDERS[package]


@pytest.mark.parametrize(
    ("package", "heading"),
    [("bandrt", "of the runtime, from the ground up"), ("bandrt_train", "of training"), ("bandrt_export", "of export")],
)
def test_every_room_stands_in_the_tables_of_the_architecture(package: str, heading: str) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = page.partition(f"## The rooms {heading}\n")[2].partition("\n## ")[0]
    written = [name for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\S+?)`", cell)]
    assert written == [f"{one}/" if one in FOLDERS[package] else one for one in ROOMS[package]], (
        "in this order, folders with a slash"
    )


@pytest.mark.parametrize("name", [name for name in modules() if "." in name])
def test_arrows_between_rooms_point_down(name: str) -> None:
    package, own = room(name)
    order = ROOMS[package]
    packages = list(PACKAGES)
    for imported in own_imports(name):
        other_package, other = room(imported)
        if other_package != package:
            lower = packages.index(other_package) < packages.index(package)
            lazily = name.startswith("bandrt.cli")  # it reaches across, by names in a table
            assert lower or lazily, f"{name} imports {imported}, of a package above it"
        elif other:
            assert order.index(other) <= order.index(own), f"{name} imports {imported}, which stands above it"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    graph = {name: own_imports(name) & set(of_package(package)) for name in of_package(package) if "." in name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", of_package("bandrt"))
def test_the_runtime_imports_only_its_light_core(name: str) -> None:
    for imported, at_import in imports(modules()[name]):
        top = imported.split(".")[0]
        if top in sys.stdlib_module_names or top in PACKAGES or top in CORE_PACKAGES:
            continue
        assert top in LAZY_PACKAGES, f"{name} imports {imported}, which the runtime must not need"
        assert name in LAZY_PACKAGES[top], f"{name} imports {imported}; only {sorted(LAZY_PACKAGES[top])} may"
        assert not at_import, f"{name} imports {imported} when it is imported; import it inside the function that needs it"


def test_tests_mirror_the_rooms() -> None:
    homes = {"runtime": "bandrt", "train": "bandrt_train", "export": "bandrt_export"}
    for folder, package in homes.items():
        for path in (ROOT / "tests" / folder).rglob("test_*.py"):
            mirrored = path.parent.relative_to(ROOT / "tests" / folder).as_posix()
            assert mirrored == "." or mirrored in FOLDERS[package], f"{path}: there is no room {mirrored} in {package}"
    others = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert others == {*homes, "benchmarks", "tools", "docs", "examples", "support", "fuzz"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [name for name in of_package(package) if not ast.get_docstring(ast.parse(modules()[name].read_text(encoding="utf-8")))]
    assert not silent, f"no module docstring: {silent}"
