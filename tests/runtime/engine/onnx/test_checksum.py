"""An engine is computed with as it was exported, or not at all."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.cli import run
from bandrt.engine import SHIPPED_ENGINES, has_checksum, read_manifest
from bandrt.engine.onnx.file import CHECKSUM_KEY, with_checksum
from bandrt.errors import BandrtError, EngineError
from bandrt.loading import EngineWarning
from bandrt.manifest import METADATA_KEY
from bandrt.report.record import run_facts
from bandrt.sources.textbook import TEXTBOOK, cif

GAAS = cif(next(one for one in TEXTBOOK if one.name == "GaAs"))


def energies(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EngineWarning)
        with bandrt.load(path, threads=1) as engine:
            [result] = engine.predict([GAAS])
    assert isinstance(result, bandrt.Prediction), result
    return result.band_structure.energies


def without_checksum(path: Path, target: Path) -> Path:
    """An engine as earlier versions wrote it."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(path))
    [entry] = [one for one in model.metadata_props if one.key == CHECKSUM_KEY]
    model.metadata_props.remove(entry)
    onnx.save(model, str(target))
    return target


def test_a_flipped_bit_anywhere_is_refused_or_changes_no_energy(tmp_path: Path) -> None:
    raw, expected, path = SHIPPED_ENGINES["fast"].read_bytes(), energies(SHIPPED_ENGINES["fast"]), tmp_path / "flipped.onnx"
    rng = np.random.default_rng(7)
    places = [*rng.integers(0, len(raw), 30), *rng.integers(len(raw) - 5700, len(raw), 30), *range(8), len(raw) - 1]
    refused = 0
    for place in places:
        flipped = bytearray(raw)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(energies(path), expected)
        except BandrtError:
            refused += 1
    assert refused >= len(places) - 3  # the mark of the checksum itself may be hit, and nothing else


def test_a_changed_weight_is_named_as_what_it_is(tiny_engine: Path, tmp_path: Path) -> None:
    raw = bytearray(tiny_engine.read_bytes())
    raw[len(raw) // 3] ^= 1
    (tmp_path / "changed.onnx").write_bytes(raw)
    for bad in (bytes(raw), tiny_engine.read_bytes() + b"\x72\x00"):
        (tmp_path / "changed.onnx").write_bytes(bad)
        with pytest.raises(EngineError, match="its checksum is wrong") as caught:
            read_manifest(tmp_path / "changed.onnx")
        assert caught.value.code == "engine-changed"


def test_the_checksum_takes_the_place_of_an_old_one(tiny_engine: Path) -> None:
    raw = tiny_engine.read_bytes()
    assert with_checksum(raw) == raw
    assert has_checksum(tiny_engine)
    assert has_checksum(SHIPPED_ENGINES["fast"])


def test_an_engine_of_before_the_checksum_is_loaded_with_a_warning(tiny_engine: Path, tmp_path: Path) -> None:
    old = without_checksum(tiny_engine, tmp_path / "old.onnx")
    with pytest.warns(EngineWarning, match=r"old\.onnx: has no checksum of its weights"):
        bandrt.load(old).close()
    np.testing.assert_array_equal(energies(old), energies(tiny_engine))


def test_infer_says_and_records_that_an_engine_has_no_checksum(
    tiny_engine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "GaAs.cif").write_text(GAAS)
    for engine, out in ((tiny_engine, "new"), (without_checksum(tiny_engine, tmp_path / "old.onnx"), "old")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert (
                run(["infer", str(tmp_path / "GaAs.cif"), "-o", str(tmp_path / out), "--engine", str(engine), "--workers", "1"])
                == 0
            )
        record = json.loads((tmp_path / out / "run.json").read_text())
        assert record["engine"]["has_checksum"] is (out == "new")
        assert ("has no checksum" in caplog.text) is (out == "old")
        assert ("checksum" in dict(run_facts(record))) is (out == "old")


def test_inspect_does_not_vouch_for_an_engine_without_a_checksum(
    tiny_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for engine, there in ((tiny_engine, True), (without_checksum(tiny_engine, tmp_path / "old.onnx"), False)):
        assert run(["inspect", str(engine)]) == 0
        assert ("none: what follows may be of another file" in capsys.readouterr().out) is not there
        assert run(["inspect", str(engine), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["has_checksum"] is there


def test_weights_in_other_files_are_refused(tiny_engine: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny_engine))
    onnx.save(model, str(tmp_path / "e.onnx"), save_as_external_data=True, size_threshold=0, location="weights.bin")
    for raw in ((tmp_path / "e.onnx").read_bytes(), with_checksum((tmp_path / "e.onnx").read_bytes())):
        (tmp_path / "e.onnx").write_bytes(raw)
        with pytest.raises(EngineError) as caught:
            read_manifest(tmp_path / "e.onnx")
        assert caught.value.code in ("engine-external-data", "engine-changed")
    assert caught.value.code == "engine-external-data"


HOSTILE = {
    "deep": "[" * 100_000,
    "deep but closed": "[" * 500 + "]" * 500,
    "a number that is none": '{"format_version": 1, "model": {"a": NaN}}',
    "infinite": '{"format_version": 1, "model": {"a": -Infinity}}',
    "infinite by its digits": '{"format_version": 1, "model": {"a": 1e999}}',
    "digits": '{"format_version": ' + "1" * 5000 + "}",
    "large": '{"format_version": 1, "bands": {"metal_tolerance_ev": 1' + "0" * 400 + "}}",
    "twice": '{"format_version": 1, "format_version": 1}',
    "long": '{"format_version": 1, "x": "' + "x" * 2**24 + '"}',
    "a text": '"manifest"',
    "escape": '{"format_version": 1, "licence": "\\u001b[31m"}',
    "lone": '{"format_version": 1, "\\ud800": 1}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_is_refused_by_a_code_and_a_short_message(tiny_engine: Path, tmp_path: Path, text: str) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny_engine))
    [entry] = [one for one in model.metadata_props if one.key == METADATA_KEY]
    entry.value = text
    path = tmp_path / "hostile.onnx"
    path.write_bytes(with_checksum(model.SerializeToString()))
    with pytest.raises(BandrtError) as caught:
        read_manifest(path)
    assert caught.value.code == "manifest-invalid"
    assert len(caught.value.message) < 1000 + len(str(path))


@pytest.mark.parametrize("name", ["m_deep", "m_esc2"])
def test_known_hostile_engines_are_refused_by_the_commands(shared: Path, name: str) -> None:
    engine = shared / "cases" / "faults" / "onnx" / f"{name}.onnx"
    for command in (["inspect", str(engine)], ["infer", str(engine.parent), "-o", "nowhere", "--engine", str(engine)]):
        done = subprocess.run([sys.executable, "-m", "bandrt", *command], capture_output=True, check=False)
        assert done.returncode in (1, 2)
        assert done.stderr.startswith(b"error [")
        assert b"[bug]" not in done.stderr
        assert not any(byte in done.stderr for byte in b"\x1b\x07\x9b" if byte < 128)
