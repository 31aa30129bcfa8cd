"""The calibration beside an engine is part of its manifest, if it is of these weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import bandrt
from bandrt.cli import run
from bandrt.engine import read_manifest
from bandrt.engine.calibration_file import calibration_path, parse_calibration, write_calibration
from bandrt.errors import ArgumentError, ManifestError
from bandrt.files import file_sha256
from bandrt.manifest import Manifest
from tests.runtime.conftest import TINY_MANIFEST
from tests.support.calibrations import TELLING, plain_calibration

CALIBRATION = plain_calibration(direct=TELLING, dispersion=1.5, log_odds_error=0.05)
"""Of the checkpoint of the tiny engine."""


def test_the_manifest_of_an_engine_has_the_calibration_beside_it_and_the_engine_stays_as_it_is(
    make_engine: Callable[..., Path],
) -> None:
    engine = make_engine()
    before = file_sha256(engine)
    assert read_manifest(engine).calibration is None
    write_calibration(CALIBRATION, calibration_path(engine))
    assert read_manifest(engine) == dataclasses.replace(TINY_MANIFEST, calibration=CALIBRATION)
    with bandrt.load(engine, threads=1) as opened:
        assert opened.manifest.calibration == CALIBRATION
    assert file_sha256(engine) == before


def test_a_calibration_inside_a_manifest_is_read_too_and_one_beside_it_takes_its_place(make_engine: Callable[..., Path]) -> None:
    engine = make_engine(calibration=CALIBRATION)
    assert read_manifest(engine).calibration == CALIBRATION
    newer = dataclasses.replace(CALIBRATION, n_crystals=101)
    write_calibration(newer, calibration_path(engine))
    assert read_manifest(engine).calibration == newer
    assert Manifest.from_json(read_manifest(engine).to_json()) == read_manifest(engine)


def test_one_of_other_weights_is_none(make_engine: Callable[..., Path]) -> None:
    engine = make_engine(checkpoint_sha256="f" * 64)
    write_calibration(CALIBRATION, calibration_path(engine))
    assert read_manifest(engine).calibration is None


@pytest.mark.parametrize("text", ["", "[]", '{"n_crystals": 3}', "{", '{"colour": 1}'])
def test_what_is_no_calibration_is_refused_by_its_name(make_engine: Callable[..., Path], text: str) -> None:
    engine = make_engine()
    calibration_path(engine).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"tiny\.onnx\.calibration\.json") as caught:
        read_manifest(engine)
    assert caught.value.code == "manifest-invalid"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("residuals", [1.0, -1.0]), ("residuals", [1.0]), ("gaps_of_called_metals", []), ("dispersion", 0.5), ("n_crystals", 0),
        ("gap_range_ev", [1.0]), ("uncertainty_range_ev", [0.3]), ("gap_range_ev", [2.0, 1.0]), ("log_odds_error", -1.0),
        ("format_version", 2), ("direct", {"n_crystals": 3, "share": 1.5, "n_labels": 9}), ("shift", {"intercept": 0.0}),
        ("checkpoint_sha256", ""),
    ],
)  # fmt: skip
def test_values_that_no_calibration_has_are_refused(field: str, value: object) -> None:
    values = dataclasses.asdict(CALIBRATION) | {field: value}
    with pytest.raises(ManifestError, match=field.partition("_")[0]):
        parse_calibration(json.dumps(values), name="a.json")


def test_a_calibration_that_is_not_as_it_was_written_is_refused_and_one_without_a_checksum_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_calibration(CALIBRATION, path)
    values = json.loads(path.read_text())
    assert parse_calibration(path.read_text(), name="a.json") == CALIBRATION
    with pytest.raises(ManifestError, match=r"a\.json: the calibration is damaged or was changed") as caught:
        parse_calibration(json.dumps(values | {"dispersion": 1.6}), name="a.json")
    assert caught.value.code == "manifest-invalid"
    del values["content_sha256"]
    assert parse_calibration(json.dumps(values | {"dispersion": 1.5}), name="a.json") == CALIBRATION


@pytest.mark.parametrize("name", ["log_gapp", "", "magnetic:Fe", "uncertainty"])
def test_weights_of_what_is_neither_a_feature_nor_a_warning_are_refused(name: str) -> None:
    values = dataclasses.asdict(CALIBRATION) | {"shift": {"intercept": 0.0, "weights": {"gap": 1.0, name: 1.0}}}
    with pytest.raises(ManifestError, match=r"a\.json: the calibration: shift.*log_gap_squared.*codes of warnings") as caught:
        parse_calibration(json.dumps(values), name="a.json")
    assert caught.value.code == "manifest-invalid"
    assert "manifest" not in caught.value.message


def test_a_link_to_an_engine_has_the_calibration_of_the_engine_unless_it_has_one_of_its_own(
    make_engine: Callable[..., Path], tmp_path: Path
) -> None:
    engine, link = make_engine(), tmp_path / "elsewhere" / "link.onnx"
    link.parent.mkdir()
    link.symlink_to(engine)
    write_calibration(CALIBRATION, calibration_path(link))
    assert calibration_path(link) == calibration_path(engine.resolve())
    assert read_manifest(link).calibration == CALIBRATION
    own = dataclasses.replace(CALIBRATION, n_crystals=101)
    write_calibration(own, link.with_name("link.onnx.calibration.json"))
    assert read_manifest(link).calibration == own
    assert read_manifest(engine).calibration == CALIBRATION


def test_a_calibration_says_what_it_was_fitted_to_in_one_line() -> None:
    assert "100 crystals" in repr(CALIBRATION)
    with pytest.raises(ArgumentError, match="residuals"):
        plain_calibration(residuals=(1.0, 0.0))


def test_inspect_tells_of_it(make_engine: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(calibration=CALIBRATION)
    assert run(["inspect", str(engine)]) == 0
    said = capsys.readouterr().out
    assert "100 crystals of formulas that it has not learned" in said
    assert "direct gaps  told, by 100 non-metals" in said
    assert run(["inspect", str(engine), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["n_crystals"] == 100
