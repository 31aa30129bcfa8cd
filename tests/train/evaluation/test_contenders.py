"""The reference model takes part in the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bandrt.cli import run
from bandrt.errors import BandrtError
from bandrt.manifest import BandRule, TrainingDomain
from bandrt_export.parity import featurize_all
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.data.hamiltonian.folds import HeldOut
from bandrt_train.data.recipes import HAMILTONIAN_RECIPE
from bandrt_train.evaluation import contenders
from bandrt_train.hamiltonian_checkpoint import load_hamiltonian, save_hamiltonian
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.small_hamiltonians import SILICON, predict, small_model
from tests.support.small_models import BLOCH, BLOCH_RECIPE, bloch_features


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contenders") / "model.ckpt"
    save_checkpoint(path, model=build_model(BLOCH), config=BLOCH, recipe=BLOCH_RECIPE, bands=BandRule(), training=TrainingDomain())
    return path


def seconds() -> float:
    """A clock in which every look takes a second."""
    seconds.now += 1.0  # type: ignore[attr-defined]
    return float(seconds.now)  # type: ignore[attr-defined]


seconds.now = 0.0  # type: ignore[attr-defined]


def test_the_reference_runs_on_the_crystals_of_its_own_recipe(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contenders.PRODUCT_SIZE, "cpu", 100)
    [eager], yardstick = contenders.reference_contenders(checkpoint, device="cpu", threads=1, compiled=False, clock=seconds)
    assert yardstick is not None
    assert (eager.name, eager.recipe, yardstick.recipe) == ("PyG eager model.ckpt", BLOCH_RECIPE, BLOCH_RECIPE)
    assert yardstick.flops_per_second == 2 * 100**3  # each product took a second
    energies = eager.prepare(bloch_features()[:3])()
    assert energies.shape == (3, 6, 48)  # type: ignore[attr-defined]


def test_more_crystals_are_more_work(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contenders.PRODUCT_SIZE, "cpu", 100)
    _, yardstick = contenders.reference_contenders(checkpoint, device="cpu", threads=1, compiled=False, clock=seconds)
    assert yardstick is not None
    one, crystals = bloch_features()[4], bloch_features()[4:5] * 3
    assert yardstick.flops(crystals) == 3 * yardstick.flops([one])
    assert yardstick.flops([one]) > 48 * 24 * 24  # at least one linear layer over the path


@pytest.fixture(scope="module")
def hamiltonian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contenders") / "hamiltonian.pt"
    training = TrainingDomain(n_crystals=1, elements=("Si",), max_atoms=2)
    save_hamiltonian(path, model=small_model().float(), held_out=HeldOut(), training=training)
    return path


def test_a_learned_hamiltonian_gives_its_filled_bands(hamiltonian: Path) -> None:
    [one], yardstick = contenders.reference_contenders(hamiltonian, device="cpu", threads=1, compiled=False, clock=seconds)
    assert (one.name, one.recipe, yardstick) == ("torch hamiltonian.pt", HAMILTONIAN_RECIPE, None)
    features = featurize_all([SILICON], HAMILTONIAN_RECIPE)
    [filled] = one.prepare(features)()  # type: ignore[misc]
    expected = predict(
        load_hamiltonian(hamiltonian).build_model().eval(), find_pairs(features[0].crystal), features[0].kpath.frac_kpoints
    )
    np.testing.assert_allclose(filled.energies, expected.energies, atol=1e-4)  # k-points of fp32


@pytest.mark.parametrize(("device", "compiled", "code"), [("cpu", True, "compile-unused"), ("cuda:0", False, "device-unavailable")])
def test_a_learned_hamiltonian_is_neither_compiled_nor_timed_on_a_gpu(
    hamiltonian: Path, device: str, compiled: bool, code: str
) -> None:
    with pytest.raises(BandrtError) as caught:
        contenders.reference_contenders(hamiltonian, device=device, threads=1, compiled=compiled, clock=seconds)
    assert caught.value.code == code


def test_the_command_puts_a_learned_hamiltonian_beside_its_engine(
    hamiltonian: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crystal = str(examples / "AlAs_mp-2172.cif")
    arguments = ["--engine", "accurate", "--checkpoint", str(hamiltonian), "--batch-size", "1", "--seconds", "0", "--json", crystal]
    assert run(["bench", *arguments, "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["contender"] for row in report["latency"]] == ["accurate.onnx", "torch hamiltonian.pt"]
    assert all(row["latency"]["p50_ms"] > 0 for row in report["latency"])
    assert report["matrix_rate_tflops"] is None


def test_a_gpu_that_torch_does_not_see_is_refused(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BandrtError) as caught:
        contenders.reference_contenders(checkpoint, device="cuda:0", threads=1, compiled=False, clock=seconds)
    assert caught.value.code == "device-unavailable"


def test_the_command_puts_a_checkpoint_beside_the_shipped_engine(
    checkpoint: Path, examples: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(contenders.PRODUCT_SIZE, "cpu", 100)
    crystal = str(examples / "GaAs_mp-8883.cif")
    options = ["--checkpoint", str(checkpoint), "--batch-size", "1", "--seconds", "0", "--threads", "1", "--json"]
    assert run(["bench", crystal, *options]) == 0
    engine, reference = json.loads(capsys.readouterr().out)["latency"]
    assert (engine["contender"], reference["contender"]) == ("accurate.onnx", "PyG eager model.ckpt")
    assert engine["ratio"] > 0
    assert reference["ratio"] is None
    assert reference["matrix_rate_fraction"] > 0
