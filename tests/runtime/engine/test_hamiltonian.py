"""Sessions that make bands of a Hamiltonian: an ONNX file that ends there, and LAPACK."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.engine import chosen_bands, open_session
from bandrt.engine.hamiltonian import HamiltonianSession
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.onnx.session import OnnxSession
from bandrt.engine.session import OutOfMemoryError
from bandrt.errors import BandrtError, EngineError
from bandrt.hamiltonian.filling import fermi_level
from bandrt.manifest import BandRule
from tests.support.tiny_hamiltonian import MANIFEST, N_KPOINTS, hamiltonian_of, tiny_batch, tiny_hamiltonian_model

ENERGY_TOLERANCE_EV = 2e-4
"""fp32 rounding of matrices with eigenvalues of some 20 eV, in bands and in their zero."""
KPOINTS = np.concatenate([np.linspace([0, 0, 0], [0.5, 0, 0.1], N_KPOINTS - 5), np.linspace([0.5, 0.1, 0.1], [0.5, 0.5, 0.5], 5)])
MESH = np.array(list(product((0.0, 1 / 3, 2 / 3), repeat=3)))
CUBE = 3.6 * np.eye(3)
CENTRED = Crystal(CUBE, np.array([12, 30], np.int32), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
INSULATING = Crystal(CUBE, np.array([12, 14], np.int32), CENTRED.frac_coords)
LONE = Crystal(0.8 * CUBE, np.array([13], np.int32), np.zeros((1, 3)))
"""An odd number of electrons: a metal."""
CROOKED = Crystal(
    np.array([[3.1, 0.2, -0.3], [0.7, 3.9, 0.4], [-0.5, 0.9, 4.6]]),
    np.array([8, 22, 16], np.int32),
    np.array([[0.02, 0.11, 0.05], [0.47, 0.41, 0.55], [0.61, 0.93, 0.71]]),
)
LAYERS = Crystal(
    np.diag([3.4, 3.4, 24.0]),
    np.array([14, 32] * 6, np.int32),
    np.array([[0.5 * (i % 2), 0.0, i / 12 + 0.01 * (i % 3)] for i in range(12)]),
)
"""More atoms than are computed at every k-point."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("engine") / "tiny.onnx"
    path.write_bytes(with_checksum(tiny_hamiltonian_model().SerializeToString()))
    return path


def every_band(crystal: Crystal) -> tuple[np.ndarray, int]:
    """All bands in double precision, and how many are not empty, by the rules of filling as they are written down."""
    terms, vectors, electrons, flat = hamiltonian_of(crystal, 4.0)

    def bands(kpoints: np.ndarray) -> np.ndarray:
        matrices = np.tensordot(np.exp(2j * np.pi * kpoints @ vectors.T), terms, 1)
        levels = np.broadcast_to(flat, (len(kpoints), len(flat)))
        return np.sort(np.concatenate([np.linalg.eigvalsh(matrices), levels], axis=1), axis=1)

    path, mesh = bands(KPOINTS.astype(np.float32).astype(float)), bands(MESH.astype(np.float32).astype(float))
    half = int(np.ceil(electrons / 2 - 1e-6))
    both = np.concatenate([path, mesh])
    if electrons % 2 == 0 and both[:, half].min() > both[:, half - 1].max():
        zero, n_nonempty = 0.5 * (path[:, half - 1].max() + path[:, half].min()), half
    else:
        low, high = both[:, half].min(), both[:, half - 1].max()
        if electrons % 2:
            low, high = path[:, half - 1].min(), path[:, half - 1].max()
        margin = min(0.002, 0.5 * (high - low))
        level = fermi_level(mesh, np.full(len(mesh), 1 / len(mesh)), electrons, 0.15)
        zero = min(max(level, low + margin), high - margin)
        n_nonempty = half + int((path[:, half:].min(axis=0) < zero).sum())
    return (path - zero).T, n_nonempty


def expected(crystal: Crystal, rule: BandRule = MANIFEST.bands) -> np.ndarray:
    """The bands of a rule."""
    bands, n_nonempty = every_band(crystal)
    first = n_nonempty - rule.n_valence
    return bands[first : first + rule.n_bands]


