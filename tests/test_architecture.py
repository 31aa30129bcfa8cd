"""The shape of the house: who may import what. Read from the source, so imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "bandrt": ROOT / "runtime" / "bandrt",
    "bandrt_export": ROOT / "export" / "bandrt_export",
    "bandrt_train": ROOT / "train" / "bandrt_train",
}

CORE_PACKAGES = {"numpy", "click", "gemmi", "moyopy", "tqdm"}
"""What `pip install bandrt` brings; anything may import these."""
LAZY_PACKAGES = {
    "onnxruntime": {"bandrt.engine.onnx", "bandrt.engine.onnx_binding", "bandrt.doctor"},
    "cuda": {"bandrt.engine.cuda_device"},
    "matplotlib": {"bandrt.plot"},
    "pymatgen": {"bandrt.interop"},
    "h5py": {"bandrt.convert.hdf5"},
    "pyarrow": {"bandrt.convert.parquet"},
}
"""Optional packages and the only modules that may import them, inside a function."""

LAYERS = (
    {"errors", "elements", "files", "machine"},
    {"recipe", "crystal", "prototypes"},
    {"manifest", "readers", "symmetry", "standard_lattice", "neighbors", "shells", "graph"},
    {"sources", "kpath"},
    {"textbook"},
    {"features"},
    {"bands", "interop", "batch"},
    {"domain", "engine", "results"},
    {"parts", "plot", "predict", "summary"},
    {"engine_thread"},
    {"store"},
    {"pipeline", "infer", "doctor", "bench", "convert"},
    {"cli"},
)
"""Rooms of the runtime from the ground up; a module imports only from its own layer or below."""


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def module_name(path: Path, package: str) -> str:
    parts = path.relative_to(PACKAGES[package].parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Imported module names of a file, and whether the import runs when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield child.module or "", at_import
                if child.module == "bandrt":
                    yield from ((f"bandrt.{alias.name}", at_import) for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, at_import and not inside)

    return visit(tree, True)


def is_third_party(name: str) -> bool:
    import sys

    return name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("bandrt")


@pytest.mark.parametrize("path", modules("bandrt"), ids=lambda p: module_name(p, "bandrt"))
def test_the_runtime_imports_only_its_light_core(path: Path) -> None:
    name = module_name(path, "bandrt")
    for imported, at_import in imports(path):
        if not is_third_party(imported):
            continue
        top = imported.split(".")[0]
        if top in CORE_PACKAGES:
            continue
        assert top in LAZY_PACKAGES, f"{name} imports {imported}, which the runtime must not need"
        assert name in LAZY_PACKAGES[top], f"{name} imports {imported}; only {sorted(LAZY_PACKAGES[top])} may"
        assert not at_import, f"{name} imports {imported} when it is imported; import it inside the function that needs it"


def layer(name: str) -> int | None:
    parts = name.split(".")
    if len(parts) == 1:
        return None  # the package itself: its public names are looked up lazily
    return next((i for i, rooms in enumerate(LAYERS) if parts[1] in rooms), -1)


@pytest.mark.parametrize("path", modules("bandrt"), ids=lambda p: module_name(p, "bandrt"))
def test_arrows_between_the_rooms_of_the_runtime_point_down(path: Path) -> None:
    name = module_name(path, "bandrt")
    own = layer(name)
    if own is None:
        return
    assert own >= 0, f"{name} has no layer: say where it belongs"
    for imported, _ in imports(path):
        if imported.split(".")[0] != "bandrt":
            continue
        other = layer(imported)
        if other is not None and other >= 0:
            assert other <= own, f"{name} (layer {own}) imports {imported} (layer {other})"


@pytest.mark.parametrize("path", modules("bandrt"), ids=lambda p: module_name(p, "bandrt"))
def test_only_the_command_line_reaches_training_and_export(path: Path) -> None:
    name = module_name(path, "bandrt")
    reaching = [i for i, _ in imports(path) if i.split(".")[0] in ("bandrt_train", "bandrt_export")]
    assert not reaching or name.startswith("bandrt.cli"), f"{name} imports {reaching}"


@pytest.mark.parametrize("path", modules("bandrt_train"), ids=lambda p: module_name(p, "bandrt_train"))
def test_training_does_not_import_export(path: Path) -> None:
    assert not [i for i, _ in imports(path) if i.startswith("bandrt_export")]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [module_name(p, package) for p in modules(package) if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
    assert not silent, f"no module docstring: {silent}"
