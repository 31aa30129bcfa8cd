"""Only `train download` speaks to a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bandrt_train.data.documents import DocumentText
from tests.support.network import spoken_to


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
