"""Verification says how far an engine is from what it was made from, beside how far the model is from the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from bandrt.cli import run
from bandrt.engine import NULL_ENGINE
from bandrt.engine.onnx.file import with_checksum
from bandrt.errors import BandrtError, EngineError
from bandrt.manifest import METADATA_KEY
from bandrt_export.verify import verify

LIMIT_EV = 1e-4

ChangedEngine = Callable[..., Path]


@pytest.fixture
def changed(exported: Any, tmp_path: Path) -> ChangedEngine:
    """Writes the exported engine with one number added to one parameter, or fields of its manifest replaced."""

    def write(*, shift_ev: float = 0.0, **fields: Any) -> Path:
        model = onnx.load(exported.engine)
        [tensor] = [one for one in model.graph.initializer if one.name == "heads.center_mean"]
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[2] += shift_ev
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        onnx.helper.set_model_props(model, {METADATA_KEY: replace(exported.manifest, **fields).to_json()})
        (tmp_path / "changed.onnx").write_bytes(with_checksum(model.SerializeToString()))
        return tmp_path / "changed.onnx"

    return write


def test_an_engine_agrees_with_its_checkpoint(exported: Any) -> None:
    found = verify(exported.engine, exported.checkpoint)
    assert found.passed
    assert found.same_checkpoint
    assert found.failures == ()
    assert found.manifest == exported.manifest
    assert found.report.n_crystals == 24
    assert found.report.limit_ev == LIMIT_EV
    assert found.report.reference == "model.ckpt (PyTorch Geometric, fp32, CPU)"


def test_an_engine_agrees_with_itself_to_the_last_digit_or_nearly(exported: Any) -> None:
    found = verify(exported.engine, exported.engine)
    assert found.report.max_energy_error_ev < 0.1 * LIMIT_EV  # one pads where the other does not
    assert found.report.reference == "model.onnx (onnx, fp32, cpu)"


@pytest.mark.parametrize("against", ["checkpoint", "engine"])
def test_an_engine_that_differs_is_found_and_exits_with_1(
    exported: Any, changed: ChangedEngine, examples: Path, against: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = changed(shift_ev=0.02)
    crystals = sorted(examples.glob("*.cif"))[:5]
    assert run(["verify", str(engine), "--against", str(getattr(exported, against)), *map(str, crystals)]) == 1
    text = capsys.readouterr().out
    assert "5 crystals" in text
    assert "differ by 0.02 eV (limit 0.0001) at most, 0.0033 eV on average" in text
    assert "FAILED" in text
    options = ["--against", str(getattr(exported, against)), "--limit-ev", "0.03"]
    assert run(["verify", str(engine), *options, *map(str, crystals)]) == 0
    text = capsys.readouterr().out
    assert "(limit 0.03)" in text
    assert "passed" in text


def test_half_precision_is_judged_by_the_mean_and_the_gaps(
    exported: Any, half_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(half_engine), "--against", str(exported.checkpoint)]) == 0
    text = capsys.readouterr().out
    assert "eV (limit 0.005) on average" in text
    assert "eV (limit 0.02) at most" in text


def test_the_error_of_the_model_itself_stands_beside_the_difference(
    exported: Any, changed: ChangedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    training = replace(exported.manifest.training, metrics={"validation/energy_mae_ev": 0.5})
    engine = changed(shift_ev=0.006, training=training)
    assert run(["verify", str(engine), "--against", str(exported.checkpoint), "--limit-ev", "0.01"]) == 0
    assert "0.5 eV on average on held-out crystals, 5e+02 times the mean difference" in capsys.readouterr().out
    assert run(["verify", str(exported.engine), "--against", str(exported.checkpoint)]) == 0
    assert "not known: the engine does not say" in capsys.readouterr().out


def test_inputs_that_can_not_be_used_are_named_and_exit_with_3(
    exported: Any, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted(examples.glob("*.cif"))[:2]
    (tmp_path / "broken.cif").write_text("data_broken\n")
    assert run(["verify", str(exported.engine), "--against", str(exported.checkpoint), *map(str, good), str(tmp_path)]) == 3
    captured = capsys.readouterr()
    assert "2 crystals" in captured.out
    assert "left out [" in captured.err
    assert "broken.cif" in captured.err


def test_a_crystal_too_large_for_the_engine_is_left_out(exported: Any, changed: ChangedEngine) -> None:
    engine = changed(profile=replace(exported.manifest.profile, max_atoms=20))
    found = verify(engine, exported.checkpoint)
    assert found.report.n_atoms[-1] == 20
    assert {failure.code for failure in found.failures} == {"too-many-atoms"}


def test_nothing_to_compare_is_an_error(exported: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.cif").write_text("data_broken\n")
    with pytest.raises(BandrtError, match=r"none of 1 crystals can be used.*broken\.cif") as refused:
        verify(exported.engine, exported.checkpoint, [tmp_path])
    assert refused.value.code == "no-input"


def test_models_that_are_fed_differently_are_not_compared(exported: Any, changed: ChangedEngine) -> None:
    recipe = exported.manifest.recipe
    engine = changed(recipe=replace(recipe, graph=replace(recipe.graph, cutoff=7.0)))
    with pytest.raises(BandrtError, match=r"recipe\.graph\.cutoff is 7\.0 and 8\.0") as refused:
        verify(engine, exported.checkpoint)
    assert refused.value.code == "not-comparable"


def test_models_of_different_checkpoints_are_compared_with_a_note(
    exported: Any, changed: ChangedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = changed(checkpoint_sha256="0" * 64)
    assert run(["verify", str(engine), "--against", str(exported.checkpoint)]) == 0
    assert "different checkpoints" in capsys.readouterr().out


def test_the_outcome_can_be_had_as_json(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(exported.engine), "--against", str(exported.checkpoint), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["passed"] is True
    assert outcome["report"]["n_crystals"] == 24
    assert outcome["report"]["max_energy_error_ev"] < LIMIT_EV
    assert outcome["left_out"] == []


def test_an_engine_that_computes_nothing_is_not_compared(exported: Any) -> None:
    with pytest.raises(BandrtError) as caught:
        verify(NULL_ENGINE, exported.engine)
    assert caught.value.code == "null-engine"


def test_a_missing_engine_is_named(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="absent"):
        verify(tmp_path / "absent.onnx", exported.checkpoint)
