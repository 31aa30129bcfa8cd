"""What computes nothing has no errors to be calibrated."""

from pathlib import Path

import pytest

import bandrt
from bandrt_train.evaluation.screening.calibrate import calibrate


def test_the_engine_without_inference_is_not_calibrated() -> None:
    with bandrt.load("null") as engine, pytest.raises(bandrt.UsageError) as caught:
        calibrate(engine, [Path("gaps.csv")], [], [])
    assert caught.value.code == "null-engine"
