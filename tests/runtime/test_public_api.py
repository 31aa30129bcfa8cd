"""Every public name, found by introspection: a wrong word, or a value of another kind, is refused with what is allowed."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import bandrt
from bandrt import ArgumentError, BandRule, BandStructure, Crystal, Features, Manifest, Recipe, error_codes
from bandrt.quoting import MOST_OF_MESSAGE
from bandrt.readers import text
from bandrt.recipe import KpathRecipe
from tests.runtime.conftest import TINY_MANIFEST

SALT = Crystal.checked(2.82 * (np.ones((3, 3)) - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
ROOT = Path(__file__).resolve().parents[2]
MOST_OF_REPR = 200
SCALARS = {str: (3, b"x", ["a"]), bool: ("no", 1, None), int: ("3", 2.5, True), float: ("3", True, float("nan"))}
"""What is of another kind, by what is wanted."""


@cache
def features() -> Features:
    return bandrt.featurize(SALT, Recipe(kpath=KpathRecipe(n_kpoints=64)))


@cache
def bands() -> BandStructure:
    path = features().kpath
    return BandStructure(
        energies=np.linspace(-3, 3, 6)[:, None] * np.ones(64), frac_kpoints=path.frac_kpoints, kpoint_distance=path.kpoint_distance,
        labels=path.labels, label_indices=path.label_indices, crystal=SALT, space_group=225, space_group_symbol="Fm-3m",
        scheme="latimer_munro", rule=BandRule(),
    )  # fmt: skip


def attributes(given: Any) -> dict[str, Any]:
    return {name: getattr(given, name) for name in type(given).__dataclass_fields__}


RIGHT: dict[str, Callable[[], dict[str, Any]]] = {
    "ArgumentError": lambda: {"code": "bad-argument", "message": ""},
    "BandRule": dict,
    "BandRule.widened": lambda: {"bands": 8},
    "BandStructure": lambda: attributes(bands()),
    "BandStructure.plot": dict,
    "Criteria": dict,
    "Crystal.checked": lambda: {name: value for name, value in attributes(SALT).items() if name != "notes"},
    "Engine.featurize": lambda: {"item": SALT},
    "Engine.hamiltonian": lambda: {"item": SALT},
    "Engine.holds": lambda: {"size": 2, "away": False},
    "Engine.manifest_of": lambda: {"away": False},
    "Engine.predict": lambda: {"items": [SALT]},
    "Engine.save_batch": lambda: {"items": [SALT], "folder": "nowhere"},
    "Failure": lambda: {"id": "a", "path": "", "stage": "read", "code": "no-atoms", "message": ""},
    "GraphRecipe": dict,
    "InputError": lambda: {"code": "no-atoms", "message": ""},
    "InputError.about": lambda: {"name": "a"},
    "KPath": lambda: attributes(features().kpath),
    "KpathRecipe": dict,
    "Manifest": lambda: attributes(TINY_MANIFEST),
    "Manifest.from_json": lambda: {"text": TINY_MANIFEST.to_json()},
    "MergeReport": lambda: {"n_runs": 1, "n_predicted": 1, "n_failed": 0, "n_repeated": 0, "is_whole": True},
    "MeshRecipe": dict,
    "Prediction": lambda: {"id": "a", "path": "", "band_structure": bands()},
    "Recipe": dict,
    "Source": lambda: {"id": "a", "path": "a", "format": "cif", "content": ""},
    "SymmetryRecipe": dict,
    "featurize": lambda: {"item": SALT},
    "featurize_many": lambda: {"items": [SALT]},
    "find": lambda: {"paths": "nosuch"},
    "kpath": lambda: {"item": SALT},
    "load": dict,
    "merge": lambda: {"folders": "nosuch", "out": "nowhere"},
    "read": lambda: {"folder": "nosuch"},
    "screen": lambda: {"folders": "nosuch", "criteria": bandrt.Criteria(gap=(1.0, 2.0))},
    "write_report": lambda: {"folder": "nosuch", "target": "nowhere.html"},
    "read_one": lambda: {"folder": "nosuch", "id": "a"},
}
"""The other arguments of everything that takes a word, a text, a number, or yes or no."""
MAY_BE_NAN = {"Prediction(uncertainty_ev=)"}
"""Numbers of which nan says that nothing can be said."""
MADE_HERE = {"BandEdge", "Features"}
"""Results that this package alone makes, a plain tuple and one of many arrays; they take no word of a few."""
ERRORS = {name for name in bandrt.__all__ if inspect.isclass(kind := getattr(bandrt, name)) and issubclass(kind, Exception)}


class Parameter(NamedTuple):
    """One parameter of something public."""

    owner: str
    name: str
    hint: Any
    call: Callable[..., Any]

    def __str__(self) -> str:
        return f"{self.owner}({self.name}=)"


def callables() -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """Every public function, constructor and method: its name, what is called, and what has the types of its parameters."""
    for name in bandrt.__all__:
        public = getattr(bandrt, name)
        if isinstance(public, types.FunctionType):
            yield name, public, public
        if not isinstance(public, type) or (
            name in MADE_HERE and not any(get_origin(hint) is Literal for hint in get_type_hints(public).values())
        ):
            continue
        yield name, public, public.__init__  # type: ignore[misc]
        for method, found in inspect.getmembers_static(public):
            plain = found.__func__ if isinstance(found, classmethod) else found
            if not method.startswith("_") and isinstance(plain, types.FunctionType) and "bandrt" in plain.__module__:
                yield f"{name}.{method}", getattr(public, method), plain


def parameters() -> list[Parameter]:
    found = []
    for owner, call, typed in callables():
        for name, hint in get_type_hints(typed).items():
            if name not in ("return", "self"):
                found.append(Parameter(owner, name, hint, call))
    return found


def kinds_of(hint: Any) -> list[Any]:
    """What a parameter takes, None aside."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [option for option in options if option is not type(None)]


