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


@pytest.mark.slow
def test_damaged_inputs_give_typed_errors_or_crystals() -> None:
    report = fuzz(0, INPUTS, seconds=SECONDS)
    assert report.inputs > 0
    assert report.faults == []
    assert report.unforeseen == []
