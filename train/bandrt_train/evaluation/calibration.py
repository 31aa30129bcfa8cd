"""Calibration: whether the error that a model expects of itself is the error it makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandrt_train.evaluation.breakdown import N_QUINTILES
from bandrt_train.evaluation.metrics import Floats


@dataclass(frozen=True)
class Reliability:
    """A fifth of the crystals, by the error that was expected.

    Attributes:
        n_crystals: how many.
        expected_ev: mean of what the model expected.
        found_ev: mean of the errors it made.
    """

    n_crystals: int
    expected_ev: float
    found_ev: float


@dataclass(frozen=True)
class Calibration:
    """How far an uncertainty can be trusted.

    Attributes:
        n_crystals: those with an error to compare it with.
        spearman: rank correlation of expected and made errors; 1: the order is right; None where either is all the same.
        expected_ev: mean of what the model expected.
        found_ev: mean of the errors it made.
        reliability: five parts from the smallest expected errors to the largest; none with fewer than five crystals.
    """

    n_crystals: int
    spearman: float | None
    expected_ev: float
    found_ev: float
    reliability: tuple[Reliability, ...]


def calibration(uncertainty_ev: Floats, energy_ev: Floats) -> Calibration | None:
    """Compare expected with made energy errors, (n,) eV each; None where no crystal has an error to compare with."""
    known = ~np.isnan(energy_ev)
    expected, found = np.asarray(uncertainty_ev, dtype=np.float64)[known], energy_ev[known]
    if not len(found):
        return None
    parts = np.array_split(np.argsort(expected, kind="stable"), N_QUINTILES) if len(found) >= N_QUINTILES else []
    table = tuple(Reliability(len(part), float(expected[part].mean()), float(found[part].mean())) for part in parts)
    return Calibration(len(found), spearman(expected, found), float(expected.mean()), float(found.mean()), table)


def spearman(first: Floats, second: Floats) -> float | None:
    """Rank correlation of (n,) values, equal ones sharing their mean rank; None where either is all the same."""
    one, other = _ranks(first), _ranks(second)
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm > 0.0 else None


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the rank, from 1, of the last of each group of equals
    return np.asarray((last - 0.5 * (counts - 1))[place], dtype=np.float64)
