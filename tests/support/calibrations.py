"""Calibrations with round numbers, of which probabilities can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bandrt.calibration import DirectCalibration, GapCalibration, LinearForm
from bandrt.screening.features import PredictedGaps

ALL_ZERO = LinearForm(0.0, {})


def plain_calibration(**changes: Any) -> GapCalibration:
    """Of an engine whose non-metals are non-metals at 4 to 1, metals at 9 to 1, and whose gaps are off by up to 1 eV, evenly."""
    values: dict[str, Any] = {
        "checkpoint_sha256": "0" * 64,
        "hand_over_sha256": "",
        "gaps_sha256": "1" * 64,
        "n_crystals": 100,
        "called_metal": LinearForm(-math.log(9.0), {}),
        "called_nonmetal": LinearForm(math.log(4.0), {}),
        "shift": ALL_ZERO,
        "log_scale": ALL_ZERO,
        "residuals": (-1.0, 1.0),
        "gaps_of_called_metals": (0.0, 2.0),
        "gap_range_ev": (0.0, 10.0),
    }
    return GapCalibration(**(values | changes))


TELLING = DirectCalibration(100, 0.3, 200, LinearForm(-2.0, {"log_excess": -1.0}))
"""The smaller the excess of the direct gap, the surer is a direct one."""


def predicted_gaps(
    gaps: list[float],
    *,
    direct: list[float] | None = None,
    uncertainty: list[float] | None = None,
    warnings: list[str] | None = None,
) -> PredictedGaps:
    """Predictions, metals where the gap is 0."""
    n, gap = len(gaps), np.array(gaps)
    return PredictedGaps(
        gap_ev=gap,
        direct_gap_ev=gap if direct is None else np.array(direct),
        is_metal=gap == 0.0,
        uncertainty_ev=np.full(n, np.nan) if uncertainty is None else np.array(uncertainty),
        warnings=np.array([""] * n if warnings is None else warnings, dtype=np.str_),
    )
