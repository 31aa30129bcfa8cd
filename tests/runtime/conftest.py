"""A tiny engine that answers at once and shows every mistake of padding, masking and order."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandrt.contract import BAND_ENERGIES, GRAPH_INPUTS, TENSORS, known_sizes
from bandrt.engine import read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.files import file_sha256
from bandrt.manifest import METADATA_KEY, Backend, BandRule, Bucket, Manifest, Profile, TrainingDomain
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from tests.support.cif_texts import WITH_OCCUPANCY, cif_cell, cif_sites
from tests.support.simulated_gpu import SimulatedDevice
from tests.support.simulated_tensorrt import simulated_tensorrt

TINY_MANIFEST = Manifest(
    variant="paper",
    model={"kind": "tiny"},
    checkpoint_sha256="0" * 64,
    recipe=Recipe(graph=GraphRecipe(n_neighbors=12), kpath=KpathRecipe(n_kpoints=64)),
    bands=BandRule(n_bands=6, n_valence=3, metal_tolerance_ev=0.1),
    inputs=GRAPH_INPUTS,
    outputs=(BAND_ENERGIES,),
    training=TrainingDomain(n_crystals=3, elements=("Na", "Cl", "Si", "Fe", "Pb", "Te", "Ga", "As"), max_atoms=4, functional="PBE"),
)


def tiny_model(manifest: Manifest) -> Any:
    """Energies from the mean neighbour distance, the mean atomic number and a cosine of k.

    ``band_energies[b, i, k] = level[i] * (distance / 3) + slope[i] * sum(cos 2 pi k) + 0.01 * mean Z``: gaps differ between
    crystals, bands bend along the path, and atoms or neighbours counted wrongly move everything. ``uncertainty_ev``, where the
    manifest lists it, is ``distance / 3``.
    """
    from onnx import TensorProto, helper, numpy_helper

    types = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT, "bool": TensorProto.BOOL}

    def value_info(name: str) -> Any:
        return helper.make_tensor_value_info(name, types[TENSORS[name].dtype], TENSORS[name].shape(known_sizes(manifest)))

    constants = {
        "levels": np.array([-3, -2, -1, 1, 2, 3], np.float32).reshape(1, 6, 1),
        "slopes": np.array([0.1, 0.1, 0.2, -0.2, 0.1, 0.1], np.float32).reshape(1, 6, 1),
        "two_pi": np.array(2 * np.pi, np.float32),
        "three": np.array(3.0, np.float32),
        "hundredth": np.array(0.01, np.float32),
        "all_slots": np.array([1, 2], np.int64),
        "all_atoms": np.array([1], np.int64),
        "components": np.array([2], np.int64),
        "as_band": np.array([1], np.int64),
    }
    steps = [
        ("Cast", ["neighbor_mask"], "slots", {"to": TensorProto.FLOAT}),
        ("Mul", ["neighbor_distance", "slots"], "masked"),
        ("ReduceSum", ["masked", "all_slots"], "total_distance"),  # (B, 1, 1)
        ("ReduceSum", ["slots", "all_slots"], "n_slots"),
        ("Div", ["total_distance", "n_slots"], "mean_distance"),
        ("Div", ["mean_distance", "three"], "stretch"),
        ("Cast", ["atomic_numbers"], "z", {"to": TensorProto.FLOAT}),
        ("Cast", ["atom_mask"], "atoms", {"to": TensorProto.FLOAT}),
        ("Mul", ["z", "atoms"], "masked_z"),
        ("ReduceSum", ["masked_z", "all_atoms"], "total_z"),  # (B, 1)
        ("ReduceSum", ["atoms", "all_atoms"], "n_atoms"),
        ("Div", ["total_z", "n_atoms"], "mean_z"),
        ("Mul", ["mean_z", "hundredth"], "small_z"),
        ("Unsqueeze", ["small_z", "as_band"], "shift"),  # (B, 1, 1)
        ("Mul", ["kpoints", "two_pi"], "phase"),
        ("Cos", ["phase"], "cosine"),
        ("ReduceSum", ["cosine", "components"], "cosines", {"keepdims": 0}),  # (B, K)
        ("Unsqueeze", ["cosines", "as_band"], "wave"),  # (B, 1, K)
        ("Mul", ["levels", "stretch"], "centers"),  # (B, 6, 1)
        ("Mul", ["slopes", "wave"], "dispersion"),  # (B, 6, K)
        ("Add", ["centers", "dispersion"], "unshifted"),
        ("Add", ["unshifted", "shift"], "band_energies"),
        ("Squeeze", ["stretch", "all_slots"], "uncertainty_ev"),  # (B,)
    ]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], **(more[0] if more else {})) for op, inputs, output, *more in steps],
        "tiny",
        [value_info(name) for name in manifest.inputs],
        [value_info(name) for name in manifest.outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json(), "other": "ignored"})
    return model


MakeEngine = Callable[..., Path]


@pytest.fixture(scope="session")
def make_engine(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Writes a tiny engine; keyword arguments replace fields of its manifest."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")

    def make(**changes: Any) -> Path:
        path = tmp_path_factory.mktemp("engine") / "tiny.onnx"
        path.write_bytes(with_checksum(tiny_model(dataclasses.replace(TINY_MANIFEST, **changes)).SerializeToString()))
        return path

    return make


@pytest.fixture(scope="session")
def tiny_engine(make_engine: MakeEngine) -> Path:
    """The tiny engine as it comes."""
    return make_engine()


ROCK_SALT_CIF = (
    "data_rock_salt\n_symmetry_space_group_name_H-M 'P 1'\n"
    + cif_cell("{a}", angles=(60, 60, 60))
    + cif_sites("A1 {first} 0 0 0 1", "B1 {second} 0.5 0.5 0.5 {occupancy}", columns=WITH_OCCUPANCY)
)


@pytest.fixture(scope="session")
def rock_salt() -> Callable[..., str]:
    """Text of a CIF with two atoms; keyword arguments say which, how far apart, how occupied."""

    def text(a: float = 3.99, first: str = "Na", second: str = "Cl", occupancy: float = 1.0) -> str:
        return ROCK_SALT_CIF.format(a=a, first=first, second=second, occupancy=occupancy)

    return text


@pytest.fixture
def mixed_folder(tmp_path: Path, rock_salt: Callable[..., str]) -> Path:
    """Three good crystals and four files that are none."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = rock_salt()
    (folder / "a-salt.cif").write_text(good)
    (folder / "b-truncated.cif").write_text(good[: good.index("A1")] + "A1 Na 0 0")
    (folder / "c-partial.cif").write_text(rock_salt(occupancy=0.5))
    (folder / "d-empty.cif").write_text("")
    (folder / "e-text.cif").write_text("Dear colleague,\n\nplease find the structure attached.\n")
    (folder / "f-galena.cif").write_text(rock_salt(a=4.2, first="Pb", second="Te"))
    (folder / "POSCAR").write_text("Si\n1.0\n0 2.715 2.715\n2.715 0 2.715\n2.715 2.715 0\nSi\n2\nDirect\n0 0 0\n0.25 0.25 0.25\n")
    return folder


