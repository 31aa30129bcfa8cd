"""What a calibration is a function of: the predictions of n crystals, by column."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bandrt.calibration import GapCalibration, LinearForm
from bandrt.domain import codes_of
from bandrt.results.summary import words_of

GAP_OFFSET_EV, EXCESS_OFFSET_EV = 0.2, 0.01
"""eV: what is added before logarithms are taken: smaller differences than these say nothing of the label."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PredictedGaps:
    """Predictions of n crystals.

    Attributes:
        gap_ev: (n,) eV; 0 for a metal.
        direct_gap_ev: (n,) eV; 0 for a metal.
        is_metal: (n,).
        uncertainty_ev: (n,) eV, nan where there is nothing to expect; all nan of an engine that does not estimate it.
        warnings: (n,) texts, the warnings of each crystal joined by semicolons.
    """

    gap_ev: Floats
    direct_gap_ev: Floats
    is_metal: NDArray[np.bool_]
    uncertainty_ev: Floats
    warnings: NDArray[np.str_]
    _kinds_of_warnings: tuple[NDArray[np.str_], NDArray[np.intp]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        texts, place = np.unique(self.warnings, return_inverse=True)  # each once, and which of them a crystal has
        object.__setattr__(self, "_kinds_of_warnings", (texts, place.reshape(-1)))

    def __len__(self) -> int:
        return len(self.gap_ev)

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> PredictedGaps:
        """Some of the crystals: which, (n,), or their places."""
        return PredictedGaps(
            self.gap_ev[chosen],
            self.direct_gap_ev[chosen],
            self.is_metal[chosen],
            self.uncertainty_ev[chosen],
            self.warnings[chosen],
        )

    def known(self, calibration: GapCalibration) -> NDArray[np.bool_]:
        """(n,): of which crystals a calibration tells something."""
        if not calibration.uncertainty_range_ev:
            return np.ones(len(self), np.bool_)
        return ~np.isnan(self.uncertainty_ev)

    def warned(self, code: str) -> NDArray[np.bool_]:
        """(n,): which crystals have a warning of this code, whatever it is about."""
        texts, place = self._kinds_of_warnings
        has = np.array([code in codes_of(words_of(text)) for text in texts.tolist()], np.bool_)
        return has[place]


def evaluate(form: LinearForm, predicted: PredictedGaps, calibration: GapCalibration) -> Floats:
    """A linear form of n crystals, (n,); predictions beyond what was fitted count as the nearest that was."""
    total = np.full(len(predicted), form.intercept)
    for name, weight in form.weights.items():
        total += weight * feature(name, predicted, calibration.gap_range_ev, calibration.uncertainty_range_ev)
    return total


def feature(
    name: str, predicted: PredictedGaps, gap_range_ev: tuple[float, ...], uncertainty_range_ev: tuple[float, ...]
) -> Floats:
    """A feature of n crystals, (n,).

    Args:
        name: one of those that `bandrt.calibration` tells, or the code of a warning.
        predicted: the crystals.
        gap_range_ev: the smallest and the largest gap that is told apart, eV.
        uncertainty_range_ev: the same of the uncertainty.
    """
    match name:
        case "gap":
            return _within(predicted.gap_ev, gap_range_ev)
        case "log_gap":
            return _log(_within(predicted.gap_ev, gap_range_ev) + GAP_OFFSET_EV)
        case "log_gap_squared":
            return feature("log_gap", predicted, gap_range_ev, uncertainty_range_ev) ** 2
        case "log_uncertainty":
            return _log(_within(predicted.uncertainty_ev, uncertainty_range_ev))
        case "log_excess":
            return _log(np.maximum(predicted.direct_gap_ev - predicted.gap_ev, 0.0) + EXCESS_OFFSET_EV)
        case _:
            return predicted.warned(name).astype(np.float64)


def _within(values: Floats, span: tuple[float, ...]) -> Floats:
    return np.clip(values, span[0], span[1])


def _log(values: Floats) -> Floats:
    return np.asarray(np.log(values), np.float64)
