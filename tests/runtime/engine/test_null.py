"""The engine without inference does all but the model's work, and nothing takes its results for predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bandrt
from bandrt.batch import pad
from bandrt.cli import run
from bandrt.domain import NO_INFERENCE
from bandrt.engine import NULL_ENGINE, SHIPPED_ENGINES, open_session, read_manifest, shipped_path
from bandrt.engine.null import NullSession
from bandrt.results.store import read
from tests.support.predicted_crystals import CUBIC, METAL


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("null") / "bands"
    assert run(["infer", "examples/crystals", "-o", str(out), "--engine", "null", "--workers", "0", "-q"]) == 0
    return out


def test_it_has_a_name_and_is_no_model_that_ships() -> None:
    assert shipped_path("null") == NULL_ENGINE
    assert NULL_ENGINE not in SHIPPED_ENGINES.values(), "nothing is handed over to it"
    manifest = read_manifest(NULL_ENGINE)
    assert manifest.is_null
    assert (manifest.calibration, manifest.parity, manifest.checkpoint_sha256) == (None, None, "")


def test_its_outputs_are_zeros_of_the_shape_of_the_batch() -> None:
    with bandrt.load("null") as engine:
        batch = pad([engine.featurize(crystal) for crystal in (CUBIC, METAL)])
        [energies] = engine.session.run(batch).values()
    rule, kpath = engine.manifest.bands, engine.manifest.recipe.kpath
    assert energies.shape == (2, rule.n_bands, kpath.n_kpoints)
    assert energies.dtype == "float32"
    assert not energies.any()


def test_it_is_fed_as_the_fast_engine_is() -> None:
    with bandrt.load("null") as null, bandrt.load("fast", threads=1) as fast:
        assert (null.recipe, null.manifest.inputs) == (fast.recipe, fast.manifest.inputs)


def test_every_prediction_says_that_it_is_none() -> None:
    with bandrt.load("null") as engine:
        [prediction] = engine.predict([CUBIC])
    assert isinstance(prediction, bandrt.Prediction)
    assert prediction.warnings[0] == NO_INFERENCE
    assert not prediction.band_structure.energies.any()
    assert prediction.uncertainty_ev is None


def test_a_run_says_so_in_every_row_and_in_its_record(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = list(read(results))
    assert predictions
    assert all(NO_INFERENCE in one.warning_codes for one in predictions)
    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["engine"]["backend"] == "null"
    assert record["warning_codes"][NO_INFERENCE] == len(predictions)


def test_a_run_is_resumed_with_it_and_with_no_other(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["infer", "examples/crystals", "-o", str(results), "--workers", "0", "-q", "--resume", "--engine"]
    assert run([*again, "null"]) == 0
    assert run([*again, "fast"]) == 2
    assert "engine was null" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["screen", "{}", "--gap", "0:1"],
        ["screen", "{}", "--as-predicted"],
        ["report", "{}", "-o", "{}.html"],
        ["refine", "{}", "--gap", "0:1", "--engine", "fast"],
        ["refine", "{}", "--gap", "0:1", "--engine", "null"],
        ["report", "{}", "Si*", "-o", "{}.html"],
        ["infer", "examples/crystals", "-o", "{}-more", "--engine", "null", "--refine", "3", "--gap", "0:1"],
    ],
)
def test_nothing_is_chosen_by_it_or_shown(arguments: list[str], results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([word.format(results) for word in arguments]) == 2
    assert "computes nothing" in capsys.readouterr().err
    assert {path.name for path in results.parent.iterdir()} == {results.name}, "nothing was written"


def test_a_gpu_is_refused() -> None:
    with pytest.raises(bandrt.EngineError) as caught:
        open_session(NULL_ENGINE, device="cuda")
    assert caught.value.code == "device-unavailable"


def test_more_bands_are_refused() -> None:
    with pytest.raises(bandrt.EngineError) as caught:
        bandrt.load("null", bands=12)
    assert caught.value.code == "bands-fixed"


def test_the_manifest_of_a_model_is_none(tmp_path: Path) -> None:
    alone = tmp_path / "fast.manifest"
    alone.write_text(read_manifest(SHIPPED_ENGINES["fast"]).to_json(), encoding="utf-8")
    with pytest.raises(bandrt.ManifestError) as caught:
        NullSession(alone)
    assert caught.value.code == "manifest-invalid"
    alone.write_bytes(b"\xff")
    with pytest.raises(bandrt.EngineError) as unreadable:
        read_manifest(alone)
    assert unreadable.value.code == "engine-unreadable"