def test_the_zero_of_an_insulator_is_its_mid_gap(engine: Path) -> None:
    with open_session(engine, threads=1) as session:
        energies = session.run(tiny_batch([INSULATING], KPOINTS, MESH))["band_energies"][0]
    assert energies[1].max() == pytest.approx(-energies[2].min(), abs=1e-5)
    assert energies[2].min() > 1.0


@pytest.mark.parametrize("threads", [1, 3])
def test_bands_of_a_batch_are_those_of_its_hamiltonians(engine: Path, threads: int) -> None:
    crystals = [CROOKED, LONE, CENTRED, INSULATING, LONE, LAYERS]
    batch = tiny_batch(crystals, KPOINTS, MESH, n_rows=8)
    with HamiltonianSession(OnnxSession(engine, threads=threads), threads=threads, exact=True) as session:
        outputs = session.run(batch)
    assert list(outputs) == ["band_energies", "uncertainty_ev"]
    assert outputs["band_energies"].shape == (8, 4, N_KPOINTS)
    for row, crystal in enumerate(crystals):
        np.testing.assert_allclose(outputs["band_energies"][row], expected(crystal), atol=ENERGY_TOLERANCE_EV)
    assert np.isfinite(outputs["band_energies"]).all()
    filled = batch["neighbor_mask"][0]
    assert outputs["uncertainty_ev"][0] == pytest.approx(0.1 * batch["neighbor_distance"][0][filled].mean(), rel=1e-5)


def test_an_engine_whose_solver_is_lapack_is_opened_as_one(engine: Path) -> None:
    batch = tiny_batch([CENTRED], KPOINTS, MESH)
    with open_session(engine, threads=1) as session:
        assert (session.device, session.manifest.solver) == ("cpu", "lapack")
        [outputs] = session.run_many([batch])
    assert not isinstance(outputs, OutOfMemoryError)
    np.testing.assert_allclose(outputs["band_energies"][0], expected(CENTRED), atol=ENERGY_TOLERANCE_EV)


def test_large_crystals_are_interpolated_unless_a_check_of_the_model_wants_them_exact(engine: Path) -> None:
    batch = tiny_batch([LAYERS], KPOINTS, MESH)
    batch["kpoints"] = np.linspace([0, 0, 0], [0.5, 0.5, 0], N_KPOINTS, dtype=np.float32)[None]
    with open_session(engine, threads=1) as near, open_session(engine, threads=1, exact=True) as exact:
        apart = np.abs(near.run(batch)["band_energies"] - exact.run(batch)["band_energies"])
    assert 1e-4 < float(apart.max()) < 0.1
    assert float(apart.mean()) < 0.01


