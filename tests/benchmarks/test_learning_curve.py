"""The curve of errors: every size learns from so many crystals, the test split is the same, and the file can be read again."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.learning_curve import main
from click.testing import CliRunner

from bandrt_train.data.builder import build_dataset
from tests.support.small_fits import RECIPE

CONFIG = """
[model]
d_model = 12
n_heads = 2
encoder_layers = 1
decoder_layers = 1
d_feedforward = 24
n_gaussians = 8
"""


def test_a_curve_of_two_sizes(labels: Path, tmp_path: Path) -> None:
    shard = labels / "dft-pbe-31740742a8d2.jsonl.gz"
    data = build_dataset([shard], tmp_path / "data", RECIPE)
    (tmp_path / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    sizes = (4, data.header.counts["train"])
    arguments = [str(tmp_path / "tiny.toml"), str(data.folder), "--steps", "6", "-o", str(tmp_path / "curve.json")]
    done = CliRunner().invoke(main, [*arguments, "--sizes", ",".join(map(str, sizes))], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert [point["n_crystals"] for point in report["curve"]] == list(sizes)
    assert report["curve"][0]["epochs"] > report["curve"][1]["epochs"] >= 1
    assert report["model"]["n_kpoints"] == RECIPE.featurization.kpath.n_kpoints
    for point in report["curve"]:
        assert point["test"]["total"]["n_crystals"] == data.header.counts["test"]
        assert 0.0 < point["test"]["total"]["energy_mae_ev"] < 20.0
    assert report["training mean"]["total"]["n_crystals"] == data.header.counts["test"]
    refused = CliRunner().invoke(main, [*arguments, "--sizes", "4,100000"])
    assert refused.exit_code == 2
    assert "fewer than 100000" in refused.output
