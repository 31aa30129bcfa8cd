"""No hidden state: imports leave nothing behind, frozen values stay as they are made, limits of Python stay as they were."""

from __future__ import annotations

import ast
import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.sources.tables import csv_records, rows
from bandrt.symmetry.standard_cell import standardize

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime/bandrt", "train/bandrt_train", "export/bandrt_export")


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module under some folders, by its path."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls(node: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of a function or method of this name within a node."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and name in (getattr(inner.func, "attr", ""), getattr(inner.func, "id", "")):
            yield inner


def test_no_logger_is_made_when_a_module_is_imported() -> None:
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = [
        path
        for path, module in modules(*PACKAGES)
        for statement in module.body
        if not isinstance(statement, functions) and any(calls(statement, "getLogger"))
    ]
    assert not found


def test_no_frozen_value_is_filled_later() -> None:
    found = []
    for path, module in modules(*PACKAGES):
        for kind in (node for node in ast.walk(module) if isinstance(node, ast.ClassDef)):
            decorators = " ".join(map(ast.unparse, kind.decorator_list))
            if "frozen=True" in decorators:
                later = [one for one in kind.body if getattr(one, "name", "") != "__post_init__"]  # which makes the value
                text = "\n".join(map(ast.unparse, later))
                found += [f"{path}: {kind.name}" for word in ("cached_property", "object.__setattr__", "@cache") if word in text]
    assert not found


def test_one_place_alone_raises_the_length_of_a_table_field() -> None:
    found = {path for path, module in modules(*PACKAGES, "benchmarks", "tools") if any(calls(module, "field_size_limit"))}
    assert found == {"runtime/bandrt/sources/tables.py"}


@pytest.mark.parametrize("read_to_the_end", [True, False])
def test_the_length_of_a_table_field_is_as_before_between_rows(read_to_the_end: bool) -> None:
    before = csv.field_size_limit()
    text = f"id,cif\na,{'x' * (before + 1)}\n\nb\n"
    columns, records = csv_records(io.StringIO(text))
    first = next(records)
    assert columns == ["id", "cif"]
    assert len(first["cif"]) == before + 1
    assert csv.field_size_limit() == before
    if read_to_the_end:
        assert list(records) == [{"id": "b", "cif": ""}]
    for _ in rows(io.BytesIO(text.encode()), "t.csv", "t.csv", "t.csv"):
        assert csv.field_size_limit() == before


def test_the_finder_warns_of_no_supercell_and_its_logger_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("moyo")
    level = logger.level
    corners = np.array([[0, 0, 0], [0, 0, 0.5]])
    standardize(Crystal(np.diag([4.0, 4.0, 8.0]), np.array([29, 29], np.int32), corners))
    assert logger.level == level
    assert not caplog.records