def test_several_gpus_compute_as_exactly_as_one(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.onnx.open.open_onnx", lambda path, **_: OnnxSession(path, threads=1))  # there are no GPUs
    batch = tiny_batch([LAYERS], KPOINTS, MESH)
    batch["kpoints"] = np.linspace([0, 0, 0], [0.5, 0.5, 0], N_KPOINTS, dtype=np.float32)[None]
    found = {}
    for device in ("cuda:0", "cuda:0,cuda:1"):
        for exact in (False, True):
            with open_session(engine, device=device, threads=1, exact=exact) as session:
                found[device, exact] = session.run(batch)["band_energies"]
    for exact in (False, True):
        np.testing.assert_array_equal(found["cuda:0", exact], found["cuda:0,cuda:1", exact])
    assert not np.array_equal(found["cuda:0", False], found["cuda:0", True])


def test_a_crystal_has_the_same_bands_alone_and_beside_others(engine: Path) -> None:
    with open_session(engine, threads=2) as session:
        beside = session.run(tiny_batch([LAYERS, CENTRED, CROOKED], KPOINTS, MESH))["band_energies"]
        for row, crystal in enumerate((LAYERS, CENTRED, CROOKED)):
            alone = session.run(tiny_batch([crystal], KPOINTS, MESH))["band_energies"][0]
            np.testing.assert_allclose(beside[row], alone, atol=ENERGY_TOLERANCE_EV)


def test_a_crystal_without_as_many_bands_has_no_energies_and_does_no_harm(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    rule = BandRule(n_bands=6, n_valence=3)
    path = tmp_path / "wide.onnx"
    path.write_bytes(with_checksum(tiny_hamiltonian_model(dataclasses.replace(MANIFEST, bands=rule)).SerializeToString()))
    with open_session(path, threads=1) as session:
        energies = session.run(tiny_batch([INSULATING, CENTRED], KPOINTS, MESH))["band_energies"]
    assert np.isnan(energies[0]).all()
    np.testing.assert_allclose(energies[1], expected(CENTRED, rule), atol=ENERGY_TOLERANCE_EV)


def test_more_bands_are_those_around_the_ones_of_the_file_nan_where_a_crystal_has_none(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "six.onnx"
    path.write_bytes(with_checksum(tiny_hamiltonian_model(dataclasses.replace(MANIFEST, bands=BandRule(6, 2))).SerializeToString()))
    crystals = [CROOKED, CENTRED, LONE]
    batch = tiny_batch(crystals, KPOINTS, MESH)
    with open_session(path, threads=2) as session, open_session(path, threads=2, bands=12) as wide:
        assert wide.manifest == dataclasses.replace(session.manifest, bands=BandRule(12, 5))
        six, twelve = (one.run(batch)["band_energies"] for one in (session, wide))
    np.testing.assert_array_equal(twelve[:, 3:9], six)
    for energies, crystal in zip(twelve, crystals, strict=True):
        bands, n_nonempty = every_band(crystal)
        padded = np.pad(bands, ((5, 12), (0, 0)), constant_values=np.nan)
        np.testing.assert_allclose(energies, padded[n_nonempty : n_nonempty + 12], atol=ENERGY_TOLERANCE_EV)
    assert np.isnan(twelve).any()


def test_more_bands_are_refused_by_an_engine_that_has_its_solver_in_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    manifest = dataclasses.replace(MANIFEST, solver="graph")
    for bands, code in ((6, "bands-fixed"), (5, "bad-argument"), (2, "bad-argument")):
        with pytest.raises(BandrtError) as refused:
            chosen_bands(manifest, bands, path=tmp_path)
        assert refused.value.code == code
    assert chosen_bands(manifest, 4, path=tmp_path) == chosen_bands(manifest, None, path=tmp_path) == manifest.bands


@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_that_are_not_finite_are_shown_not_hidden(engine: Path, threads: int) -> None:
    batch = tiny_batch([CENTRED, CROOKED], KPOINTS, MESH)
    batch["neighbor_distance"][0, 1, 2] = np.nan
    with open_session(engine, threads=threads) as session:
        energies = session.run(batch)["band_energies"]
    assert np.isinf(energies[0]).all()
    assert np.isfinite(energies[1]).all()


def test_a_gpu_is_refused_and_what_to_do_is_said(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.onnx.gpu.require_gpu", lambda *args, **more: None)
    with pytest.raises(EngineError, match="--solver graph") as refused:
        open_session(engine, device="cuda")
    assert refused.value.code == "device-unavailable"


def test_a_batch_for_which_there_is_no_memory_says_so(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: Any, **more: Any) -> None:
        raise MemoryError

    with open_session(engine, threads=1) as session:
        batch = tiny_batch([CENTRED], KPOINTS, MESH)
        monkeypatch.setattr("bandrt.engine.hamiltonian.filled_bands", no_memory)
        [outcome] = session.run_many([batch])
    assert isinstance(outcome, OutOfMemoryError)
    assert "2 atoms" in str(outcome)


def test_an_engine_that_gives_no_hamiltonian_is_not_what_its_manifest_says(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = tiny_hamiltonian_model()
    del model.graph.output[0]
    path = tmp_path / "short.onnx"
    path.write_bytes(with_checksum(model.SerializeToString()))
    with pytest.raises(EngineError, match="hoppings") as refused:
        open_session(path)
    assert refused.value.code == "engine-mismatch"
