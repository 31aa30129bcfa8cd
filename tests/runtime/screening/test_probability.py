"""Probabilities against what can be worked out by hand, and against drawing labels as a calibration says they come."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest

from bandrt.calibration import DirectCalibration, LinearForm
from bandrt.errors import UsageError
from bandrt.screening.criteria import Criteria
from bandrt.screening.probability import expected_gap_error, probability_of_gap, probability_of_metal
from bandrt.screening.shortlist import probability_of_match
from tests.support.calibrations import TELLING, plain_calibration, predicted_gaps


def test_a_gap_has_the_share_of_the_residuals_that_lead_there() -> None:
    predicted = predicted_gaps([3.0, 0.0])
    # a non-metal at 0.8, its gap evenly between 2 and 4; a metal that is none at 0.1, its gap evenly between 0 and 2
    np.testing.assert_allclose(probability_of_gap(plain_calibration(), predicted, 2.5, 3.0), [0.8 * 0.25, 0.0])
    np.testing.assert_allclose(probability_of_gap(plain_calibration(), predicted, 0.5, 1.5), [0.0, 0.1 * 0.5])
    np.testing.assert_allclose(probability_of_metal(plain_calibration(), predicted), [0.2, 0.9])


def test_no_gap_is_below_zero() -> None:
    # evenly between -0.5 and 1.5, of which what lies below 0 is cut off
    np.testing.assert_allclose(probability_of_gap(plain_calibration(), predicted_gaps([0.5]), 0.0, 0.75), [0.8 * 0.5])


def test_all_windows_together_are_certain() -> None:
    calibration = plain_calibration(
        shift=LinearForm(0.1, {"gap": -0.05, "magnetic": 0.2}),
        log_scale=LinearForm(-0.5, {"log_gap": 0.2, "log_uncertainty": 0.3}),
        residuals=(-3.0, -0.5, -0.1, 0.0, 0.2, 0.7, 4.0),
        uncertainty_range_ev=(0.2, 1.0),
    )
    predicted = predicted_gaps(
        [0.0, 0.01, 1.0, 5.0, 20.0],
        uncertainty=[0.1, 0.3, 0.5, 2.0, 0.4],
        warnings=["magnetic:Fe", "", "magnetic:Fe;layered", "", ""],
    )
    ends = [0.0, 0.5, 1.0, 1.6, 3.0, 30.0]
    parts = [probability_of_gap(calibration, predicted, low, high) for low, high in pairwise(ends)]
    np.testing.assert_allclose(np.sum(parts, axis=0) + probability_of_metal(calibration, predicted), 1.0, atol=1e-9)


def test_labels_that_are_drawn_as_the_calibration_says_are_as_often_in_a_window() -> None:
    generator, n = np.random.default_rng(0), 200_000
    calibration = plain_calibration(
        shift=LinearForm(0.2, {"gap": -0.1}), log_scale=LinearForm(math.log(0.5), {}), residuals=(-2.0, -0.5, 0.0, 0.5, 3.0)
    )
    gap = 1.2
    residual = np.interp(generator.uniform(size=n), np.linspace(0.0, 1.0, 5), calibration.residuals)
    label = gap + 0.2 - 0.1 * gap + 0.5 * residual
    label = label[label > 0.0]
    label = np.where(generator.uniform(size=len(label)) < 0.8, label, 0.0)
    for low, high in ((0.3, 0.9), (1.0, 1.6), (1.5, math.inf)):
        [p] = probability_of_gap(calibration, predicted_gaps([gap]), low, high)
        assert p == pytest.approx(((label >= low) & (label <= high)).mean(), abs=4e-3)


def test_a_warning_an_uncertainty_and_a_gap_each_change_what_is_expected() -> None:
    calibration = plain_calibration(
        called_nonmetal=LinearForm(0.0, {"magnetic": -1.0, "log_uncertainty": -2.0, "log_gap": 1.0}),
        uncertainty_range_ev=(0.1, 1.0),
    )
    predicted = predicted_gaps([1.0, 1.0, 1.0, 2.0], uncertainty=[0.3, 0.3, 0.6, 0.3], warnings=["", "layered;magnetic:Fe", "", ""])
    plain, magnetic, unsure, larger = 1.0 - probability_of_metal(calibration, predicted)
    assert magnetic == pytest.approx(1 / (1 + math.exp(1.0) * (1 - plain) / plain))
    assert unsure < plain < larger


def test_beyond_what_was_fitted_an_error_is_that_of_the_nearest() -> None:
    calibration = plain_calibration(
        log_scale=LinearForm(-2.0, {"log_gap": 1.0, "log_uncertainty": 1.0}),
        gap_range_ev=(0.5, 4.0),
        uncertainty_range_ev=(0.2, 1.0),
    )
    far, nearest = (
        probability_of_gap(calibration, predicted_gaps([gap], uncertainty=[doubt]), gap, gap + 1.0)
        for gap, doubt in ((9.0, 5.0), (4.0, 1.0))
    )
    np.testing.assert_allclose(far, nearest)


def test_of_a_crystal_of_which_no_error_can_be_expected_nothing_is_said() -> None:
    calibration = plain_calibration(uncertainty_range_ev=(0.2, 1.0))
    predicted = predicted_gaps([1.0, 1.0], uncertainty=[math.nan, 0.5])
    assert np.isnan(probability_of_gap(calibration, predicted, 0.0, 2.0)).tolist() == [True, False]
    assert np.isnan(probability_of_metal(calibration, predicted)).tolist() == [True, False]
    assert not np.isnan(probability_of_gap(plain_calibration(), predicted, 0.0, 2.0)).any()  # an engine without uncertainties


def test_direct_and_indirect_are_what_the_excess_of_the_direct_gap_tells() -> None:
    calibration = plain_calibration(direct=TELLING)
    predicted = predicted_gaps([3.0, 3.0, 0.0], direct=[3.0, 3.5, 0.0])
    direct, indirect, either = (
        probability_of_match(calibration, predicted, Criteria(gap=(0.0, 10.0), direct=wanted), name="out")
        for wanted in (True, False, None)
    )
    non_metal = 1.0 - probability_of_metal(calibration, predicted)
    np.testing.assert_allclose(direct + indirect, non_metal)
    np.testing.assert_allclose(either, 1.0)
    assert direct[0] == pytest.approx(0.8 / (1 + 0.01 * math.exp(2.0)))  # log-odds of -2 - log(0.01)
    assert direct[1] < direct[0]
    assert direct[2] == pytest.approx(0.1 * 0.3)  # of a metal that is none, the share of labels


def test_an_engine_that_does_not_tell_direct_gaps_gives_their_share_and_one_of_which_nothing_is_known_none() -> None:
    predicted, criteria = predicted_gaps([3.0, 3.0], direct=[3.0, 9.0]), Criteria(direct=True)
    unskilled = plain_calibration(direct=DirectCalibration(100, 0.3, 200))
    np.testing.assert_allclose(probability_of_match(unskilled, predicted, criteria, name="out"), 0.8 * 0.3)
    with pytest.raises(UsageError, match="says nothing of direct gaps") as caught:
        probability_of_match(plain_calibration(), predicted, criteria, name="out")
    assert caught.value.code == "no-calibration"


def test_zero_to_zero_is_a_metal() -> None:
    predicted = predicted_gaps([3.0, 0.0])
    found = probability_of_match(plain_calibration(), predicted, Criteria(gap=(0.0, 0.0)), name="out")
    np.testing.assert_allclose(found, [0.2, 0.9])


def test_parts_of_predictions_have_the_probabilities_of_the_whole() -> None:
    calibration = dataclasses.replace(plain_calibration(), called_nonmetal=LinearForm(0.0, {"layered": 1.0}))
    predicted = predicted_gaps([1.0, 2.0, 3.0], warnings=["", "layered", "magnetic:Fe;layered"])
    some = np.array([False, True, True])
    np.testing.assert_array_equal(
        probability_of_gap(calibration, predicted.part(some), 0.0, 2.5), probability_of_gap(calibration, predicted, 0.0, 2.5)[some]
    )


def test_the_error_to_expect_of_a_gap_is_the_mean_size_of_its_residuals() -> None:
    calibration = plain_calibration(uncertainty_range_ev=(0.1, 1.0))
    error = expected_gap_error(calibration, predicted_gaps([5.0, 0.5, 0.0, 2.0], uncertainty=[0.5, 0.5, 0.5, math.nan]))
    # residuals are even from -1 to 1 eV; of a gap of 0.5 eV those below -0.5 eV would leave none
    assert error[:2] == pytest.approx([0.5, (0.5 * 0.25 + 1.0 * 0.5) / 1.5], abs=0.01)
    assert np.isnan(error[2:]).all()
    shifted = dataclasses.replace(calibration, shift=LinearForm(2.0, {}))
    assert expected_gap_error(shifted, predicted_gaps([5.0], uncertainty=[0.5])) == pytest.approx([2.0], abs=0.01)


def test_where_no_label_can_have_a_gap_no_error_is_told() -> None:
    calibration = plain_calibration(shift=LinearForm(-9.0, {}))
    assert np.isnan(expected_gap_error(calibration, predicted_gaps([1.0]))).all()