def words(parameter: Parameter) -> bool:
    return any(get_origin(kind) is Literal for kind in kinds_of(parameter.hint))


def scalar(parameter: Parameter) -> bool:
    """Whether it takes a text, a number, or yes or no, and nothing else; the texts of an error are written by this package."""
    [*kinds] = kinds_of(parameter.hint)
    return len(kinds) == 1 and kinds[0] in SCALARS and parameter.owner.partition(".")[0] not in ERRORS


@pytest.fixture(scope="module")
def of_method(tiny_engine: Path) -> Iterator[dict[str, Any]]:
    """Objects whose methods are called, by their class."""
    with bandrt.load(tiny_engine, threads=1) as engine:
        yield {"Engine": engine, "BandRule": BandRule(), "BandStructure": bands(), "InputError": bandrt.InputError("no-atoms", "a")}


def called(parameter: Parameter, value: Any, objects: dict[str, Any]) -> Any:
    """Call it with one argument that is wrong, and the others right."""
    assert parameter.owner in RIGHT, f"{parameter}: say in RIGHT with what it is called"
    owner, _, method = parameter.owner.partition(".")
    call = getattr(objects[owner], method) if owner in objects and method else parameter.call
    return call(**RIGHT[parameter.owner]() | {parameter.name: value})


@pytest.mark.parametrize("parameter", [p for p in parameters() if words(p)], ids=str)
def test_a_word_that_is_none_of_the_allowed_is_refused_with_those_that_are(parameter: Parameter, of_method: dict[str, Any]) -> None:
    [literal] = [kind for kind in kinds_of(parameter.hint) if get_origin(kind) is Literal]
    for wrong in ("banana", "x" * 10_000, 3, ["a"], None):
        if wrong is None and type(None) in get_args(parameter.hint):
            continue
        with pytest.raises(ArgumentError) as caught:
            called(parameter, wrong, of_method)
        assert parameter.name in caught.value.message
        assert all(repr(word) in caught.value.message for word in get_args(literal))
        assert len(caught.value.message) < 400


@pytest.mark.parametrize("parameter", [p for p in parameters() if scalar(p)], ids=str)
def test_a_value_of_another_kind_is_refused_by_its_name(parameter: Parameter, of_method: dict[str, Any]) -> None:
    [kind] = kinds_of(parameter.hint)
    for wrong in SCALARS[kind]:
        if (wrong is None and len(get_args(parameter.hint)) > 1) or (wrong != wrong and str(parameter) in MAY_BE_NAN):
            continue
        with pytest.raises(ArgumentError, match=parameter.name):
            called(parameter, wrong, of_method)


def test_the_walk_finds_what_it_is_for() -> None:
    found = {str(parameter) for parameter in parameters() if words(parameter)}
    assert {
        *("Manifest(variant=)", "Manifest(precision=)", "BandStructure(scheme=)", "Failure(stage=)", "InputError(stage=)"),
        *("kpath(scheme=)", "KPath(scheme=)", "Source(format=)", "GraphRecipe(tie_rule=)", "KpathRecipe(frame=)"),
    } <= found
    assert {"featurize(name=)", "BandStructure.plot(full_walk=)", "read_one(id=)"} <= {str(p) for p in parameters() if scalar(p)}


