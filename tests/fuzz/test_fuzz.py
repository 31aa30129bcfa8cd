"""Damaged inputs of every kind give typed errors or crystals, in bounded time, and never end the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.features import featurize
from bandrt.sources import find
from tests.fuzz.child import input_of
from tests.fuzz.corpus import corpus
from tests.fuzz.runner import fuzz

INPUTS = 2000
SECONDS = 60.0
"""A slow machine tries fewer; each run of these tests the same ones, from the first on."""


def test_every_input_of_the_corpus_is_sound(tmp_path: Path) -> None:
    for name, raw in corpus():
        (tmp_path / name).write_bytes(raw)
        for source in find(tmp_path / name):
            assert featurize(source).crystal.n_atoms > 0
        (tmp_path / name).unlink()


def test_an_input_is_known_by_its_number() -> None:
    seeds = corpus()
    inputs = [input_of(number, seeds) for number in range(50)]
    assert inputs == [input_of(number, seeds) for number in range(50)]
    assert sum(raw != dict(seeds)[name] for name, raw in inputs) > 40


@pytest.mark.parametrize(("signal", "told"), [("PROF", "hung"), ("ABRT", "died with -6")])
def test_an_input_that_ends_the_child_is_told_and_the_next_is_tried(
    signal: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\necho '{{\"at\": '$3'}}'\nkill -{signal} $$\n", encoding="utf-8")
    child.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(child))
    report = fuzz(7, 2)
    assert report.faults == [f"7: {told}", f"8: {told}"]
    assert report.inputs == 2


@pytest.mark.slow
def test_damaged_inputs_give_typed_errors_or_crystals() -> None:
    report = fuzz(0, INPUTS, seconds=SECONDS)
    assert report.inputs > 0
    assert report.faults == []
    assert report.unforeseen == []
