"""Sessions: what they compute, and what they refuse before computing anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.engine import open_session, read_manifest
from bandrt.engine.cuda_driver import NoDriver
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.onnx.session import OnnxSession
from bandrt.engine.session import OutOfMemoryError, parse_device
from bandrt.errors import BandrtError, EngineError, ManifestError, MissingPackageError, UsageError
from bandrt.manifest import METADATA_KEY, BandRule
from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe

MakeEngine = Callable[..., Path]
ENERGY_TOLERANCE_EV = 1e-5
"""Rounding of single precision for energies of a few eV."""


def random_inputs(*, crystals: int = 2, atoms: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "atomic_numbers": generator.integers(1, 90, (crystals, atoms)).astype(np.int32),
        "neighbor_index": np.zeros((crystals, atoms, 12), np.int32),
        "neighbor_distance": generator.uniform(2, 4, (crystals, atoms, 12)).astype(np.float32),
        "neighbor_mask": generator.random((crystals, atoms, 12)) < 0.9,
        "neighbor_image": np.zeros((crystals, atoms, 12, 3), np.int32),
        "atom_mask": np.ones((crystals, atoms), bool),
        "kpoints": generator.uniform(-0.5, 0.5, (crystals, 64, 3)).astype(np.float32),
    }


def refused(kind: type[BandrtError], code: str, path: Path, **options: object) -> str:
    with pytest.raises(kind) as caught:
        open_session(path, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_session_computes_what_the_model_says(tiny_engine: Path) -> None:
    inputs = random_inputs()
    with open_session(tiny_engine, threads=1) as session:
        energies = session.run(inputs)["band_energies"]
    mask = inputs["neighbor_mask"]
    distance = (inputs["neighbor_distance"] * mask).sum(axis=(1, 2)) / mask.sum(axis=(1, 2))
    wave = np.cos(2 * np.pi * inputs["kpoints"]).sum(axis=2)
    levels, slopes = np.array([-3, -2, -1, 1, 2, 3]), np.array([0.1, 0.1, 0.2, -0.2, 0.1, 0.1])
    expected = (
        levels[:, None] * (distance / 3)[:, None, None]
        + slopes[:, None] * wave[:, None]
        + 0.01 * inputs["atomic_numbers"].mean(axis=1)[:, None, None]
    )
    np.testing.assert_allclose(energies, expected, atol=ENERGY_TOLERANCE_EV)


def test_the_same_input_gives_the_same_bits(tiny_engine: Path) -> None:
    inputs = random_inputs(crystals=5, atoms=7)
    with open_session(tiny_engine) as session, open_session(tiny_engine, threads=1) as other:
        first = session.run(inputs)["band_energies"]
        np.testing.assert_array_equal(session.run(inputs)["band_energies"], first)
        np.testing.assert_allclose(other.run(inputs)["band_energies"], first, atol=ENERGY_TOLERANCE_EV)


def test_the_manifest_is_read_without_a_backend(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert read_manifest(tiny_engine).recipe.kpath.n_kpoints == 64


def test_a_missing_backend_names_the_extra(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "bandrt[cpu]" in refused(MissingPackageError, "missing-package", tiny_engine)


def test_without_onnxruntime_a_gpu_needs_the_build_that_has_cuda(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "bandrt[cuda]" in refused(MissingPackageError, "missing-package", machine.engine, device="cuda:0")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.onnx" in refused(EngineError, "engine-not-found", tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("name", ["model.pt", "model"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    refused(EngineError, "engine-format", tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"data_crystal\n" * 9, b"\x08"], ids=["empty", "noise", "text", "cut"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(EngineError, "engine-unreadable", path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_model_is_refused(tiny_engine: Path, tmp_path: Path, share: float) -> None:
    whole = tiny_engine.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(EngineError, "engine-unreadable", path)


def test_a_model_without_manifest_is_refused(tiny_engine: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(tiny_engine))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    assert "bandrt export" in refused(ManifestError, "manifest-missing", tmp_path / "bare.onnx")


def test_a_manifest_of_another_format_is_refused(tiny_engine: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(tiny_engine))
    [entry] = [p for p in model.metadata_props if p.key == METADATA_KEY]
    entry.value = entry.value.replace('"format_version": 1', '"format_version": 99')
    (tmp_path / "future.onnx").write_bytes(with_checksum(model.SerializeToString()))
    refused(ManifestError, "manifest-version", tmp_path / "future.onnx")


def test_a_manifest_that_does_not_describe_the_model_is_refused(tiny_engine: Path, tmp_path: Path) -> None:
    import dataclasses

    import onnx

    changes = {
        "outputs": ("band_energies", "band_center"),
        "inputs": ("atomic_numbers", "kpoints"),
        "recipe k-points": Recipe(kpath=KpathRecipe(n_kpoints=256)),
        "recipe neighbours": Recipe(graph=GraphRecipe(n_neighbors=16), kpath=KpathRecipe(n_kpoints=64)),
        "bands": BandRule(n_bands=8, n_valence=4),
    }
    for what, value in changes.items():
        model = onnx.load(str(tiny_engine))
        manifest = dataclasses.replace(read_manifest(tiny_engine), **{what.split()[0]: value})
        [entry] = [p for p in model.metadata_props if p.key == METADATA_KEY]
        entry.value = manifest.to_json()
        path = tmp_path / f"{what}.onnx"
        path.write_bytes(with_checksum(model.SerializeToString()))
        refused(EngineError, "engine-mismatch", path)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "", "cuda:-1"])
def test_an_unknown_device_is_refused(tiny_engine: Path, device: str) -> None:
    refused(UsageError, "unknown-device", tiny_engine, device=device)


def test_devices_are_parsed() -> None:
    assert parse_device("cpu") == ("cpu", 0)
    assert parse_device("cuda") == ("cuda", 0)
    assert parse_device("cuda:3") == ("cuda", 3)


def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: NoDriver("this machine has no NVIDIA driver"))
    message = refused(EngineError, "device-unavailable", tiny_engine, device="cuda:0")
    assert "device cuda:0 needs an NVIDIA GPU, and this machine has no NVIDIA driver; run it on the CPU: --device cpu" in message


def test_a_gpu_beyond_those_of_the_machine_is_refused_by_name(machine: Any) -> None:
    for path in (machine.engine, machine.plan):
        message = refused(EngineError, "device-unavailable", path, device="cuda:1")
        assert "asked to run on cuda:1, this machine has cuda:0 NVIDIA GeForce RTX 4090" in message


def test_an_onnxruntime_without_cuda_is_named_with_its_remedy(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    message = refused(EngineError, "device-unavailable", machine.engine, device="cuda:0")
    assert "pip uninstall onnxruntime, then pip install 'bandrt[cuda]'" in message


def test_a_cuda_provider_that_does_not_start_is_never_replaced_by_the_cpu(
    machine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    asked = []

    def falls_back(path: str, **options: Any) -> Any:
        asked.extend(options.pop("providers"))
        return inference_session(path, providers=["CPUExecutionProvider"], **options)

    inference_session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9: no such file\nPlease follow a link")
    )
    message = refused(EngineError, "device-unavailable", machine.engine, device="cuda:0")
    assert "the CPU does not take its place" in message
    assert "could not start CUDAExecutionProvider on it (Failed to load libcudnn.so.9: no such file), and the CPU" in message
    assert capsys.readouterr().out == ""
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in message
    assert asked[1][1]["use_tf32"] == "0"  # after the session that tells what the model takes


def test_a_batch_that_does_not_fit_is_told_from_one_that_fails(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            if len(feeds["kpoints"]) > 2:
                raise RuntimeError("[ONNXRuntimeError] : 6 : BFCArena::AllocateRawInternal Failed to allocate memory for 8 bytes")
            return [np.zeros((len(feeds["kpoints"]), 6, 64), np.float32)]

    with OnnxSession(tiny_engine, whole_batches=True) as session:
        monkeypatch.setattr(session, "_session", Full())
        with pytest.raises(OutOfMemoryError, match="cpu has no memory for 3 crystals of up to 4 atoms"):
            session.run(random_inputs(crystals=3, atoms=4))
        small, large, last = session.run_many([random_inputs(crystals=n) for n in (1, 3, 2)])
    assert isinstance(large, OutOfMemoryError)
    assert (len(small["band_energies"]), len(last["band_energies"])) == (1, 2)


def test_a_batch_the_backend_can_not_run_is_an_engine_error(tiny_engine: Path) -> None:
    inputs = random_inputs()
    inputs["kpoints"] = inputs["kpoints"][:, :10]
    with open_session(tiny_engine) as session, pytest.raises(EngineError) as caught:
        session.run(inputs)
    assert caught.value.code == "engine-failed"
    assert "2 crystals" in caught.value.message
