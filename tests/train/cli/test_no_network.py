"""Only `train download` speaks to a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bandrt.computed.documents import DocumentText
from bandrt_train.data.dataset import Dataset
from bandrt_train.fit.run import fit
from tests.support.network import spoken_to
from tests.support.small_fits import CONFIG


@pytest.mark.slow
def test_training_speaks_to_no_network(label_texts: list[DocumentText], tmp_path: Path) -> None:
    chosen = [t.text.strip() for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][::12]
    (tmp_path / "labels.jsonl").write_text("\n".join(chosen), encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(
        "epochs = 1\n[model]\nd_model = 12\nn_heads = 2\nencoder_layers = 1\ndecoder_layers = 1\nn_kpoints = 32\n", encoding="utf-8"
    )
    data, fitted = tmp_path / "data", tmp_path / "run"
    commands = [
        ["train", "dataset", tmp_path / "labels.jsonl", "-o", data, "--n-kpoints", "32", "--validation", "0.3"],
        ["train", "fit", tmp_path / "tiny.toml", "--data", data, "-o", fitted, "--threads", "1"],
        ["train", "evaluate", fitted / "checkpoint.pt", data, "--json"],
        ["train", "compare", fitted],
    ]
    assert spoken_to(commands, tmp_path / "calls") == []


@pytest.mark.slow
def test_exporting_and_judging_speak_to_no_network(data: Dataset, examples: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnxscript")
    members = [fit(replace(CONFIG, epochs=1, seed=seed), data, tmp_path / str(seed)).checkpoint for seed in (0, 1)]
    engine, crystal = tmp_path / "model.onnx", examples / "AlAs_mp-2172.cif"
    commands = [
        ["train", "ensemble", *members, "--data", data.folder, "-o", tmp_path / "ensemble.pt"],
        ["export", members[0], "-o", engine, "-q"],
        ["verify", engine, "--against", members[0], crystal],
        ["bench", crystal, "--engine", engine, "--checkpoint", members[0], "--batch-size", "1", "--seconds", "0.1"],
        ["train", "evaluate", engine, data.folder, "-o", tmp_path / "report"],
        ["train", "card", engine, tmp_path / "report" / "report.json", "-o", tmp_path / "CARD.md"],
    ]
    assert spoken_to(commands, tmp_path / "calls") == []
