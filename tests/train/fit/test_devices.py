"""Several devices share the crystals of a step and learn what one would have learned."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.data.dataset import Dataset
from bandrt_train.fit.config import FitError, TrainerConfig, read_config
from bandrt_train.fit.run import fit
from tests.support.small_fits import CONFIG, N_KPOINTS

TOLERANCE_EV = 2e-3
"""Two processes add gradients in another order, and AdamW makes steps of full length even of gradients that are rounding alone."""
TIMEOUT_S = 240


@pytest.mark.slow
def test_two_processes_learn_what_one_does(data: Dataset, tmp_path: Path) -> None:
    settings = (
        f"epochs = 6\nbatch_size = 4\n[model]\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\ndropout = 0.0\n"
        f"n_kpoints = {N_KPOINTS}\n[optimizer]\nlearning_rate = 2e-2\nwarmup_epochs = 0.0\nema_decay = 0.0\n"
        "[trainer]\naccelerator = 'cpu'\n"
    )
    (tmp_path / "one.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "two.toml").write_text(settings + "devices = 2\nstrategy = 'ddp'\n", encoding="utf-8")
    fit(read_config(tmp_path / "one.toml"), data, tmp_path / "one")
    (tmp_path / "bandrt").write_text("from bandrt.__main__ import main\nmain()\n", encoding="utf-8")  # as an installation makes it
    arguments = ["fit", tmp_path / "two.toml", "--data", data.folder, "-o", tmp_path / "two", "--threads", "1"]
    command = [sys.executable, tmp_path / "bandrt", "train", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint:") == 1  # one of them speaks
    one, two = validation_errors(tmp_path / "one"), validation_errors(tmp_path / "two")
    assert one == pytest.approx(two, abs=TOLERANCE_EV)
    assert max(one) - min(one) > 10 * TOLERANCE_EV


def validation_errors(run: Path) -> list[float]:
    """The error after each epoch, eV."""
    with (run / "log.csv").open(encoding="utf-8") as stream:
        return [float(row["validation/energy_mae_ev"]) for row in csv.DictReader(stream)]


def test_mixed_precision_reaches_the_trainer(data: Dataset, tmp_path: Path) -> None:
    for precision in ("32-true", "bf16-mixed"):
        trainer = TrainerConfig(accelerator="cpu", precision=precision)
        fit(dataclasses.replace(CONFIG, epochs=2, trainer=trainer), data, tmp_path / precision)
    full, mixed = (validation_errors(tmp_path / precision) for precision in ("32-true", "bf16-mixed"))
    assert full == pytest.approx(mixed, abs=TOLERANCE_EV)
    weights = [load_checkpoint(tmp_path / precision / "checkpoint.pt").state for precision in ("32-true", "bf16-mixed")]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_loader_processes_change_nothing(data: Dataset, tmp_path: Path) -> None:
    for workers in (0, 2):
        trainer = TrainerConfig(accelerator="cpu", loader_workers=workers)
        fit(dataclasses.replace(CONFIG, epochs=2, trainer=trainer), data, tmp_path / f"{workers}")
    assert (tmp_path / "0" / "log.csv").read_text(encoding="utf-8") == (tmp_path / "2" / "log.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("trainer", "code", "named"),
    [
        (TrainerConfig(accelerator="cup"), "config-invalid", r"trainer\.accelerator is 'cup', allowed: auto, gpu, cpu"),
        (TrainerConfig(strategy="dpp"), "config-invalid", r"trainer\.strategy is 'dpp'"),
        (TrainerConfig(accelerator="cpu", strategy="fsdp"), "config-invalid", r"trainer\.strategy is 'fsdp'"),
        (TrainerConfig(accelerator="cpu", devices=-1), "config-invalid", r"trainer\.devices is -1"),
        (TrainerConfig(accelerator="gpu"), "device-unavailable", r"trainer\.accelerator is 'gpu'.* set it to 'cpu'"),
        (TrainerConfig(accelerator="tpu"), "device-unavailable", r"trainer\.accelerator is 'tpu'"),
    ],
)
def test_trainers_that_cannot_be_are_refused_by_the_setting(
    trainer: TrainerConfig, code: str, named: str, data: Dataset, tmp_path: Path
) -> None:
    if code == "device-unavailable" and torch.accelerator.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(FitError, match=named) as refused:
        fit(dataclasses.replace(CONFIG, trainer=trainer), data, tmp_path / "run")
    assert refused.value.code == code
    assert not (tmp_path / "run").exists()
