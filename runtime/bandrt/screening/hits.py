"""How many of some crystals will be hits, if each is one with a probability of its own.

Their number has the Poisson-binomial distribution. Probabilities that were fitted are not exact, and similar crystals err together;
by how much more the number varies for that, a calibration says.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bandrt.screening.features import Floats

INTERVAL = 0.95
MOST_EXACT = 2000
"""Crystals whose distribution is computed; of more it is a normal one, which by then it is to within a hit."""


class ExpectedHits(NamedTuple):
    """How many hits there will be."""

    expected: float
    low: int
    """With `low` and `high`, both included, as the range of 95 %."""
    high: int


def expected_hits(p: Floats, dispersion: float = 1.0, log_odds_error: float = 0.0) -> ExpectedHits:
    """The expected number of hits, and within which range it will be.

    Args:
        p: (n,), of each crystal the probability that it is a hit.
        dispersion: of the calibration, `bandrt.calibration.GapCalibration`.
        log_odds_error: of the same.
    """
    mean, variance = float(p.sum()), float((p * (1.0 - p)).sum())
    if variance == 0.0:
        return ExpectedHits(mean, round(mean), round(mean))
    widened = math.sqrt(dispersion * (1.0 + log_odds_error**2 * variance))  # of the mean, variance is the derivative by log-odds
    tails = ((1.0 - INTERVAL) / 2.0, (1.0 + INTERVAL) / 2.0)
    if len(p) > MOST_EXACT:
        reach = 1.959964 * math.sqrt(variance)
        quantiles = [mean - reach, mean + reach]
    else:
        below = np.cumsum(poisson_binomial(p))
        quantiles = [float(np.searchsorted(below, tail - 1e-12)) for tail in tails]
    low, high = (mean + widened * (one - mean) for one in quantiles)
    return ExpectedHits(mean, max(0, round(low)), min(len(p), round(high)))


def poisson_binomial(p: Floats) -> Floats:
    """The probabilities of 0 to n hits, (n + 1,), by adding one crystal after the other.

    Args:
        p: (n,), of each crystal the probability that it is a hit.
    """
    found = np.zeros(len(p) + 1)
    found[0] = 1.0
    for n, one in enumerate(p, start=1):
        found[1 : n + 1] = found[1 : n + 1] * (1.0 - one) + found[:n] * one
        found[0] *= 1.0 - one
    return found
