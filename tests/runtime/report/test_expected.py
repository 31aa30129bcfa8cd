"""What is said of the accuracy of a run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.report.expected import expectation
from tests.support.calibrations import plain_calibration, predicted_gaps

FOUR = predicted_gaps(
    [5.0, 3.0, 0.0, 4.0], uncertainty=[0.2, 0.4, 0.6, math.nan], warnings=["", "layered", "layered", "close-atoms:H-H"]
)


def test_crystals_with_one_warning_are_expected_to_be_off_as_their_own_errors_say() -> None:
    found = expectation(FOUR, ["layered", "chain"], None, plain_calibration())
    groups = {one.name: one for one in found.groups}
    assert list(groups) == ["all", "no warning", "layered"], "what no crystal has makes no group"
    assert [one.n_crystals for one in groups.values()] == [4, 1, 2]
    assert [one.energies_ev for one in groups.values()] == pytest.approx([0.4, 0.2, 0.5])
    assert [one.gap_ev for one in groups.values()] == pytest.approx([0.5, 0.5, 0.5], abs=0.01)
    # of non-metals one in five is a metal, of metals one in ten is none
    assert [one.wrong_metal for one in groups.values()] == pytest.approx([3 * 0.2 + 0.1, 0.2, 0.2 + 0.1])


def test_without_a_calibration_gaps_are_not_known() -> None:
    found = expectation(FOUR, [], read_manifest(SHIPPED_ENGINES["fast"]), None)
    assert all(np.isnan([one.gap_ev, one.wrong_metal]).all() for one in found.groups)
    assert any("was not measured" in one for one in found.unknown)
    assert "Of 1 crystals no error can be expected: their atoms are too close, or stand alone." in found.unknown
    facts = dict(found.facts)
    assert facts["error of energies to expect"] == "at most 0.40 eV for half of the crystals, 0.56 eV for nine of ten"
    assert "error of gaps to expect" not in facts
    assert facts["on the validation set"].startswith("mean error of energies 0.")


def test_an_engine_without_an_estimate_says_so() -> None:
    found = expectation(predicted_gaps([1.0, 0.0]), [], None, None)
    assert "The engine does not estimate the error of a crystal." in found.unknown
    assert found.facts == []
