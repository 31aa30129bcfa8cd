"""Results to convert: three crystals in two parts, a metal among them, with walks of different lengths."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bandrt.results.prediction import Prediction
from tests.support.predicted_crystals import CUBIC, METAL, TRICLINIC, predicted, write_results


@pytest.fixture(scope="session")
def predictions() -> list[Prediction]:
    """What the folder `out` holds."""
    odd_bytes = dataclasses.replace(predicted("c", TRICLINIC, gap=0.5), path="caf\udce9.cif")
    return [
        predicted("a", CUBIC, warnings=("magnetic:Fe", "spin-orbit:Pb")),
        predicted("b/ö", METAL, gap=0.5, doped=0.4),
        odd_bytes,
    ]


@pytest.fixture
def out(predictions: list[Prediction], tmp_path: Path) -> Path:
    """An output folder."""
    return write_results(tmp_path / "out", [predictions[:2], predictions[2:]])
