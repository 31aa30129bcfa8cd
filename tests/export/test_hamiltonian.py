"""A checkpoint of a learned Hamiltonian becomes an engine: solved by LAPACK in the runtime, or in the graph itself."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bandrt import Prediction, load
from bandrt.batch import is_centred, pad
from bandrt.cli import run
from bandrt.contract import HAMILTONIAN_NAMES, INPUT_NAMES, NETWORK_INPUTS
from bandrt.crystal import Crystal
from bandrt.domain import little_known
from bandrt.engine import SHIPPED_ENGINES, open_session, read_manifest
from bandrt.errors import EngineError, UsageError
from bandrt.features import Features
from bandrt.kpaths.mesh import Mesh
from bandrt.manifest import BandRule, EnsembleRule, HandOver, Solver, TrainingDomain
from bandrt.readers import to_crystal
from bandrt.recipe import KpathRecipe
from bandrt.symmetry.standard_cell import standardize
from bandrt_export.dense.ensemble import dense_of
from bandrt_export.errors import ExportError
from bandrt_export.onnx import describe, export_onnx, trace, with_hand_over
from bandrt_export.parity import compare, featurize_all, limits_of, open_exact, packaged_crystals, require
from bandrt_export.plan.build import build_plan
from bandrt_train.data.hamiltonian.folds import HeldOut
from bandrt_train.data.recipes import HAMILTONIAN_MESH, HAMILTONIAN_RECIPE
from bandrt_train.hamiltonian_checkpoint import METAL_TOLERANCE_EV, load_hamiltonian, save_hamiltonian
from bandrt_train.model.hamiltonian.ensemble import LearnedHamiltonianEnsemble
from bandrt_train.model.hamiltonian.filling import predict
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.export.conftest import export_traced
from tests.support.small_hamiltonians import OVERLAPPING, small_model

RULE = EnsembleRule(("first", "second"), floor_ev=0.25, slope=1.5, n_crystals=9)
DOMAIN = TrainingDomain(n_crystals=9, elements=("Al", "As"), max_atoms=2, functional="PBE")
TOLERANCE_EV = 1e-3
"""Eigenvalues in single precision, of matrices whose elements are tens of eV."""
SMALL = [one for one in packaged_crystals() if one.n_atoms <= 4]
SOLVERS: tuple[Solver, ...] = ("lapack", "graph")


@dataclass(frozen=True, eq=False)
class Made:
    """An ensemble and its engines."""

    model: LearnedHamiltonianEnsemble
    checkpoint: Path
    traced: onnx.ModelProto
    engines: dict[Solver, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Traced once, which takes half a minute."""
    folder = tmp_path_factory.mktemp("hamiltonian")
    model = LearnedHamiltonianEnsemble([small_model(seed).float() for seed in range(2)], RULE).eval()
    save_hamiltonian(folder / "ensemble.pt", model=model, held_out=HeldOut(), training=DOMAIN)
    traced = trace(dense_of(model), n_slots=HAMILTONIAN_RECIPE.graph.n_neighbors)
    engines = {solver: folder / f"{solver}.onnx" for solver in SOLVERS}
    for solver, engine in engines.items():
        export_traced(traced, folder / "ensemble.pt", engine, crystals=SMALL, solver=None if solver == "lapack" else solver)
    return Made(model, folder / "ensemble.pt", traced, engines)


