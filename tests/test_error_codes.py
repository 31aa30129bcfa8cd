"""Every error code is documented, every documented code is made somewhere, and each says with one exit code what it is.

Codes are collected from the source: a function or class that makes errors is one that hands a parameter of its own on as the code
of another, down to `BandrtError`. What it is called with is a literal, a choice of literals, a name that stands for some, or the
code of an error that there is already.
"""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.domain import NO_INFERENCE, handed_over, of_filling, warnings
from bandrt.error_codes import WARNINGS, ErrorCode
from bandrt.errors import BandrtError, OutputError, OutputInTheWayError, UsageError
from bandrt.features import featurize_many
from bandrt.graph.bonded_network import network_warnings
from bandrt.manifest import TrainingDomain
from bandrt.outcomes import only
from bandrt.readers import read_cif, read_extxyz
from bandrt.sources import find
from tests.support.cif_texts import WITHOUT_SYMBOL, cif_cell, cif_sites

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "bandrt": ROOT / "runtime" / "bandrt",
    "bandrt_train": ROOT / "train" / "bandrt_train",
    "bandrt_export": ROOT / "export" / "bandrt_export",
}
"""From the ground up: a code that several raise stands in the table of the first."""
RECORDS = {"Refusal": "code", "Failure": "code", "FailedDownload": "code", "FoundFile": "problem"}
"""What keeps the code of an error without being one, and in which field; a problem is a code and a reason."""
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
SENTENCE = re.compile(r"[A-Z*].*\.")
NOT_IN_THE_WAY = {"output-unwritable", "output-locked", "output-not-found", "output-removed"}
"""Codes of outputs that no other choice of options avoids: nothing stands there that would have to be kept."""


class Class(NamedTuple):
    """A class of errors, as the source says."""

    bases: tuple[str, ...]
    fixed: str | None
    """The code of all its errors, where the constructor takes none."""
    sets_exit_code: bool


class Site(NamedTuple):
    """A place where a code is made."""

    code: str
    package: str
    kind: str
    """The class of errors, function or record that it is given to."""
    place: str


class Scope(NamedTuple):
    """A call, and the functions and module around it."""

    call: ast.Call
    around: tuple[ast.AST, ...]
    package: str
    place: str


@cache
def trees() -> Mapping[Path, tuple[str, ast.Module]]:
    return {
        path: (package, ast.parse(path.read_text(encoding="utf-8")))
        for package, folder in PACKAGES.items()
        for path in sorted(folder.rglob("*.py"))
    }


@cache
def classes() -> Mapping[str, Class]:
    """Every class of errors by its name, `BandrtError` first."""
    nodes = [node for _, tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {"BandrtError": Class((), None, True)}
    for _ in nodes:  # until nothing is added: a base may stand in a later module
        known = len(found)
        for node in nodes:
            bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
            if node.name not in found and any(base in found for base in bases):
                assigned = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
                sets = any(isinstance(target, ast.Name) and target.id == "exit_code" for target in assigned)
                found[node.name] = Class(bases, _fixed_code(node), sets)
        if len(found) == known:
            break
    return found


def _fixed_code(node: ast.ClassDef) -> str | None:
    """What a constructor without a parameter `code` gives to that of its base."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__" and "code" not in _parameters(item):
            calls = [call for call in ast.walk(item) if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"]
            assert len(calls) == 1, node.name
            first = calls[0].args[0]
            assert isinstance(first, ast.Constant), f"{node.name}: its code is not written out"
            return str(first.value)
    return None


def exit_code(kind: str) -> int:
    """With which exit code a command ends that an error of this class stops."""
    return (
        UsageError.exit_code
        if kind == "UsageError" or any(exit_code(b) == 2 for b in classes()[kind].bases if b in classes())
        else 1
    )


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]


@cache
def calls() -> tuple[Scope, ...]:
    def visit(node: ast.AST, around: tuple[ast.AST, ...], package: str, path: Path) -> Iterator[Scope]:
        for child in ast.iter_child_nodes(node):
            inner = (*around, child) if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else around
            if isinstance(child, ast.Call):
                yield Scope(child, around, package, f"{path.relative_to(ROOT)}:{child.lineno}")
            yield from visit(child, inner, package, path)

    return tuple(scope for path, (package, tree) in trees().items() for scope in visit(tree, (tree,), package, path))


def called(call: ast.Call) -> str:
    """The name of what is called; of what is not ours, with where it is from."""
    if ast.unparse(call.func).startswith("click."):
        return ast.unparse(call.func)
    return call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """What a call gives to a parameter; None where it spreads a mapping or an existing problem."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    spread = any(isinstance(one, ast.Starred) for one in call.args[: position + 1])
    return None if spread or position >= len(call.args) else call.args[position]


def literals(value: ast.expr, around: tuple[ast.AST, ...]) -> set[str] | None:
    """The codes that an expression stands for; empty for the code of an error that there is already, None where nobody can tell."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value}
    if isinstance(value, ast.IfExp):
        both = literals(value.body, around), literals(value.orelse, around)
        return None if both[0] is None or both[1] is None else both[0] | both[1]
    if isinstance(value, ast.Attribute) and value.attr == "code":
        return set()
    if isinstance(value, ast.Name):
        found = {code for scope in around for code in _stands_for(value.id, scope)}
        return found or None
    return None


def _stands_for(name: str, scope: ast.AST) -> Iterator[str]:
    """Literals that a name is assigned, or takes in a loop over written-out tuples."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            pairs = [(node.target, row) for row in node.iter.elts]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from (
                    str(one.value)
                    for part, one in zip(target.elts, value.elts, strict=False)
                    if isinstance(part, ast.Name) and part.id == name and isinstance(one, ast.Constant)
                )
            elif isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.Constant):
                yield str(value.value)


