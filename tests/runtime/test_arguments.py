"""What callers hand over is checked when they do: a wrong word, number or kind is refused with what is allowed."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, BandrtError, ManifestError
from bandrt.manifest import BandRule, Bucket, EnsembleRule, Manifest, TrainingDomain
from bandrt.readers import parse
from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe, SymmetryRecipe
from bandrt.results.convert import convert
from bandrt.results.store import check_store
from bandrt.results.writer import Store
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.sources import Source, count, find
from tests.runtime.conftest import TINY_MANIFEST

SALT = Crystal.checked(2.82 * (np.ones((3, 3)) - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])

BOTH_SCHEMES = "'latimer_munro', 'setyawan_curtarolo'"
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "kpath scheme": (lambda: bandrt.kpath(SALT, scheme="banana"), f"scheme is 'banana', allowed: {BOTH_SCHEMES}"),
    "kpath no points": (lambda: bandrt.kpath(SALT, n_kpoints=0), "n_kpoints is 0, allowed: a whole number, 2 to 100000"),
    "kpath many points": (lambda: bandrt.kpath(SALT, n_kpoints=10**9), "n_kpoints is 1000000000, allowed"),
    "kpath half a point": (lambda: bandrt.kpath(SALT, n_kpoints=256.0), "n_kpoints is 256.0, allowed: a whole number"),
    "finder": (lambda: SymmetryRecipe(finder="spglib"), "finder is 'spglib', allowed: 'moyopy'"),
    "symprec": (lambda: SymmetryRecipe(symprec=0.0), "symprec is 0.0, allowed: a number, more than 0 to 1"),
    "symprec in no unit": (lambda: SymmetryRecipe(symprec=float("nan")), "symprec is nan"),
    "tie rule": (lambda: GraphRecipe(tie_rule="none"), "allowed: 'site_invariant', 'complete_shells'"),
    "direction": (lambda: GraphRecipe(direction=None), "direction is None, allowed: 'to_center', 'from_center'"),
    "neighbours": (lambda: GraphRecipe(n_neighbors=-1), "n_neighbors is -1, allowed: a whole number, 1 to 10000"),
    "a flag for a number": (lambda: GraphRecipe(n_neighbors=True), "n_neighbors is True"),
    "cutoff": (lambda: GraphRecipe(cutoff="8"), "cutoff is '8', allowed: a number, more than 0 to 100"),
    "tie tolerance": (lambda: GraphRecipe(tie_tolerance=-1.0), "tie_tolerance is -1.0"),
    "self images": (lambda: GraphRecipe(self_images="no"), "self_images is 'no', allowed: a bool"),
    "rule": (lambda: GraphRecipe(rule="all"), "rule is 'all', allowed: 'nearest', 'bonds'"),
    "reach": (lambda: GraphRecipe(rule="bonds", reach=0.0), "reach is 0.0, allowed: a number, more than 0 to 10"),
    "bonds without images": (lambda: GraphRecipe(rule="bonds", self_images=False), "rule is 'bonds', allowed: 'nearest'"),
    "bonds turned around": (lambda: GraphRecipe(rule="bonds", direction="from_center"), "rule is 'bonds', allowed: 'nearest'"),
    "spacing of a mesh": (lambda: MeshRecipe(spacing=-1), "spacing is -1, allowed: a number, more than 0 to 100"),
    "points of a mesh": (lambda: MeshRecipe(most=2.0), "most is 2.0, allowed: a whole number, 1 to 32"),
    "a mesh of numbers": (lambda: Recipe(mesh=(0.45, 6)), "mesh is (0.45, 6), allowed: a MeshRecipe"),
    "no solver of a Hamiltonian": (
        lambda: dataclasses.replace(TINY_MANIFEST, variant="hamiltonian"),
        "solver is None, allowed: a solver with the variant hamiltonian",
    ),
    "a solver of no Hamiltonian": (
        lambda: dataclasses.replace(TINY_MANIFEST, solver="lapack"),
        "solver is 'lapack', allowed: None with the variant paper",
    ),
    "frame": (lambda: KpathRecipe(frame="reduced"), "allowed: 'fractional', 'cartesian'"),
    "smoothing": (lambda: KpathRecipe(smoothing="spline"), "smoothing is 'spline', allowed: 'none'"),
    "a part of a recipe": (lambda: Recipe(kpath="latimer_munro"), "kpath is 'latimer_munro', allowed: a KpathRecipe"),
    "heaviest element": (lambda: Recipe(max_atomic_number=119), "max_atomic_number is 119, allowed: a whole number, 1 to 118"),
    "featurize recipe": (lambda: bandrt.featurize(SALT, "latimer_munro"), "recipe is 'latimer_munro', allowed: a Recipe"),
    "load path": (lambda: bandrt.load(5), "path is 5, allowed: a path"),
    "load device": (lambda: bandrt.load(device=0), "device is 0, allowed: a str"),
    "load threads": (lambda: bandrt.load(threads=-1), "threads is -1, allowed: a whole number, 1 to"),
    "load threads as text": (lambda: bandrt.load(threads="4"), "threads is '4'"),
    "mode": (lambda: check_store(Path("out"), "append"), "mode is 'append', allowed: 'new', 'resume', 'overwrite'"),
    "mode of a store": (lambda: Store(Path("nosuch"), engine_sha256="", mode="append"), "mode is 'append'"),
    "mode of a run": (lambda: InferOptions(mode="append"), "mode is 'append'"),
    "workers": (lambda: InferOptions(workers=-1), "workers is -1, allowed: a whole number, 0 to 1024"),
    "a timeout of yes": (lambda: InferOptions(timeout=True), "timeout is True, allowed: a number of seconds above 0"),
    "timeout": (lambda: InferOptions(timeout=0), "timeout is 0, allowed: a number of seconds above 0"),
    "no column": (lambda: InferOptions(structure_column=""), "structure_column is '', allowed: a str, not empty"),
    "no column to find": (lambda: find("a.csv", structure_column=""), "structure_column is '', allowed: a str, not empty"),
    "retry": (lambda: InferOptions(retry_failed="yes"), "retry_failed is 'yes'"),
    "format to read": (lambda: parse("", "pdb"), "file_format is 'pdb', allowed: 'cif', 'poscar', 'json', 'extxyz'"),
    "format to write": (
        lambda: convert(Path("out"), Path("f"), "excel"),
        "kind is 'excel', allowed: 'pymatgen', 'hdf5', 'parquet'",
    ),
    "sources": (lambda: find(5), "paths is 5, allowed: paths"),
    "a source": (lambda: count(["a.cif", None]), "each of paths is None, allowed: a path"),
    "out": (lambda: dry_run("a.cif", None, InferOptions()), "out is None, allowed: a path"),
    "results": (lambda: bandrt.read(None), "folder is None, allowed: paths"),
    "results of a dictionary": (lambda: bandrt.read({"a": "out"}), "folder is {'a': 'out'}, allowed: paths"),
    "results of an open file": (lambda: bandrt.read(io.StringIO("out")), "allowed: paths"),
    "sources of an array of one value": (lambda: find(np.array("a.cif")), "allowed: paths"),
    "a name that no file has": (lambda: bandrt.find("a\0b"), "allowed: a path"),
    "no folder": (lambda: bandrt.read(""), "folder is '', allowed: a path"),
    "a path of many": (lambda: bandrt.kpath(["a.cif"]), "item is ['a.cif'], allowed: one item: a path"),
    "a path of nothing": (lambda: bandrt.kpath(None), "item is None, allowed: a path"),
    "an engine of a path": (lambda: bandrt.Engine("model.onnx", Path("model.onnx")), "`bandrt.load` opens an engine"),
    "a name of one": (lambda: bandrt.featurize(SALT, name=3), "name is 3, allowed: a str"),
    "a name of many": (lambda: bandrt.featurize_many([SALT], names="a"), "names is 'a', allowed: a list"),
    "a name that is none": (lambda: bandrt.featurize_many([SALT], names=[3]), "each of names is 3, allowed: a str"),
    "no bands": (lambda: dataclasses.replace(TINY_MANIFEST, bands=None), "bands is None, allowed: a BandRule"),
    "a model of no JSON": (lambda: dataclasses.replace(TINY_MANIFEST, model={"a": float("nan")}), "plain values of JSON"),
    "an input that is no name": (lambda: dataclasses.replace(TINY_MANIFEST, inputs=(3,)), "each of inputs is 3, allowed: a str"),
    "a version of the manifest": (lambda: dataclasses.replace(TINY_MANIFEST, format_version=7), "format_version is 7"),
    "valence bands": (lambda: BandRule(n_bands=4, n_valence=4), "n_valence is 4, allowed: a whole number, 1 to 3"),
    "a tolerance": (lambda: BandRule(metal_tolerance_ev=-0.1), "metal_tolerance_ev is -0.1"),
    "a bucket": (lambda: Bucket(5, 4, 1, 1), "max_atoms is 4, allowed: a whole number, 5 or more"),
    "fewer crystals than none": (lambda: TrainingDomain(n_crystals=-1), "n_crystals is -1"),
    "errors that are no numbers": (
        lambda: TrainingDomain(metrics={"mae": float("nan")}),
        "metrics['mae'] is nan, allowed: a finite number",
    ),
    "a kept value": (lambda: Source("a", "a", "cif", "", {"b": 3}), "kept['b'] is 3, allowed: a str"),
    "a kept name": (lambda: Source("a", "a", "cif", "", {3: "b"}), "a key of kept is 3, allowed: a str"),
    "a note": (lambda: Source("a", "a", "cif", "", {}, ("b", None)), "each of notes is None, allowed: a str"),
    "notes that are none": (lambda: Source("a", "a", "cif", "", {}, ["b"]), "notes is ['b'], allowed: a tuple"),
    "a number that has no end": (lambda: EnsembleRule(("a",), math.inf, 1.0, 1), "floor_ev is inf, allowed: a finite number"),
    "an id": (lambda: bandrt.read_one("out", 5), "id is 5, allowed: a str"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_allowed_is_refused_with_what_is(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in caught.value.message
    assert caught.value.code == "bad-argument"
    assert isinstance(caught.value, BandrtError)
    assert isinstance(caught.value, ValueError), "what Python calls it"
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64, np.uint8])
def test_numbers_of_numpy_are_numbers(kind: type) -> None:
    assert SymmetryRecipe(symprec=kind(1)).symprec == 1.0
    assert bandrt.Criteria(gap=(kind(1), kind(2))).gap == (1.0, 2.0)
    assert bandrt.Criteria(gap=np.array([1, 2], kind)).gap == (1.0, 2.0)  # type: ignore[arg-type]
    assert type(InferOptions(timeout=kind(7)).timeout) is float


@pytest.mark.parametrize("value", [np.True_, np.float32("nan"), np.complex64(1), np.array(1.0), "1"])
def test_what_numpy_has_beside_numbers_is_none(value: object) -> None:
    with pytest.raises(ArgumentError, match="symprec is"):
        SymmetryRecipe(symprec=value)  # type: ignore[arg-type]


def test_the_value_found_is_told_in_short() -> None:
    with pytest.raises(ArgumentError) as caught:
        KpathRecipe(scheme="x" * 10_000)
    assert len(caught.value.message) < 200


def test_numbers_of_numpy_are_numbers_and_stay_plain_in_a_recipe() -> None:
    recipe = Recipe(
        SymmetryRecipe(symprec=1), GraphRecipe(cutoff=np.float64(6), n_neighbors=np.int64(8)), KpathRecipe(n_kpoints=np.int32(50))
    )
    assert json.loads(json.dumps(dataclasses.asdict(recipe)))["graph"]["n_neighbors"] == 8
    assert bandrt.kpath(SALT, n_kpoints=np.int64(50)).frac_kpoints.shape == (50, 3)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("kpath", "scheme", "banana"), ("kpath", "n_kpoints", 0), ("graph", "n_neighbors", -1), ("symmetry", "symprec", 0.0)],
)
def test_a_manifest_with_an_impossible_recipe_is_a_manifest_error(part: str, field: str, value: Any) -> None:
    values = json.loads(TINY_MANIFEST.to_json())
    values["recipe"][part][field] = value
    with pytest.raises(ManifestError, match=field) as caught:
        Manifest.from_json(json.dumps(values))
    assert caught.value.code == "manifest-invalid"


def test_paths_of_a_run_may_be_text_and_one_alone(tiny_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]) -> None:
    path = tmp_path / "salt.cif"
    path.write_text(rock_salt())
    options = InferOptions(engine=str(tiny_engine), workers=1, threads=1)  # type: ignore[arg-type]
    assert dry_run(str(path), str(tmp_path / "out"), options)["inputs"] == 1
    assert infer(str(path), str(tmp_path / "out"), options).predicted == 1
    assert [source.id for source in find(str(path))] == ["salt"]
    assert count(path) == 1
    out = str(tmp_path / "out")
    assert [p.id for p in bandrt.read(out)] == [p.id for p in bandrt.read(Path(out))] == ["salt"]
    assert [p.id for p in bandrt.read([out, out])] == ["salt", "salt"]
    assert bandrt.read_one(out, "salt").n_bands == 6
