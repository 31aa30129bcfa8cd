"""The probability that the label of a crystal, not its prediction, meets a criterion: from predictions and a calibration."""

from __future__ import annotations

import numpy as np

from bandrt.calibration import GapCalibration
from bandrt.screening.features import Floats, PredictedGaps, evaluate

_PROBABLE = 200
"""Residuals, each as probable as the others, that stand for their distribution where it is summed over."""
_LEAST = 1e-12
"""So that nothing is divided by zero where all residuals lead below a gap of zero."""


def probability_of_non_metal(calibration: GapCalibration, predicted: PredictedGaps) -> Floats:
    """That the label is a non-metal, (n,)."""
    called_metal, called_nonmetal = (
        _logistic(evaluate(form, predicted, calibration)) for form in (calibration.called_metal, calibration.called_nonmetal)
    )
    return np.where(predicted.is_metal, called_metal, called_nonmetal)


def probability_of_gap(calibration: GapCalibration, predicted: PredictedGaps, low_ev: float, high_ev: float) -> Floats:
    """That the label is a non-metal with a gap from `low_ev` to `high_ev`, (n,); nan where nothing is known."""
    scale = np.exp(evaluate(calibration.log_scale, predicted, calibration))  # eV
    expected = predicted.gap_ev + evaluate(calibration.shift, predicted, calibration)
    below_zero, below_low, below_high = (
        _below(calibration.residuals, (gap - expected) / scale) for gap in (0.0, max(low_ev, 0.0), high_ev)
    )
    of_nonmetals = (below_high - below_low) / np.maximum(1.0 - below_zero, _LEAST)
    lows, highs = (_below(calibration.gaps_of_called_metals, np.array(gap)) for gap in (max(low_ev, 0.0), high_ev))
    within = np.where(predicted.is_metal, highs - lows, of_nonmetals)
    found = probability_of_non_metal(calibration, predicted) * np.clip(within, 0.0, 1.0)
    return np.where(predicted.known(calibration), found, np.nan)


def expected_gap_error(calibration: GapCalibration, predicted: PredictedGaps) -> Floats:
    """By how much the gap of each label is expected to differ from the prediction, eV, (n,): the mean absolute difference.

    It is that of crystals which are called non-metals and are: nan for those that are called metals, and where nothing is known.
    """
    scale = np.exp(evaluate(calibration.log_scale, predicted, calibration))  # eV
    shift = evaluate(calibration.shift, predicted, calibration)
    total, weight = np.zeros(len(predicted)), np.zeros(len(predicted))
    at = np.linspace(0.0, 1.0, len(calibration.residuals))
    for residual in np.interp((np.arange(_PROBABLE) + 0.5) / _PROBABLE, at, calibration.residuals):
        difference = shift + scale * residual
        has_gap = predicted.gap_ev + difference > 0.0
        total += np.where(has_gap, np.abs(difference), 0.0)
        weight += has_gap
    told = predicted.known(calibration) & ~predicted.is_metal & (weight > 0.0)
    return np.where(told, total / np.maximum(weight, 1.0), np.nan)


def probability_of_metal(calibration: GapCalibration, predicted: PredictedGaps) -> Floats:
    """That the label is a metal, (n,); nan where nothing is known."""
    return np.where(predicted.known(calibration), 1.0 - probability_of_non_metal(calibration, predicted), np.nan)


def probability_of_direct(calibration: GapCalibration, predicted: PredictedGaps) -> Floats | None:
    """That the gap of a non-metal is direct, (n,); None where the calibration says nothing of it.

    Of a crystal that is called a metal, and of an engine that does not tell direct from indirect, this is the share of labels.
    """
    direct = calibration.direct
    if direct is None:
        return None
    share = np.full(len(predicted), direct.share)
    if direct.log_odds is None:
        return share
    return np.where(predicted.is_metal, share, _logistic(evaluate(direct.log_odds, predicted, calibration)))


def _below(quantiles: tuple[float, ...], values: Floats) -> Floats:
    """The distribution function that has these quantiles at evenly spaced probabilities from 0 to 1."""
    return np.interp(values, quantiles, np.linspace(0.0, 1.0, len(quantiles)), left=0.0, right=1.0)


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * log_odds)), np.float64)