NAMED = re.compile(r"\bbandrt(?:\.[A-Za-z_]\w*)+(?!\w*[(/]?\.(?:md|css|fish|toml))")


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for n_modules in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:n_modules]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[n_modules:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def texts() -> Iterator[tuple[str, str]]:
    """All that users read: pages, and texts in the code, messages and docstrings alike."""
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")):
        yield page.name, page.read_text(encoding="utf-8")
    for source in (ROOT / "runtime" / "bandrt").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{source.name}:{node.lineno}", node.value


def test_every_name_that_users_are_told_of_is_there() -> None:
    named = {(place, name) for place, said in texts() for name in NAMED.findall(said)}
    assert len(named) > 50
    files = {"bandrt.fish", "bandrt.css", "bandrt.sha256"}
    missing = sorted({entry for entry in named if entry[1] not in files and not resolves(entry[1])})
    assert not missing


def test_advice_names_public_names_only() -> None:
    advice = [text.SEARCH, *(entry.mend for entry in error_codes.CODES.values()), *(w.mend for w in error_codes.WARNINGS.values())]
    names = {name.removeprefix("bandrt.") for said in advice for name in NAMED.findall(said)}
    assert "find" in names
    assert names <= set(bandrt.__all__)


LONG = "x" * 10_000


def test_whatever_is_given_reprs_are_short_and_on_one_line(of_method: dict[str, Any]) -> None:
    training = dataclasses.replace(
        TINY_MANIFEST.training, elements=tuple(["Na"] * 118), metrics={f"{LONG}{i}": 0.1 for i in range(50)}, functional=LONG
    )
    shown = [
        bandrt.Source(LONG, f"{LONG}.cif", "cif", LONG),
        bandrt.Failure(LONG, LONG, "read", LONG, f"two\nlines {LONG}"),
        bandrt.Prediction(f"two\nlines {LONG}", LONG, bands(), warnings=(LONG,)),
        dataclasses.replace(bands(), labels=(LONG,) * len(bands().labels)),
        dataclasses.replace(features().kpath, labels=(LONG,) * 5),
        Crystal(np.eye(3) * 100, np.arange(1, 119, dtype=np.int32), np.zeros((118, 3))),
        bands(), features(), features().kpath, Recipe(), BandRule(), TINY_MANIFEST, training,
        *(Recipe().symmetry, Recipe().graph, Recipe().kpath, TINY_MANIFEST.profile, TINY_MANIFEST.backend),
        dataclasses.replace(TINY_MANIFEST.backend, version=LONG, targets=(LONG,)),
        of_method["Engine"], of_method["Engine"].session, bands().vbm,
        bandrt.BandEdge(-1.061e-16, 0, (0.5, -1e-17, 1 / 3), LONG), bandrt.InputError("no-atoms", LONG),
    ]  # fmt: skip
    lines = [repr(one) for one in shown]
    assert not [line for line in lines if "\n" in line or "array(" in line]
    with_message = (Exception, bandrt.Failure)
    assert not [ln for one, ln in zip(shown, lines, strict=True) if len(ln) > MOST_OF_REPR and not isinstance(one, with_message)]
    assert max(map(len, lines)) < MOST_OF_MESSAGE + 150


def test_a_failure_shows_its_message_to_the_end() -> None:
    message = f"a.cif: {'412 atoms in the primitive cell, ' * 10}--max-atoms 412 takes it"
    assert repr(bandrt.Failure("a", "a.cif", "batch", "too-many-atoms", message)) == f"Failure('a', too-many-atoms: {message})"


def test_rounding_noise_is_no_energy_and_no_coordinate() -> None:
    edge = bandrt.BandEdge(-1.061e-16, 0, (0.5, -1e-17, 1 / 3), None)
    assert repr(edge) == "BandEdge(0.000 eV at (0.5, 0, 0.3333))"


def test_what_notebooks_show_is_escaped_and_short() -> None:
    html = bandrt.Prediction(f"<script>{LONG}", f"</td>{LONG}", bands(), warnings=("<b>",))._repr_html_()
    table = re.sub("<img.*", "", html)
    assert "<script>" not in table
    assert "<b>" not in table
    assert len(table) < 3_000


@pytest.mark.parametrize(
    "call",
    [
        lambda: bandrt.featurize(LONG),
        lambda: bandrt.featurize(f"{LONG}.cif"),
        lambda: bandrt.featurize("{" + LONG + "}"),
        lambda: bandrt.kpath(f"{LONG}\n{LONG}"),
        lambda: bandrt.featurize(SALT, LONG),  # type: ignore[call-overload]
        lambda: bandrt.load(LONG),
        lambda: bandrt.load(f"{LONG}.onnx"),
        lambda: bandrt.load(device=LONG),
        lambda: list(bandrt.find(LONG)),
        lambda: bandrt.read(LONG),
        lambda: bandrt.read_one(LONG, LONG),
        lambda: Manifest.from_json(LONG),
        lambda: Manifest.from_json(TINY_MANIFEST.to_json().replace('"paper"', f'"{LONG}"')),
        lambda: Manifest.from_json(TINY_MANIFEST.to_json().replace('"variant"', f'"{LONG}"'), name=LONG),
        lambda: Crystal(LONG, LONG, LONG),  # type: ignore[arg-type]
    ],
)
def test_an_error_quotes_a_piece_of_what_was_given(call: Callable[[], Any]) -> None:
    with pytest.raises(bandrt.BandrtError) as caught:
        call()
    assert len(caught.value.message) <= MOST_OF_MESSAGE
    assert len(str(caught.value)) <= MOST_OF_MESSAGE
