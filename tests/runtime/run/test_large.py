"""Crystals that take minutes are told of before the engine is at them, once."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.large import is_slow

SAID = "has 2 atoms in its primitive cell, and this engine takes minutes for each crystal of more than 1; --engine fast takes"


def test_only_large_crystals_of_a_solver_on_the_cpu_are_slow() -> None:
    accurate, fast = (read_manifest(SHIPPED_ENGINES[name]) for name in ("accurate", "fast"))
    assert is_slow(accurate, "cpu", 101)
    assert not is_slow(accurate, "cpu", 100)
    assert not is_slow(accurate, "cuda", 216)
    assert not is_slow(fast, "cpu", 216)


@pytest.mark.parametrize("engine", ["accurate", "fast"])
def test_it_is_said_once_and_by_a_dry_run(
    engine: str, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bandrt.run.large.LARGE_ATOMS", 1)
    inputs = [examples / "AlAs_mp-2172.cif", examples / "NaCl_mp-22862.vasp", examples / "MgO_mp-1265.vasp"]
    options = InferOptions(engine=SHIPPED_ENGINES[engine], workers=0, threads=1, batch_size=1)
    said = dry_run(inputs, tmp_path / "out", options)
    assert said.get("slow", "").count(SAID) == (engine == "accurate")
    with caplog.at_level(logging.WARNING):
        infer(inputs, tmp_path / "out", options)
    told = [one.getMessage() for one in caplog.records if "takes minutes" in one.getMessage()]
    assert len(told) == (engine == "accurate")
    assert all(SAID in one for one in told)
    caplog.clear()
    infer(inputs, tmp_path / "out", dataclasses.replace(options, mode="resume"))
    assert not [one for one in caplog.records if "takes minutes" in one.getMessage()]
