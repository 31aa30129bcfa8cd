"""The reference model takes part in the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.errors import BandrtError
from bandrt.manifest import BandRule, TrainingDomain
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.evaluation import contenders
from bandrt_train.model.bandformer import build_model
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
    assert (eager.name, eager.recipe, yardstick.recipe) == ("PyG eager model.ckpt", BLOCH_RECIPE, BLOCH_RECIPE)
    assert yardstick.flops_per_second == 2 * 100**3  # each product took a second
    energies = eager.prepare(bloch_features()[:3])()
    assert energies.shape == (3, 6, 48)  # type: ignore[attr-defined]


def test_more_crystals_are_more_work(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contenders.PRODUCT_SIZE, "cpu", 100)
    _, yardstick = contenders.reference_contenders(checkpoint, device="cpu", threads=1, compiled=False, clock=seconds)
    one, crystals = bloch_features()[4], bloch_features()[4:5] * 3
    assert yardstick.flops(crystals) == 3 * yardstick.flops([one])
    assert yardstick.flops([one]) > 48 * 24 * 24  # at least one linear layer over the path


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
    assert (engine["contender"], reference["contender"]) == ("fast.onnx", "PyG eager model.ckpt")
    assert engine["ratio"] > 0
    assert reference["ratio"] is None
    assert reference["matrix_rate_fraction"] > 0
