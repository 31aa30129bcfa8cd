"""Where nothing can be said of the error of a prediction, it is nan, and the prediction is made all the same."""

from __future__ import annotations

import math

import numpy as np

import bandrt


def test_an_isolated_atom_is_predicted_with_an_uncertainty_of_nan() -> None:
    helium = bandrt.Crystal.checked(9.0 * np.eye(3), [2], [[0.0, 0.0, 0.0]])
    with bandrt.load(threads=1) as engine:
        [result] = engine.predict([helium])
    assert isinstance(result, bandrt.Prediction)
    assert "isolated-atom:He" in result.warnings
    assert result.uncertainty_ev is not None
    assert math.isnan(result.uncertainty_ev)