def own_parameter(value: ast.expr, around: tuple[ast.AST, ...]) -> tuple[ast.FunctionDef, int] | None:
    """The function whose parameter an expression is, and at which place."""
    for scope in reversed(around):
        if isinstance(scope, ast.FunctionDef) and isinstance(value, ast.Name) and value.id in _parameters(scope):
            return scope, _parameters(scope).index(value.id)
    return None


def _makers_at_first() -> dict[str, tuple[int, str]]:
    makers = {name: (0, "code") for name, kind in classes().items() if kind.fixed is None and not _inherits_fixed(name)}
    for _, tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in RECORDS:
                fields = [f.target.id for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
                makers[node.name] = (fields.index(RECORDS[node.name]), RECORDS[node.name])
    return makers


def _inherits_fixed(name: str) -> bool:
    kind = classes().get(name)
    return kind is not None and (kind.fixed is not None or any(_inherits_fixed(base) for base in kind.bases))


@cache
def sites() -> tuple[Site, ...]:
    """Every place where a code is made, in all three packages."""
    makers = _makers_at_first()
    assert makers.keys() >= RECORDS.keys()
    found: set[Site] = set()
    unclear: set[str] = set()
    growing = True
    while growing:
        growing = False
        found.clear()
        unclear.clear()
        for scope in calls():
            name = called(scope.call)
            if name not in makers:
                continue
            value = argument(scope.call, *makers[name])
            if value is None:
                continue
            if name == "FoundFile" and isinstance(value, ast.Tuple):
                value = value.elts[0]
            handed_on = own_parameter(value, scope.around)
            codes = set[str]() if handed_on is not None else literals(value, scope.around)
            if handed_on is not None and handed_on[0].name not in makers and handed_on[0].name != "__init__":
                makers[handed_on[0].name] = (handed_on[1], _parameters(handed_on[0])[handed_on[1]])
                growing = True
            if codes is None:
                unclear.add(f"{scope.place}: {ast.unparse(scope.call)[:100]}")
            found |= {Site(code, scope.package, name, scope.place) for code in codes or ()}
    assert not unclear, f"write these codes out, so that they can be found: {sorted(unclear)}"
    for package, tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (kind := classes().get(node.name)) and kind.fixed is not None:
                found.add(Site(kind.fixed, package, node.name, node.name))
    return tuple(sorted(found))


def table(package: str) -> Mapping[str, ErrorCode]:
    codes: Mapping[str, ErrorCode] = importlib.import_module(f"{package}.error_codes").CODES
    return codes


@pytest.mark.parametrize("package", PACKAGES)
def test_every_code_that_is_made_is_documented_in_the_lowest_package_that_makes_it(package: str) -> None:
    lower = list(PACKAGES)[: list(PACKAGES).index(package)]
    made = {site.code for site in sites() if site.package == package} - {s.code for s in sites() if s.package in lower}
    documented = set(table(package))
    assert made - documented == set(), "say in error_codes.py what these mean, and what mends them"
    assert documented - made == set(), "nothing raises these any more, or a lower package does"


def test_the_collector_finds_every_way_in_which_codes_are_made() -> None:
    found = {(site.code, site.kind) for site in sites()}
    for expected in (
        ("no-atoms", "InputError"),
        ("unsupported-format", "FoundFile"),
        ("unreadable", "refused"),
        ("duplicate-id", "Refusal"),
        ("no-band-structure", "FailedDownload"),
        ("download-failed", "FailedDownload"),
        ("other-bands", "EnsembleError"),
        ("out-of-memory", "OutOfMemoryError"),
        ("missing-package", "MissingPackageError"),
        ("output-foreign", "OutputInTheWayError"),
        ("plan-precision", "ExportError"),
    ):
        assert expected in found


@pytest.mark.parametrize("entry", [e for p in PACKAGES for e in table(p).values()] + [*WARNINGS.values()], ids=lambda e: e.code)
def test_a_code_is_explained_in_sentences(entry: ErrorCode) -> None:
    assert CODE.fullmatch(entry.code)
    for text in (entry.cause, entry.mend):
        assert SENTENCE.fullmatch(text), text
        assert "  " not in text
    assert entry.cause.count(". ") == 0, "the cause is one sentence"
    assert entry.mend.count(". ") <= 1, "the mend is two sentences at most"


@pytest.mark.parametrize("package", PACKAGES)
def test_tables_are_by_code(package: str) -> None:
    assert all(code == entry.code for code, entry in table(package).items())


def test_each_code_has_one_exit_code() -> None:
    ends: dict[str, set[int]] = {}
    for site in sites():
        if site.kind in classes():
            ends.setdefault(site.code, set()).add(exit_code(site.kind))
    assert [code for code, several in ends.items() if len(several) > 1] == []


def test_an_output_in_the_way_is_always_wrong_usage() -> None:
    outputs = [site for site in sites() if site.code.startswith("output-")]
    assert outputs
    for site in outputs:
        assert exit_code(site.kind) == (1 if site.code in NOT_IN_THE_WAY else 2), f"{site.place}: {site.code}"


def test_what_is_named_and_not_there_is_always_fatal() -> None:
    lost = [site for site in sites() if site.code.endswith("-not-found") and site.kind in classes()]
    assert {site.code for site in lost} >= {"file-not-found", "engine-not-found", "checkpoint-not-found", "dataset-not-found"}
    assert {exit_code(site.kind) for site in lost} == {1}


def test_exit_codes_are_set_in_one_place_each() -> None:
    assert {name for name, kind in classes().items() if kind.sets_exit_code} == {"BandrtError", "UsageError"}
    assert (BandrtError.exit_code, UsageError.exit_code, OutputError.exit_code, OutputInTheWayError.exit_code) == (1, 2, 1, 2)


def classes_in(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name in classes()]


@pytest.mark.parametrize(
    "path", [p for p, (_, tree) in trees().items() if classes_in(tree)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_errors_of_every_class_survive_pickling(path: Path) -> None:
    package, tree = trees()[path]
    parts = path.relative_to(PACKAGES[package].parent).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    for name in classes_in(tree):
        kind = getattr(module, name)
        fixed = {"OutOfMemoryError": ("too large",), "MissingPackageError": ("h5py", "hdf5", "converting")}
        error = kind(*fixed.get(name, ("a-code", "a message")))
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind
        assert (copy.code, copy.message, copy.exit_code, str(copy)) == (error.code, error.message, exit_code(name), str(error))


_CELL = "data_x\n" + cif_cell(5, 6, 7)
_SITE = cif_sites("Mn1 0 0 0", columns=WITHOUT_SYMBOL)
_MOMENT = "loop_\n_atom_site_moment.label\n_atom_site_moment.crystalaxis_x\nMn1 4.0\n"
CHARGED = '2\nLattice="4 0 0 0 4 0 0 0 4" charge=1\nCs 0 0 0\nCl 2 2 2\n'
NOTED_CIFS = (_CELL + _SITE + _MOMENT, _CELL + "_space_group_IT_number 3\n" + _SITE)


def test_every_warning_is_documented_and_given(tmp_path: Path) -> None:
    crystal = Crystal(4.0 * np.eye(3), np.array([3, 26, 82], np.int32), np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]], np.float64))
    large = TrainingDomain(n_crystals=1, elements=("Fe",), max_atoms=2, gap_elements=("Pb",), gap_max_atoms=3)
    small = TrainingDomain(n_crystals=1, elements=("Fe",), max_atoms=2, gap_elements=("Pb",), gap_max_atoms=2)
    lithium = Crystal.checked(3.0 * np.eye(3), [3], [[0, 0, 0]])
    said = [NO_INFERENCE, handed_over("fast"), *of_filling(lithium, is_metal=False)]
    said += [*(warning for domain in (large, small) for warning in warnings(crystal, domain))]
    boxes = [(1.5, 1.5), (1.5, 20.0), (20.0, 20.0)]  # Å, across carbon that repeats every 1.5 Å: a solid, a layer, a chain
    carbon = [Crystal.checked(np.diag([1.5, *sides]), [6], [[0, 0, 0]]) for sides in boxes]
    pairs = [Crystal.checked(15.0 * np.eye(3), [1, 1], [[0, 0, 0], [0, 0, apart / 15.0]]) for apart in (0.4, 0.74, 7.0)]
    found = [only(featurize_many([one])) for one in (*carbon, *pairs)]
    said += [warning for codes in network_warnings([one.crystal for one in found], found) for warning in codes]
    said += [*(note for text in NOTED_CIFS for note in read_cif(text).notes), *read_extxyz(CHARGED).notes]
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps({'cif': _CELL + _SITE})}\n".encode())[:-8])
    said += next(find(tmp_path)).read().notes
    assert {warning.partition(":")[0] for warning in said} == set(WARNINGS)