@dataclasses.dataclass
class SimulatedMachine:
    """A machine with one simulated GPU, and a plan for it beside the ONNX engine that it was built from."""

    gpu: SimulatedDevice
    trt: SimpleNamespace
    plan: Path
    engine: Path


RTX_VERSION = "1.7.1.116"
PLAN_PROFILE = Profile(
    max_atoms=24,
    max_batch=8,
    buckets=(Bucket(1, 6, 1, 1), Bucket(1, 6, 2, 8), Bucket(7, 24, 1, 1), Bucket(7, 24, 2, 4)),
)


@pytest.fixture
def machine(tiny_engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedMachine:
    """A simulated GPU that `bandrt.load` finds; its fields may be changed before the plan is opened."""
    gpu = SimulatedDevice()
    trt = simulated_tensorrt(gpu, PLAN_PROFILE, version=RTX_VERSION)
    plan = tmp_path / "machine" / "model.plan"
    plan.parent.mkdir()
    plan.write_bytes(tiny_engine.read_bytes())
    backend = Backend("tensorrt-rtx", RTX_VERSION, 20, ("sm89",), file_sha256=file_sha256(plan))
    manifest = dataclasses.replace(read_manifest(tiny_engine), profile=PLAN_PROFILE, backend=backend)
    sidecar(plan).write_text(manifest_text(manifest), encoding="utf-8")
    driver = Driver(cuda="13.0", gpus=(Gpu("NVIDIA GeForce RTX 4090", "sm89", 24.0),))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: driver)
    for opens in ("plan.open", "onnx.gpu"):
        monkeypatch.setattr(f"bandrt.engine.{opens}.CudaDevice", lambda index, extra: gpu)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    gpu.make_current()
    return SimulatedMachine(gpu, trt, plan, tiny_engine)
