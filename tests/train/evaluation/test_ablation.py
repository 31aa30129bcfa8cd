"""Ablation: means and spreads over seeds that a calculator gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.checkpoint import save_checkpoint
from bandrt_train.cli.group import group
from bandrt_train.evaluation.ablation import AblationError, compare, table, training_run
from bandrt_train.evaluation.tables import METRICS
from bandrt_train.model.bandformer import build_model
from bandrt_train.model.config import ModelConfig

RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=16))


def run(folder: Path, seed: int, energy: float, *, width: int = 12, accuracy: float = 0.9, **domain: Any) -> Path:
    folder.mkdir()
    config = ModelConfig(d_model=width, n_heads=2, encoder_layers=1, decoder_layers=1, d_feedforward=24, n_kpoints=16)
    torch.manual_seed(seed)
    training = TrainingDomain(**({"n_crystals": 5, "data_sha256": "d"} | domain))
    save_checkpoint(
        folder / "checkpoint.pt", model=build_model(config), config=config, recipe=RECIPE, bands=BandRule(), training=training
    )
    settings = {"model": {"variant": "paper", "node_features": "one_hot", "d_model": width}, "gaps": {"weight": 0.3}, "seed": seed}
    (folder / "config.json").write_text(json.dumps(settings))
    total = dict.fromkeys(METRICS, 0.5) | {"energy_mae_ev": energy, "metal_accuracy": accuracy, "gap_mae_ev": None}
    (folder / "validation.json").write_text(json.dumps({"model": {"total": total}}))
    return folder


def test_runs_that_differ_in_the_seed_alone_are_one_row(tmp_path: Path) -> None:
    runs = [run(tmp_path / f"a{seed}", seed, energy) for seed, energy in enumerate((1.0, 1.1, 1.3))]
    wide = run(tmp_path / "wide", 0, 0.9, width=18)
    gaps = run(tmp_path / "gaps", 0, 1.2, n_gaps=7)
    rows = compare([training_run(folder) for folder in (*runs, wide, gaps)])
    assert [row.name for row in rows] == ["paper, one_hot", "model.d_model 18", "gaps 7, gaps.weight 0.3"]
    assert rows[0].seeds == (0, 1, 2)
    assert rows[0].mean["energy_mae_ev"] == pytest.approx(3.4 / 3)
    assert rows[0].spread["energy_mae_ev"] == pytest.approx(((0.4 / 3) ** 2 + (0.1 / 3) ** 2 + (0.5 / 3) ** 2) ** 0.5 / 2**0.5)
    assert rows[1].spread["energy_mae_ev"] is None
    assert rows[0].mean["gap_mae_ev"] is None
    assert rows[1].n_parameters > rows[0].n_parameters


def test_the_best_of_each_column_is_bold_and_columns_of_nothing_are_left_out(tmp_path: Path) -> None:
    folders = [run(tmp_path / "a", 0, 1.0), run(tmp_path / "b", 1, 1.2), run(tmp_path / "c", 0, 0.9, width=18, accuracy=0.8)]
    text = table([row.as_dict() for row in compare([training_run(folder) for folder in folders])])
    header, _, first, second = text.splitlines()
    assert "energy MAE" in header
    assert "| gap MAE" not in header
    assert "1.100 ± 0.141" in first
    assert "**0.900 ± 0.000**" in first  # accuracy: more is better
    assert "**0.900**" in second


def test_rows_can_be_given_names_on_the_command_line(tmp_path: Path) -> None:
    folders = [run(tmp_path / "a", 0, 1.0), run(tmp_path / "b", 1, 1.2), run(tmp_path / "c", 0, 0.9, width=18)]
    arguments = ["compare", f"small={folders[0]}", f"small={folders[1]}", str(folders[2])]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert [line.split(" | ")[0] for line in result.stdout.splitlines()[2:]] == ["| small", "| model.d_model 18"]
    stored = json.loads(CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert table(stored) == result.stdout.rstrip("\n")


@pytest.mark.parametrize("code", ["other-data", "same-run", "other-configuration", "not-a-run"])
def test_runs_that_do_not_compare_are_refused(tmp_path: Path, code: str) -> None:
    first = run(tmp_path / "a", 0, 1.0)
    second = {
        "other-data": lambda: run(tmp_path / "b", 1, 1.0, data_sha256="e"),
        "same-run": lambda: run(tmp_path / "b", 0, 1.0),
        "other-configuration": lambda: run(tmp_path / "b", 1, 1.0, width=18),
        "not-a-run": lambda: tmp_path,
    }[code]()
    with pytest.raises(AblationError) as caught:
        compare([training_run(first, "x"), training_run(second, "x")])
    assert caught.value.code == code
