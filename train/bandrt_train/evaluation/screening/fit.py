"""A calibration, fitted to predictions of labelled crystals that an engine has not learned; see `bandrt.calibration`.

Few numbers are fitted, by convex problems, so that the result is the same wherever it is computed to the digits that are kept:

- the log-odds by logistic regression, with a penalty on weights of standardised features;
- the scale of residuals by least squares of the logarithm of their magnitude, the shift by Huber's M-estimate with that scale, in
  turn; their distribution is what is left, cut into quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandrt.calibration import MOST_DISPERSION, DirectCalibration, GapCalibration, LinearForm
from bandrt.screening.features import Floats, feature
from bandrt.screening.probability import probability_of_gap
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.screening.labelled import HeldOut

FLAGS = ("handed-over", "magnetic")
"""Warnings that the error is conditional on; those of unseen elements, more atoms, layers and spin-orbit coupling did not help."""
RIDGE = 2.0
"""Penalty of a standardised weight: that of so many crystals that say it is 0."""
LEAST_EV = 0.05
"""What is added to a magnitude of a residual before its logarithm is taken: gaps are not better known."""
HUBER = 2.0
"""Scales beyond which a residual counts less."""
N_QUANTILES, N_METAL_QUANTILES = 101, 21
FOLDS, DEALS = 5, 4
"""Of the formulas that are left out of a fit in turn, and how often they are dealt anew."""
RESAMPLINGS = 50
WINDOW_EDGES = (0.0, 0.5, 1.0, 1.6, 2.0, 3.0, 4.0, 20.0)
"""eV: ends of the windows that tell how much numbers of hits vary."""
SKILL = 3.84
"""Twice the gain in log-likelihood by which whether a gap is direct must be told better than by the share of direct gaps: by chance
one fit in twenty gains more."""
LEAST_VARIANCE = 0.5
"""Of a number of hits in a window that tells how much such numbers vary."""
LEAST_CRYSTALS = 20
"""Of each kind that something is fitted to."""
DIGITS = 6
Names = Sequence[str]


def fit_gap_calibration(
    held_out: HeldOut, direct: tuple[HeldOut, Floats] | None = None, *, checksums: tuple[str, str, str]
) -> GapCalibration:
    """Fit a calibration.

    Args:
        held_out: crystals with gaps.
        direct: non-metals with direct or indirect gaps, and labels of these and more, 1 where a gap is direct; None: nothing is
            known.
        checksums: of the checkpoint of the engine, of that of the engine it hands over to, and of the labels.

    Raises:
        EvaluationError: ``too-few-crystals``.
    """
    if not np.isnan(held_out.predicted.uncertainty_ev).all():
        held_out = held_out.part(~np.isnan(held_out.predicted.uncertainty_ev))
    fitted = _fitted(held_out, held_out.weights, checksums)
    log_odds_error = _log_odds_error(held_out, fitted, checksums)
    dispersion = min(MOST_DISPERSION, max(1.0, _dispersion(held_out, log_odds_error, checksums)))
    known = None if direct is None else _direct(*direct, fitted)
    return replace(fitted, log_odds_error=_rounded(log_odds_error), dispersion=_rounded(dispersion), direct=known)


def _fitted(held_out: HeldOut, weights: Floats, checksums: tuple[str, str, str]) -> GapCalibration:
    """A calibration of crystals that all have an uncertainty, or none of which has one, of these weights, (n,)."""
    predicted, labels = held_out.predicted, held_out.labels
    estimated = not np.isnan(predicted.uncertainty_ev).any()
    metal, non_metal = predicted.is_metal, labels > 0.0
    for what, some in (
        ("predicted metals", metal),
        ("predicted non-metals", ~metal),
        ("labelled non-metals among the latter", ~metal & non_metal),
    ):
        if (n := int(some.sum())) < LEAST_CRYSTALS:
            raise EvaluationError("too-few-crystals", f"a calibration needs {LEAST_CRYSTALS} {what} or more, there are {n}")
    doubt = ("log_uncertainty",) if estimated else ()
    flags = tuple(code for code in FLAGS if predicted.warned(code).any())
    gap_range = _range(predicted.gap_ev[~metal])
    uncertainty_range = _range(predicted.uncertainty_ev) if estimated else ()

    def columns(names: Names, some: NDArray[np.bool_]) -> Floats:
        part = predicted.part(some)
        return np.stack([feature(name, part, gap_range, uncertainty_range) for name in names], axis=1)

    def odds(names: Names, some: NDArray[np.bool_]) -> LinearForm:
        return _logistic(names, columns(names, some), non_metal[some], weights[some])

    known = ~metal & non_metal
    residual, weight = labels[known] - predicted.gap_ev[known], weights[known]
    shift_names, scale_names = ("gap", *flags), ("log_gap", *doubt, *flags)
    shift, scale = _shift_and_scale(residual, weight, columns(shift_names, known), columns(scale_names, known))
    shift_form, scale_form = _form(shift_names, shift), _form(scale_names, scale)
    left = (residual - _values(shift_form, columns(shift_names, known))) / np.exp(_values(scale_form, columns(scale_names, known)))
    missed = metal & non_metal
    gaps = labels[missed] if missed.any() else labels[known]
    gap_weights = weights[missed] if missed.any() else weight
    return GapCalibration(
        *checksums,
        n_crystals=len(held_out),
        called_metal=odds((*doubt, *flags), metal),
        called_nonmetal=odds(("log_gap", "log_gap_squared", *doubt, *flags), ~metal),
        shift=shift_form,
        log_scale=scale_form,
        residuals=_quantiles(left, weight, N_QUANTILES),
        gaps_of_called_metals=_quantiles(gaps, gap_weights, N_METAL_QUANTILES),
        gap_range_ev=gap_range,
        uncertainty_range_ev=uncertainty_range,
    )


def _log_odds_error(held_out: HeldOut, fitted: GapCalibration, checksums: tuple[str, str, str]) -> float:
    """How far log-odds are off together for the choice of the formulas, as expected numbers of hits show it: by Bayesian bootstrap.

    Source: D. B. Rubin, Ann. Stat. 9, 130 (1981).
    """
    formulas, place = np.unique(held_out.formulas, return_inverse=True)
    generator, found = np.random.default_rng(0), []
    expected, variance = _expected(fitted, held_out)
    told = variance > LEAST_VARIANCE
    if not told.any():
        return 0.0
    for _ in range(RESAMPLINGS):
        weights = held_out.weights * generator.exponential(size=len(formulas))[place]
        again, _ = _expected(_fitted(held_out, weights, checksums), held_out)
        found.append((again - expected)[told] / variance[told])
    return min(1.0, float(np.sqrt(np.mean(np.square(found)))))


def _dispersion(held_out: HeldOut, log_odds_error: float, checksums: tuple[str, str, str]) -> float:
    """By how much more expected and found hits of formulas that were left out of a fit differ than chance and its error have it.

    The mean over folds and windows of the squared difference over the variance that is expected of it.
    """
    formulas, generator, ratios = sorted(set(held_out.formulas)), np.random.default_rng(0), []
    for _ in range(DEALS):
        dealt = dict(zip(formulas, generator.permutation(len(formulas)) % FOLDS, strict=True))
        fold = np.array([dealt[formula] for formula in held_out.formulas])
        for number in range(FOLDS):
            learned, tested = held_out.part(fold != number), held_out.part(fold == number)
            fitted = _fitted(learned, learned.weights, checksums)
            for low, high in pairwise(WINDOW_EDGES):
                p = probability_of_gap(fitted, tested.predicted, low, high)
                hits = ((tested.labels > low) & (tested.labels <= high)).sum()
                expected, variance = float(p.sum()), float((p * (1.0 - p)).sum())
                if variance > LEAST_VARIANCE:
                    ratios.append((expected - hits) ** 2 / (variance + (log_odds_error * variance) ** 2))
    return float(np.mean(ratios)) if ratios else 1.0


def _expected(calibration: GapCalibration, held_out: HeldOut) -> tuple[Floats, Floats]:
    """The expected numbers of hits, and their variances, in the windows that `WINDOW_EDGES` part."""
    p = np.array([probability_of_gap(calibration, held_out.predicted, low, high) for low, high in pairwise(WINDOW_EDGES)])
    return p.sum(axis=1), (p * (1.0 - p)).sum(axis=1)


def _direct(direct: HeldOut, all_labels: Floats, calibration: GapCalibration) -> DirectCalibration | None:
    """Whether gaps are direct, and whether the engine tells."""
    if not len(all_labels):
        return None
    labels, weights, share = direct.labels > 0.0, direct.weights, _rounded(float(all_labels.mean()))
    told = ~direct.predicted.is_metal
    if min(int(labels[told].sum()), int((~labels[told]).sum())) < LEAST_CRYSTALS // 4:
        return DirectCalibration(len(direct), share, len(all_labels))
    predicted, labels, weights = direct.predicted.part(told), labels[told], weights[told]
    excess = feature("log_excess", predicted, calibration.gap_range_ev, calibration.uncertainty_range_ev)[:, None]
    form = _logistic(("log_excess",), excess, labels, weights)
    told_share = float(np.average(labels, weights=weights))
    by_chance = np.full(len(labels), math.log(told_share / (1.0 - told_share)))
    gain = _log_likelihood(_values(form, excess), labels, weights) - _log_likelihood(by_chance, labels, weights)
    tells = 2.0 * gain > SKILL and form.weights["log_excess"] < 0.0
    return DirectCalibration(len(direct), share, len(all_labels), form if tells else None)


def _log_likelihood(log_odds: Floats, labels: NDArray[np.bool_], weights: Floats) -> float:
    return -float((weights * np.logaddexp(0.0, np.where(labels, -log_odds, log_odds))).sum())


def _shift_and_scale(residual: Floats, weight: Floats, of_shift: Floats, of_scale: Floats) -> tuple[Floats, Floats]:
    """Coefficients, the intercept first, of the shift of residuals, eV, and of the logarithm of their scale."""
    in_shift, in_scale = (np.column_stack([np.ones(len(residual)), one]) for one in (of_shift, of_scale))
    shift, scale = np.zeros(in_shift.shape[1]), np.zeros(in_scale.shape[1])
    for _ in range(10):
        magnitude = np.log(np.abs(residual - in_shift @ shift) + LEAST_EV)
        scale = _least_squares(in_scale, magnitude, weight)
        width = np.exp(in_scale @ scale)
        for _ in range(10):
            beyond = np.abs(residual - in_shift @ shift) / width
            shift = _least_squares(in_shift, residual, weight / width**2 * np.minimum(1.0, HUBER / np.maximum(beyond, 1e-12)))
    return shift, scale


def _least_squares(columns: Floats, values: Floats, weight: Floats) -> Floats:
    """Coefficients with a penalty on those of standardised features, the first one, a constant, aside."""
    penalty = RIDGE * weight.mean() * np.where(np.arange(columns.shape[1]) == 0, 0.0, columns.var(axis=0))
    matrix = (columns * weight[:, None]).T @ columns + np.diag(np.maximum(penalty, 1e-9))
    return np.asarray(np.linalg.solve(matrix, columns.T @ (weight * values)), np.float64)


def _logistic(names: Names, columns: Floats, labels: NDArray[np.bool_], weights: Floats) -> LinearForm:
    """Logistic regression by Newton's method."""
    mean, spread = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-9)
    standard = np.column_stack([np.ones(len(columns)), (columns - mean) / spread])
    penalty = np.array([1e-6, *[RIDGE] * len(names)])
    weight = weights / weights.mean()
    found = np.zeros(standard.shape[1])
    for _ in range(100):
        p = 0.5 * (1.0 + np.tanh(0.5 * (standard @ found)))
        gradient = standard.T @ (weight * (labels - p)) - penalty * found
        step = np.linalg.solve((standard * (weight * p * (1.0 - p))[:, None]).T @ standard + np.diag(penalty), gradient)
        found = found + step / max(1.0, float(np.abs(step).max()))  # no step is longer than 1, so that none leads away
        if np.abs(step).max() < 1e-10:
            break
    slopes = found[1:] / spread
    return _form(names, np.array([found[0] - slopes @ mean, *slopes]))


def _form(names: Names, coefficients: Floats) -> LinearForm:
    constant, *slopes = (_rounded(one) for one in coefficients.tolist())
    return LinearForm(constant, dict(zip(names, slopes, strict=True)))


def _values(form: LinearForm, columns: Floats) -> Floats:
    return np.asarray(form.intercept + columns @ np.array(list(form.weights.values())), np.float64)


def _quantiles(values: Floats, weights: Floats, n: int) -> tuple[float, ...]:
    """Quantiles of weighted values at evenly spaced probabilities from 0 to 1."""
    order = np.argsort(values, kind="stable")
    reached = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    found = np.interp(np.linspace(0.0, 1.0, n), reached, values[order])
    return tuple(_rounded(one) for one in found.tolist())


def _range(values: Floats) -> tuple[float, float]:
    return _rounded(float(values.min())), _rounded(float(values.max()))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