@pytest.fixture(scope="module")
def features() -> list[Features]:
    return featurize_all(SMALL, HAMILTONIAN_RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_manifest_says_what_the_engine_is(made: Made, solver: Solver) -> None:
    manifest, checkpoint = read_manifest(made.engines[solver]), load_hamiltonian(made.checkpoint)
    assert (manifest.variant, manifest.solver, manifest.precision) == ("hamiltonian", solver, "fp32")
    assert manifest.inputs == (INPUT_NAMES if solver == "graph" else NETWORK_INPUTS)
    assert manifest.outputs == ("band_energies", "uncertainty_ev")
    assert manifest.recipe == HAMILTONIAN_RECIPE
    assert manifest.bands == BandRule(metal_tolerance_ev=METAL_TOLERANCE_EV)
    assert (manifest.training, manifest.ensemble, manifest.checkpoint_sha256) == (DOMAIN, RULE, checkpoint.sha256)
    parity = manifest.parity
    assert parity is not None
    assert parity.limit_ev == TOLERANCE_EV
    assert 0.0 < parity.max_energy_error_ev < TOLERANCE_EV
    assert parity.max_uncertainty_change_ev is not None
    assert parity.max_uncertainty_change_ev < TOLERANCE_EV


@pytest.mark.slow
def test_both_solvers_start_from_the_same_named_tensors(made: Made) -> None:
    on_host, inside = (onnx.load(made.engines[solver]).graph for solver in SOLVERS)
    assert [value.name for value in on_host.output] == list(HAMILTONIAN_NAMES)
    assert [value.name for value in inside.output] == ["band_energies", "uncertainty_ev"]
    assert {name for node in inside.node for name in node.output} >= set(HAMILTONIAN_NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_sessions_give_the_bands_that_training_predicts(made: Made, features: list[Features], solver: Solver) -> None:
    chosen = [features[0], features[1], features[-1]]
    with closing(open_session(made.engines[solver])) as session:
        found = session.run(pad(chosen, n_atoms=6, batch_size=4))
    assert np.isnan(found["band_energies"][0]).all()  # the model fills nearly all bands of mercury, and six are wanted
    for row, one in enumerate(chosen[1:], 1):
        points = Mesh(one.mesh_kpoints, one.mesh_weights)
        kpoints, smearing_ev = one.kpoints.astype(np.float64), HAMILTONIAN_MESH.smearing
        expected = predict(made.model, find_pairs(one.crystal), kpoints, points, smearing_ev=smearing_ev).window(BandRule())
        np.testing.assert_allclose(found["band_energies"][row], expected, atol=TOLERANCE_EV)
    with torch.no_grad():
        solids = made.model.real_space([find_pairs(one.crystal) for one in chosen])
    doubts = [float(one.uncertainty) for one in solids if one.uncertainty is not None]
    np.testing.assert_allclose(found["uncertainty_ev"][:3], doubts, rtol=1e-4)


@pytest.mark.slow
def test_engines_of_overlapping_orbitals_give_the_bands_that_training_predicts(features: list[Features], tmp_path: Path) -> None:
    members = [small_model(seed, OVERLAPPING).float() for seed in range(2)]
    model = LearnedHamiltonianEnsemble(members, RULE).eval()
    save_hamiltonian(tmp_path / "c.pt", model=model, held_out=HeldOut(), training=DOMAIN)
    traced = trace(dense_of(model), n_slots=HAMILTONIAN_RECIPE.graph.n_neighbors)
    for solver in SOLVERS:
        engine = tmp_path / f"{solver}.onnx"
        manifest = export_traced(traced, tmp_path / "c.pt", engine, crystals=SMALL, solver=None if solver == "lapack" else solver)
        assert manifest.parity is not None
        assert manifest.parity.max_energy_error_ev < TOLERANCE_EV
        with closing(open_session(engine)) as session:
            found = session.run(pad(features[1:4], n_atoms=6, batch_size=4))["band_energies"]
        for row, one in enumerate(features[1:4]):
            points, kpoints = Mesh(one.mesh_kpoints, one.mesh_weights), one.kpoints.astype(np.float64)
            expected = predict(model, find_pairs(one.crystal), kpoints, points, smearing_ev=HAMILTONIAN_MESH.smearing)
            np.testing.assert_allclose(found[row], expected.window(BandRule()), atol=TOLERANCE_EV)


@pytest.fixture(scope="module")
def twenty(examples: Path) -> list[Crystal]:
    """Real crystals of up to four atoms, with and without a centre of inversion, one kind after the other in turns."""
    known = [*SMALL, *(to_crystal(path) for path in sorted(examples.glob("*.cif")))]
    small = [one for one in known if standardize(one).crystal.n_atoms <= 4]
    return small[::2] + small[1::2]


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_batches_of_up_to_sixteen_are_those_of_training(made: Made, twenty: list[Crystal], solver: Solver) -> None:
    features = featurize_all(twenty, HAMILTONIAN_RECIPE)
    assert sum(is_centred(one) for one in features) > 8
    assert sum(not is_centred(one) for one in features) > 4
    limits = limits_of("fp32", rounding_ev=TOLERANCE_EV, limit_ev=None)
    with open_exact(made.engines[solver]) as session:
        report = compare(made.model, session, features, rule=session.manifest.bands, limits=limits)
    require(report, name=solver)
    assert report.batch_sizes == (1, 2, 5, 16)
    assert report.max_energy_error_ev < TOLERANCE_EV


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_each_crystal_of_a_mixed_batch_has_its_own_bands(made: Made, twenty: list[Crystal], threads: int) -> None:
    crystals = twenty[:12]
    predicted: list[list[Prediction]] = []
    for solver in SOLVERS:
        with load(made.engines[solver], threads=threads, hand_over=False) as engine:
            results = list(engine.predict(crystals, batch_size=5))
        predicted.append([one for one in results if isinstance(one, Prediction)])
        assert len(predicted[-1]) >= 10
    agreed = 0
    for lapack, graph in zip(*predicted, strict=True):
        assert graph.id == lapack.id
        ours, theirs = lapack.band_structure, graph.band_structure
        if ours.is_metal == theirs.is_metal:  # else rounding decides
            np.testing.assert_allclose(theirs.energies, ours.energies, atol=TOLERANCE_EV, rtol=0, err_msg=lapack.id)
            agreed += 1
    assert agreed >= len(predicted[0]) - 1


@pytest.mark.slow
def test_the_gate_finds_another_model(made: Made, features: list[Features]) -> None:
    other = LearnedHamiltonianEnsemble([small_model(5).float(), small_model(6).float()], RULE)
    limits = limits_of("fp32", rounding_ev=TOLERANCE_EV, limit_ev=None)
    with open_exact(made.engines["lapack"]) as session:
        require(compare(made.model, session, features[:2], rule=BandRule(), limits=limits), name="model.onnx")
        with pytest.raises(ExportError, match="differ from the reference") as caught:
            require(compare(other, session, features[:2], rule=BandRule(), limits=limits), name="model.onnx")
    assert caught.value.code == "parity-failed"


def test_one_model_alone_promises_bands_and_no_uncertainty(checkpoint: Path) -> None:
    loaded = load_hamiltonian(checkpoint)
    manifest = describe(loaded, dense_of(loaded.build_model()), loaded.bands, "fp32", "lapack")
    assert manifest.outputs == ("band_energies",)
    assert manifest.ensemble is None


def test_a_hamiltonian_leaves_what_it_has_not_seen_to_the_fast_engine(checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_hamiltonian(checkpoint)
    manifest = describe(loaded, dense_of(loaded.build_model()), loaded.bands, "fp32", "lapack")
    elements = little_known(loaded.training, loaded.recipe.max_atomic_number)
    assert {"V", "Ni", "U"} <= set(elements)
    path = tmp_path / "model.onnx"
    assert with_hand_over(manifest, None, name=path).hand_over == HandOver(elements, "fast")
    assert with_hand_over(manifest, "none", name=path) == manifest
    other_path = replace(manifest, recipe=replace(manifest.recipe, kpath=KpathRecipe(n_kpoints=48)))
    assert with_hand_over(other_path, None, name=path).hand_over is None
    with pytest.raises(EngineError, match="it gives 256 k-points, this engine 48") as caught:
        with_hand_over(other_path, "fast", name=path)
    assert caught.value.code == "hand-over-unavailable"


def test_other_variants_hand_nothing_over_unless_it_is_said(tmp_path: Path) -> None:
    fast = read_manifest(SHIPPED_ENGINES["fast"])
    assert with_hand_over(fast, None, name=tmp_path / "model.onnx") == fast
    chosen = with_hand_over(fast, "accurate", name=tmp_path / "model.onnx").hand_over
    assert chosen is not None
    assert chosen.engine == "accurate"


@pytest.mark.slow
def test_commands_take_it(made: Made, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine, crystal = str(made.engines["lapack"]), str(examples / "AlAs_mp-2172.cif")
    assert run(["inspect", engine]) == 0
    assert "hamiltonian, fp32" in capsys.readouterr().out
    assert run(["verify", engine, crystal, "--against", str(made.checkpoint), "--json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert report["same_checkpoint"]
    assert run(["verify", str(made.engines["graph"]), crystal, "--against", engine, "-q"]) == 0
    assert run(["bench", "--engine", engine, "--batch-size", "1", "--seconds", "0.01", crystal]) == 0
    assert run(["infer", "--engine", engine, crystal, "-o", str(tmp_path / "bands")]) == 0
    with (tmp_path / "bands" / "summary.csv").open(encoding="utf-8") as stream:
        [row] = csv.DictReader(stream)
    assert float(row["uncertainty_ev"]) > RULE.floor_ev
    assert float(row["vbm_ev"]) == pytest.approx(-float(row["cbm_ev"]), abs=1e-3) or row["is_metal"] == "true"


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_engine_can_give_more_bands(made: Made, examples: Path, tmp_path: Path, solver: Solver) -> None:
    engine, crystal = tmp_path / "ten.onnx", str(examples / "AlAs_mp-2172.cif")
    manifest = export_traced(made.traced, made.checkpoint, engine, crystals=SMALL[1:6], solver=solver, bands=10)
    assert manifest.bands == BandRule(10, 5, METAL_TOLERANCE_EV) == read_manifest(engine).bands
    assert manifest.hand_over is not None  # whose six bands decide as these do
    for against in (made.checkpoint, made.engines["lapack"]):
        assert run(["verify", str(engine), crystal, "--against", str(against), "-q"]) == 0
    with load(engine) as wide, load(made.engines[solver]) as narrow:
        ten, six = (
            one.band_structure for engine in (wide, narrow) for one in engine.predict([crystal]) if isinstance(one, Prediction)
        )
    assert ten.energies.shape == (10, 256)
    np.testing.assert_allclose(ten.energies[2:8], six.energies, atol=TOLERANCE_EV)
    assert ten.band_gap == pytest.approx(six.band_gap, abs=TOLERANCE_EV)


def test_bands_are_refused_before_the_work(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source, bands, code in (("fast", "8", "bands-fixed"), (str(checkpoint), "7", "bad-argument")):
        assert run(["export", source, "-o", str(tmp_path / "model.onnx"), "--bands", bands]) in (1, 2)
        assert code in capsys.readouterr().err
    made = str(SHIPPED_ENGINES["accurate"])
    assert run(["export", made, "-o", str(tmp_path / "model.plan"), "--bands", "8", "--backend", "tensorrt-rtx"]) == 2
    assert "has bands 6; export the checkpoint with --bands 8" in capsys.readouterr().err
    assert not list(tmp_path.glob("model*"))


@pytest.mark.slow
def test_no_plan_is_built_without_a_solver_inside(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as refused:
        build_plan(made.engines["lapack"], tmp_path / "model.plan", backend="tensorrt-rtx")
    assert refused.value.code == "plan-solver"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_hamiltonian(tmp_path / "c.pt", model=small_model().float(), held_out=HeldOut(), training=DOMAIN)
    return tmp_path / "c.pt"


def test_half_precision_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        export_onnx(checkpoint, tmp_path / "model.onnx", precision="fp16")
    assert refused.value.code == "precision-unsupported"
    assert not (tmp_path / "model.onnx").exists()


def test_a_solver_is_for_hamiltonians_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "fast", "-o", str(tmp_path / "model.onnx"), "--solver", "graph"]) == 2
    assert "solver-unused" in capsys.readouterr().err


def test_a_plan_has_its_solver_inside(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "model.plan")
    assert run(["export", str(checkpoint), "-o", out, "--solver", "lapack", "--backend", "tensorrt-rtx"]) == 2
    assert "leave out --solver" in capsys.readouterr().err


def test_conventions_of_the_released_code_are_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(checkpoint), "-o", str(tmp_path / "model.onnx"), "--frame", "cartesian"]) == 2
    assert "conventions-unused" in capsys.readouterr().err
