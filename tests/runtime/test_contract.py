"""The graph contract: one table, complete and readable, of which nothing else has a copy."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.cli import run
from bandrt.contract import (
    BAND_ENERGIES,
    DIMENSIONS,
    DTYPES,
    GRAPH_INPUTS,
    HAMILTONIAN,
    HAMILTONIAN_NAMES,
    INPUT_NAMES,
    INPUTS,
    INVERSION,
    NOWHERE,
    OUTPUT_NAMES,
    OUTPUTS,
    OVERLAPS,
    REQUIRED_INPUTS,
    TENSORS,
    TensorSpec,
    known_sizes,
)
from bandrt.engine import open_session, read_manifest
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.errors import BandrtError
from bandrt.features import Features
from bandrt.manifest import METADATA_KEY, Manifest, Solver
from bandrt.recipe import GraphRecipe, MeshRecipe

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"B": 2, "C": 1, "N": 5, "D": 3, "M": 4, "K": 7, "n_bands": 6}
COPIED = 4
"""Names of inputs in one literal that are a copy of the table and no coincidence."""


def test_every_tensor_explains_itself() -> None:
    assert len(TENSORS) == len(INPUTS) + len(OUTPUTS) == len({*INPUT_NAMES, *OUTPUT_NAMES})
    for tensor in TENSORS.values():
        assert tensor.meaning
        assert tensor.dims[0] == ("C" if tensor.name in INVERSION else "B")
        assert all(isinstance(dim, int) or dim in DIMENSIONS for dim in tensor.dims)
        assert tensor.dtype == DTYPES[tensor.name] in ("int32", "float32", "bool")


def test_what_every_engine_takes_comes_first() -> None:
    assert INPUT_NAMES[: len(REQUIRED_INPUTS)] == REQUIRED_INPUTS
    assert [one.name for one in OUTPUTS if not one.optional] == [BAND_ENERGIES]


@pytest.mark.parametrize("tensor", INPUTS, ids=lambda one: one.name)
def test_padding_is_zero_since_buffers_on_devices_are_cleared_with_zeros(tensor: TensorSpec) -> None:
    array = tensor.padded(SIZES)
    assert array.dtype.name == tensor.dtype
    assert array.shape == tuple(SIZES.get(str(dim), dim) for dim in tensor.dims)
    assert array.tobytes() == bytes(array.nbytes)


def test_outputs_have_no_padding_of_their_own() -> None:
    assert {one.padding for one in OUTPUTS} == {None}


def test_features_have_the_inputs_of_one_crystal_under_the_same_names() -> None:
    hints = typing.get_type_hints(Features)
    types = {"float32": np.float32, "int32": np.int32, "bool": np.bool_}
    kinds = {one.name: NDArray[types[one.dtype]] for one in INPUTS}
    assert {one.name: hints[one.name] for one in INPUTS} == kinds | {
        name: kinds[name] | None  # without bonds, and without a centre of inversion, there are none
        for name in ("neighbor_direction", *INVERSION)
    }


def test_shapes_are_written_with_the_numbers_of_the_model(tiny_engine: Path) -> None:
    sizes = known_sizes(read_manifest(tiny_engine))
    assert TENSORS["neighbor_image"].written() == "(B, N, D, 3)"
    assert TENSORS["neighbor_image"].written(sizes) == "(B, N, 12, 3)"
    assert TENSORS["band_energies"].written(sizes) == "(B, 6, 64)"
    assert TENSORS["uncertainty_ev"].written(sizes) == "(B,)"


def test_a_variant_that_takes_any_number_of_neighbours_leaves_their_axis_free(tiny_engine: Path) -> None:
    assert "D" not in known_sizes(dataclasses.replace(read_manifest(tiny_engine), variant="released"))
    assert "D" not in known_sizes(hamiltonian(read_manifest(tiny_engine)))


def test_inspect_prints_the_contract_of_the_model(make_engine: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(outputs=("band_energies", "uncertainty_ev"))
    assert run(["inspect", str(engine)]) == 0
    text = capsys.readouterr().out
    assert "neighbor_distance  (B, N, 12) float32: distance from the atom to the neighbour, Å; 0.0 on padding" in text
    assert "uncertainty_ev  (B,) float32: mean absolute error to expect of a crystal's energies, eV\n" in text
    assert run(["inspect", str(engine), "--json"]) == 0
    contract = json.loads(capsys.readouterr().out)["contract"]
    assert [one["name"] for one in contract["inputs"]] == list(GRAPH_INPUTS)
    energies = contract["outputs"][0]
    assert (energies["name"], energies["shape"], energies["dims"]) == ("band_energies", ["B", 6, 64], ["B", "n_bands", "K"])


def hamiltonian(manifest: Manifest, solver: Solver = "lapack", **recipe: typing.Any) -> Manifest:
    """The manifest of an engine that makes its bands of a Hamiltonian."""
    made = dataclasses.replace(manifest.recipe, **({"graph": GraphRecipe(rule="bonds"), "mesh": MeshRecipe()} | recipe))
    return dataclasses.replace(manifest, variant="hamiltonian", solver=solver, recipe=made, inputs=INPUT_NAMES)


def test_what_lies_between_network_and_solver_is_told_as_the_rest_is() -> None:
    assert len(set(HAMILTONIAN_NAMES)) == len(HAMILTONIAN) == 5
    assert HAMILTONIAN[-1] is TENSORS["uncertainty_ev"]
    assert not {*HAMILTONIAN_NAMES[:-1]} & {*TENSORS}
    for tensor in HAMILTONIAN:
        assert tensor.meaning
        assert tensor.dims[0] == "B"
        assert all(isinstance(dim, int) or dim in DIMENSIONS for dim in tensor.dims)
    [overlaps] = OVERLAPS
    assert overlaps.name not in {*HAMILTONIAN_NAMES, *TENSORS}
    assert overlaps.dims == HAMILTONIAN[0].dims
    levels = next(one for one in HAMILTONIAN if one.name == "flat_levels")
    assert (levels.padded(SIZES) == NOWHERE).all()


def test_inspect_tells_of_the_hamiltonian_that_the_session_solves(
    tiny_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for solver in typing.get_args(Solver):
        engine = rewritten(hamiltonian(read_manifest(tiny_engine), solver), tiny_engine, tmp_path / f"{solver}.onnx")
        assert run(["inspect", str(engine)]) == 0
        text = capsys.readouterr().out
        assert "mesh_weights        (B, M) float32: share of the Brillouin zone of each mesh point; 0.0 on padding" in text
        assert "graph               all atoms nearer than 2.3 sums of covalent radii, within 8 Å" in text
        assert "mesh                points at most 0.45 1/Å apart, 6 an axis" in text
        assert ("hoppings" in text) is (solver == "lapack")
        assert run(["inspect", str(engine), "--json"]) == 0
        contract = json.loads(capsys.readouterr().out)["contract"]
        found = [(one["name"], one["shape"]) for one in contract.get("hamiltonian", ())]
        assert found[:1] == ([("hoppings", ["B", "N", "D", 9, 9])] if solver == "lapack" else [])


def test_what_a_model_of_overlapping_orbitals_gives_is_told_too(
    tiny_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = hamiltonian(read_manifest(tiny_engine))
    engine = rewritten(dataclasses.replace(made, model=made.model | {"overlap": True}), tiny_engine, tmp_path / "engine.onnx")
    assert run(["inspect", str(engine), "--json"]) == 0
    contract = json.loads(capsys.readouterr().out)["contract"]
    given = ("hoppings", "on_site", "flat_levels", "electrons", "overlaps", "uncertainty_ev")
    assert tuple(one["name"] for one in contract["hamiltonian"]) == given


@pytest.mark.parametrize(
    ("recipe", "missing"), [({"graph": GraphRecipe()}, "neighbor_direction"), ({"mesh": None}, "mesh_kpoints")]
)
def test_an_input_that_the_recipe_does_not_make_is_refused(
    recipe: dict[str, typing.Any], missing: str, tiny_engine: Path, tmp_path: Path
) -> None:
    path = rewritten(hamiltonian(read_manifest(tiny_engine), **recipe), tiny_engine, tmp_path / "unfed.onnx")
    with pytest.raises(BandrtError, match=f"the manifest lists {missing}, an input that its recipe does not make") as caught:
        open_session(path)
    assert caught.value.code == "manifest-invalid"


def rewritten(manifest: Manifest, engine: Path, target: Path) -> Path:
    """A copy of an ONNX engine with another manifest inside."""
    import onnx

    model = onnx.load(str(engine))
    [entry] = [one for one in model.metadata_props if one.key == METADATA_KEY]
    entry.value = manifest.to_json()
    target.write_bytes(with_checksum(model.SerializeToString()))
    return target


@pytest.mark.parametrize(
    ("what", "names"), [("inputs", (*GRAPH_INPUTS, "magnetic_moment")), ("outputs", ("band_energies", "hoppings"))]
)
def test_a_name_that_this_version_does_not_know_is_refused_by_name(
    what: str, names: tuple[str, ...], tiny_engine: Path, machine: typing.Any, tmp_path: Path
) -> None:
    changed = dataclasses.replace(read_manifest(tiny_engine), **{what: names})
    onnx = rewritten(changed, tiny_engine, tmp_path / "future.onnx")
    plan = dataclasses.replace(read_manifest(machine.plan), **{what: names})
    sidecar(machine.plan).write_text(manifest_text(plan), encoding="utf-8")
    for path in (onnx, machine.plan):
        with pytest.raises(BandrtError) as caught:
            open_session(path)
        assert caught.value.code == "engine-mismatch"
        assert f"{path}: this version knows no {what[:-1]} {names[-1]}, which the model's manifest lists" in caught.value.message


def test_an_engine_without_band_energies_is_refused(make_engine: Callable[..., Path], tmp_path: Path) -> None:
    engine = make_engine()
    path = rewritten(dataclasses.replace(read_manifest(engine), outputs=("band_center",)), engine, tmp_path / "none.onnx")
    with pytest.raises(BandrtError) as caught:
        open_session(path)
    assert caught.value.code == "manifest-invalid"


def test_the_table_needs_no_package_that_reads_crystals() -> None:
    code = (
        "import sys\n"
        "for name in ('gemmi', 'moyopy', 'onnxruntime', 'torch'): sys.modules[name] = None\n"
        "import bandrt.contract, bandrt.batch, bandrt.engine.shapes\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_else_lists_the_names() -> None:
    copies = []
    for package in ("runtime/bandrt", "export/bandrt_export", "train/bandrt_train"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
                names = {one.value for one in parts if isinstance(one, ast.Constant)}
                if len(names & set(INPUT_NAMES)) >= COPIED:
                    copies.append(path.relative_to(ROOT).as_posix())
    assert not copies, f"these state the contract again: {copies}"
