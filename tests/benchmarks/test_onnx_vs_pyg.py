"""The benchmark of ONNX Runtime against PyTorch Geometric runs on a trained checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandrt.manifest import BandRule, TrainingDomain
from tests.support.scripts import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "onnx_vs_pyg.py"


@pytest.mark.slow
def test_it_times_both_sides_of_a_checkpoint(tmp_path: Path) -> None:
    # here and not above: torch is imported when a test needs it, under the warning filters of the tests
    from bandrt_train.checkpoint import save_checkpoint
    from tests.support.small_models import RECIPE, SMALL, perturbed

    model, checkpoint = perturbed(replace(SMALL, encoder_layers=1, decoder_layers=1)), tmp_path / "model.ckpt"
    save_checkpoint(checkpoint, model=model, config=model.config, recipe=RECIPE, bands=BandRule(), training=TrainingDomain())
    module = load_script(SCRIPT)
    arguments = ["--checkpoint", str(checkpoint), "--batch", "2", "--repeats", "1", "--no-save"]
    result = CliRunner().invoke(module.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "ratio" in result.output
